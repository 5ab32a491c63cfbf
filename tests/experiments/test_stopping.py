"""Stopping: by time, by signal, twice, and with the host's handlers put back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.stopping import Stop


def test_a_signal_asks_to_stop_and_the_host_gets_its_handler_back() -> None:
    def host(number: int, frame: object) -> None:
        raise AssertionError("the host's handler must not run while training")

    before = signal.signal(signal.SIGTERM, host)
    try:
        with Stop() as stop:
            assert not stop()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop()
            assert (stop.signal, stop.exit_code, stop.out_of_time) == (15, 143, False)
        assert signal.getsignal(signal.SIGTERM) is host
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_time_limit_asks_to_stop_and_is_no_error() -> None:
    stop = Stop(minutes=0.05 / 60)
    assert not stop()
    time.sleep(0.06)
    assert stop()
    assert stop.exit_code == 0
    assert not Stop(minutes=5)()


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_a_limit_without_time_is_refused(minutes: float) -> None:
    with pytest.raises(UserError, match="leaves no time"):
        Stop(minutes)


def test_outside_the_main_thread_no_handler_is_touched() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter() -> None:
        with Stop():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_second_signal_exits_at_once() -> None:
    code = (
        "import os, signal, time\n"
        "from uncollapse.experiments.stopping import Stop\n"
        "with Stop():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(30)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 143
