"""The local engine: order, workers that die, requests to stop, failures; every job ends in one outcome."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Job, Outcome, find_engine
from uncollapse.experiments.engines.local import LocalEngine, default_jobs
from uncollapse.run import make_spec, read_result

if TYPE_CHECKING:
    from uncollapse.run import Progress


class Recorder:
    """A board that remembers what it was told."""

    def __init__(self, on_progress: Callable[[], None] = lambda: None) -> None:
        self.begun: list[str] = []
        self.seen: list[str] = []
        self.outcomes: list[Outcome] = []
        self._on_progress = on_progress

    def started(self, name: str) -> None:
        self.begun.append(name)

    def progress(self, name: str, progress: Progress) -> None:
        self.seen.append(name)
        self._on_progress()

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def tick(self) -> None:
        pass

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def job(folder: Path, method: str, updates: int, **changes: Any) -> Job:
    """A small run on four blobs."""
    settings = {"networks.width": 4, "networks.depth": 1}
    spec = make_spec(method, "blobs-4", seeds=(0, 1), updates=updates, batch=8, settings=settings)
    known = {"spec": spec.to_json(), "directory": folder / method, "method": method, "task": "blobs-4"}
    return Job(**{**known, "seeds": (0, 1), "updates": updates, "device": "cpu", **changes})


def never() -> bool:
    """No request to stop."""
    return False


def test_the_longest_runs_come_first(tmp_path: Path) -> None:
    board = Recorder()
    jobs = [job(tmp_path, "vanilla", 20), job(tmp_path, "lsgan", 60), job(tmp_path, "cgan", 40)]
    outcomes = LocalEngine(jobs=1).run(jobs, board=board, stop=never)
    assert board.begun == ["lsgan", "cgan", "vanilla"]
    assert {outcome.status for outcome in outcomes.values()} == {"finished"}
    assert set(outcomes) == {"vanilla", "lsgan", "cgan"}


def test_workers_give_the_numbers_of_one_process(tmp_path: Path) -> None:
    for count, folder in ((1, tmp_path / "one"), (2, tmp_path / "two")):
        jobs = [job(folder, name, 40) for name in ("vanilla", "lsgan")]
        LocalEngine(jobs=count).run(jobs, board=Recorder(), stop=never)
    for name in ("vanilla", "lsgan"):
        one, two = (read_result(tmp_path / folder / name) for folder in ("one", "two"))
        assert one is not None
        assert two is not None
        assert one["lanes"] == two["lanes"]
        histories = [(tmp_path / folder / name / "history.jsonl").read_bytes() for folder in ("one", "two")]
        assert histories[0] == histories[1]


def test_a_killed_worker_fails_its_run_only_and_the_next_start_finishes_it(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one() -> None:
        if not killed:
            victim = multiprocessing.active_children()[0]
            assert victim.pid is not None
            killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)

    jobs = [job(tmp_path, "vanilla", 400), job(tmp_path, "lsgan", 400), job(tmp_path, "cgan", 20)]
    outcomes = LocalEngine(jobs=2).run(jobs, board=Recorder(kill_one), stop=never)
    failed = [outcome for outcome in outcomes.values() if outcome.status == "failed"]
    assert len(failed) == 1
    assert "killed by signal 9 (SIGKILL), most often because the machine ran out of memory" in failed[0].error
    assert sum(outcome.status == "finished" for outcome in outcomes.values()) == 2
    assert not multiprocessing.active_children()
    again = [one for one in jobs if one.name == failed[0].name]
    assert LocalEngine(jobs=1).run(again, board=Recorder(), stop=never)[failed[0].name].status == "finished"


def test_workers_stop_at_an_update_boundary_when_asked(tmp_path: Path) -> None:
    asked: list[float] = []
    board = Recorder(lambda: asked.append(time.monotonic()))
    jobs = [job(tmp_path, name, 1_000_000) for name in ("vanilla", "lsgan", "cgan")]
    outcomes = LocalEngine(jobs=2).run(jobs, board=board, stop=lambda: bool(asked))
    assert {outcome.status for outcome in outcomes.values()} == {"stopped"}
    assert len(board.begun) == 2
    assert time.monotonic() - asked[0] < 30
    started = board.seen[0]
    assert any((tmp_path / started / "checkpoints").glob("step-*/MANIFEST.json"))
    assert not multiprocessing.active_children()


def test_a_failing_run_is_an_outcome_with_its_trace(tmp_path: Path) -> None:
    broken = job(tmp_path, "vanilla", 20)
    broken.spec["method"]["loss"] = {"part": "Nowhere"}
    outcomes = LocalEngine(jobs=1).run([broken, job(tmp_path, "lsgan", 20)], board=Recorder(), stop=never)
    assert outcomes["vanilla"].status == "failed"
    assert "no part 'Nowhere'" in outcomes["vanilla"].error
    assert "Traceback" in (tmp_path / "vanilla" / "error.log").read_text(encoding="utf-8")
    assert outcomes["lsgan"].status == "finished"


def test_engines_are_found_by_name() -> None:
    assert find_engine("local", jobs=3, device="cpu", threads=1) == LocalEngine(jobs=3, threads=1)
    assert find_engine("local", jobs=None, device="cpu", threads=10_000).jobs == 1
    with pytest.raises(UserError, match="no engine 'locl'; did you mean 'local'"):
        find_engine("locl", jobs=None, device="cpu", threads=1)
    with pytest.raises(UserError, match="--jobs 0 is not possible"):
        find_engine("local", jobs=0, device="cpu", threads=1)
    with pytest.raises(UserError, match=r"no device 'gpu0'|not available"):
        find_engine("local", jobs=1, device="gpu0", threads=1)


def test_default_jobs_share_the_cores() -> None:
    cores = default_jobs(1)
    assert cores >= 1
    assert default_jobs(cores) == 1
