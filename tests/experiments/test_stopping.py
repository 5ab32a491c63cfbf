"""Stopping: by time, by signal, twice, with the host's handlers put back; `train` and `compare` end with 128 + n."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments import stopping
from uncollapse.experiments.stopping import SIGNALS, Stop, deaf_children


def test_what_slurm_the_terminal_and_the_system_send_is_heard() -> None:
    assert [number.name for number in SIGNALS] == ["SIGINT", "SIGTERM", "SIGUSR1"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_asks_to_stop_and_the_host_gets_its_handler_back(number: signal.Signals) -> None:
    def host(number: int, frame: object) -> None:
        raise AssertionError("the host's handler must not run while training")

    before = signal.signal(number, host)
    try:
        with Stop() as stop:
            assert not stop()
            os.kill(os.getpid(), number)
            assert stop()
            assert (stop.signal, stop.exit_code, stop.out_of_time) == (number, 128 + number, False)
        assert signal.getsignal(number) is host
    finally:
        signal.signal(number, before)


def test_a_handler_that_could_not_be_put_back_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    touched = []
    monkeypatch.setattr(signal, "getsignal", lambda number: None if number == signal.SIGUSR1 else signal.SIG_DFL)
    monkeypatch.setattr(signal, "signal", lambda number, handler: touched.append(number))
    with Stop():
        assert touched == [signal.SIGINT, signal.SIGTERM]
    assert touched == [signal.SIGINT, signal.SIGTERM] * 2


def test_a_system_without_sigusr1_hears_the_others() -> None:
    code = (
        "import signal\n"
        "del signal.SIGUSR1\n"
        "from uncollapse.experiments.stopping import SIGNALS, Stop, deaf_children\n"
        "with Stop():\n"
        "    print([number.name for number in SIGNALS])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['SIGINT', 'SIGTERM']"


def test_in_a_child_of_a_host_no_handler_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(stopping.multiprocessing, "parent_process", lambda: object())
        with Stop():
            assert signal.getsignal(signal.SIGTERM) is before
    with Stop() as stop:
        assert signal.getsignal(signal.SIGTERM) == stop._handle
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_time_limit_asks_to_stop_and_is_no_error() -> None:
    stop = Stop(minutes=0.5 / 60)
    assert not stop()
    time.sleep(0.51)
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
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 143


PLAN = """
[plan]
name = "long"
seeds = [0]
updates = 1000000
batch = 8
[[cells]]
methods = ["vanilla", "lsgan"]
tasks = ["blobs-4"]
set = { networks.width = 4 }
"""
HISTORIES = ("history.jsonl", "runs/*/history.jsonl")
VERBS = {
    "train": ["train", "vanilla", "blobs-4", "--updates", "1000000", "--batch", "8", "--out", "out"],
    "compare": ["compare", "long.toml", "--jobs", "1", "--out", "out"],
    "compare in workers": ["compare", "long.toml", "--jobs", "2", "--out", "out"],
}


def test_children_never_hear_what_only_the_head_understands() -> None:
    told = subprocess.DEVNULL
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with deaf_children():
            deaf = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=told)
            os.kill(os.getpid(), signal.SIGUSR1)
        usual = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=told)
        for one in (deaf, usual):
            one.send_signal(signal.SIGUSR1)
            one.communicate(b"\n", timeout=60)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1], "this process hears it, once it may"
    assert (deaf.returncode, usual.returncode) == (0, -signal.SIGUSR1)


def test_without_masks_of_signals_children_are_started_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "pthread_sigmask")
    with deaf_children():
        done = subprocess.run([sys.executable, "-c", ""], check=False)
    assert done.returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("verb", ["train", "compare", "compare in workers"])
@pytest.mark.long
def test_a_preempted_job_saves_and_ends_with_the_signal_in_its_exit_code(verb: str, tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(PLAN, encoding="utf-8")
    command = [sys.executable, "-m", "uncollapse", *VERBS[verb]]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as one:
        started = 2 if verb == "compare in workers" else 1
        while one.poll() is None and sum(len(list((tmp_path / "out").glob(name))) for name in HISTORIES) < started:
            time.sleep(0.05)
        os.kill(one.pid, signal.SIGUSR1)
        _, err = one.communicate(timeout=120)
    assert one.returncode == 128 + signal.SIGUSR1, err
    assert f"Stopped by signal {signal.SIGUSR1:d}" in err
    saved = list((tmp_path / "out").rglob("step-*/MANIFEST.json"))
    assert len({path.parents[2] for path in saved}) == started
