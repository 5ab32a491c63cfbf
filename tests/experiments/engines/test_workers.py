"""A worker process: what it hears and says, how it ends, and whose environment it has."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.experiments.engines.small import alive, content, job, never

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Outcome, perform
from uncollapse.experiments.engines.limits import GRACE_SECONDS, Limits
from uncollapse.experiments.engines.workers import (
    THREAD_VARIABLES,
    Worker,
    changed_environment,
    first_said,
    supervise,
    without_main_file,
)


def until_ready(worker: Worker, seconds: float = 60) -> Outcome:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if first_said([worker.connection], 0.2):
            outcome = worker.listen(lambda progress: None)
            if outcome is not None:
                return outcome
    raise AssertionError("the worker says nothing")


@pytest.mark.slow
def test_a_worker_of_one_run_trains_it_where_it_is_told_to_and_ends(tmp_path: Path) -> None:
    with without_main_file():
        worker = Worker(1, {"MARK": "1"}, once=True, folder=tmp_path)
    pid = worker.process.pid
    assert pid is not None
    environment: dict[str, str] = {}
    end = time.monotonic() + 10
    while "MARK" not in environment and time.monotonic() < end:  # until exec it shows this process's own
        pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
        environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    assert environment["MARK"] == "1"
    assert {environment[name] for name in THREAD_VARIABLES} == {"1"}
    seen: list[int] = []
    one = job(Path("here"), "vanilla", 20)
    outcome = supervise(one, worker, limits=Limits(), told=lambda at: seen.append(at.update), stop=never)
    assert outcome == Outcome(name="vanilla", status="finished")
    assert seen[-1] == 20
    assert not alive(pid)
    assert worker.process.exitcode == 0
    perform(job(tmp_path / "alone", "vanilla", 20), progress=lambda _: None, stop=never)
    assert content(tmp_path / "here" / "vanilla") == content(tmp_path / "alone" / "vanilla")


@pytest.mark.slow
def test_a_worker_is_deaf_to_what_the_terminal_and_slurm_send_and_its_death_has_a_name(tmp_path: Path) -> None:
    worker = Worker(1)
    pid = worker.process.pid
    assert pid is not None
    worker.give(job(tmp_path, "vanilla", 1_000_000))
    while not first_said([worker.connection], 0.2):
        pass
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(pid, number)
    time.sleep(0.3)
    assert alive(pid)
    os.kill(pid, signal.SIGSEGV)
    outcome = until_ready(worker)
    assert (outcome.status, outcome.cause) == ("failed", "killed")
    assert "killed by signal 11 (SIGSEGV); the same command continues" in outcome.error
    worker.dismiss()
    assert not alive(pid)


def test_a_worker_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    worker = Worker(1)
    pid = worker.process.pid
    assert pid is not None
    worker.give(job(tmp_path, "vanilla", 1_000_000))
    os.kill(pid, signal.SIGSTOP)
    limits = Limits(run_minutes=1)
    worker._begun -= 61
    worker.guard(limits)
    assert alive(pid)
    worker._begun -= GRACE_SECONDS
    worker.guard(limits)
    outcome = until_ready(worker)
    assert (outcome.status, outcome.cause) == ("failed", "")
    assert outcome.error.startswith("The run reached its limit of 1 minutes (run_minutes)")
    worker.dismiss()


def test_what_cannot_travel_is_one_sentence() -> None:
    worker = Worker(1)
    try:
        with pytest.raises(UserError, match="cannot be sent to another process"):
            worker.give(job(Path("here"), "vanilla", 20, plugins=(lambda: None,)))
    finally:
        worker.dismiss()


def test_the_environment_and_the_main_module_are_put_back() -> None:
    main = sys.modules["__main__"]
    before = dict(os.environ), dict(vars(main))
    with changed_environment({"HOME": "elsewhere", "NEW": "1"}), without_main_file():
        assert (os.environ["HOME"], os.environ["NEW"]) == ("elsewhere", "1")
        assert not hasattr(main, "__file__")
        assert main.__spec__ is None
    assert (dict(os.environ), dict(vars(main))) == before


def test_nobody_to_hear_takes_the_time_it_was_given() -> None:
    began = time.monotonic()
    assert first_said([], 0.1) == []
    assert time.monotonic() - began >= 0.1
