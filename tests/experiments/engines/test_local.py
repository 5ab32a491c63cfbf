"""The local engine beyond the contract of all engines: order, slots by cores and GPUs, one process or several."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tests.experiments.engines.small import Recorder, job, never

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Outcome, find_engine
from uncollapse.experiments.engines import local as module
from uncollapse.experiments.engines.limits import Limits
from uncollapse.experiments.engines.local import VISIBLE, LocalEngine, default_jobs, gpu_slots
from uncollapse.run import read_result


def test_the_longest_runs_come_first(tmp_path: Path) -> None:
    board = Recorder()
    jobs = [job(tmp_path, "vanilla", 20), job(tmp_path, "lsgan", 60), job(tmp_path, "cgan", 40)]
    outcomes = LocalEngine(jobs=1).run(jobs, board=board, stop=never)
    assert board.begun == ["lsgan", "cgan", "vanilla"]
    assert {outcome.status for outcome in outcomes.values()} == {"finished"}
    assert set(outcomes) == {"vanilla", "lsgan", "cgan"}


@pytest.mark.long
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


@pytest.mark.long
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


class Fake:
    """A worker that ends every job at once, and remembers what it was made with."""

    made: ClassVar[list[tuple[int, dict[str, str] | None]]] = []

    def __init__(self, threads: int, environment: dict[str, str] | None, *, slot: int) -> None:
        self.made.append((slot, environment))
        self.slot, self.job, self.alive, self.limits = slot, None, True, None
        self.connection: Any = self

    def give(self, given: Any) -> None:
        self.job = given

    def guard(self, limits: Limits) -> None:
        self.limits = limits

    def tell_to_stop(self) -> None:
        raise AssertionError("nobody asked")

    def listen(self, told: Any) -> Outcome:
        given, self.job = self.job, None
        return Outcome(name=given.name, status="finished")

    def dismiss(self) -> None:
        self.alive = False


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, dict[str, str] | None]]:
    monkeypatch.setattr(Fake, "made", [])
    monkeypatch.setattr(module, "Worker", Fake)
    monkeypatch.setattr(module, "first_said", lambda connections, _: [one for one in connections if one.job])
    return Fake.made


def test_each_slot_has_its_gpu_and_keeps_its_worker(
    tmp_path: Path, faked: list[tuple[int, dict[str, str] | None]]
) -> None:
    jobs = [job(tmp_path, "vanilla", 20 + number, directory=tmp_path / str(number)) for number in range(9)]
    outcomes = LocalEngine(jobs=4, slots=("3", "GPU-7")).run(jobs, board=Recorder(), stop=never)
    assert len(outcomes) == 9
    assert faked == [(0, {VISIBLE: "3"}), (1, {VISIBLE: "GPU-7"}), (2, {VISIBLE: "3"}), (3, {VISIBLE: "GPU-7"})]


def test_under_a_limit_of_memory_every_run_has_a_process_of_its_own(
    tmp_path: Path, faked: list[tuple[int, dict[str, str] | None]]
) -> None:
    jobs = [job(tmp_path, "vanilla", 20, directory=tmp_path / str(number)) for number in range(5)]
    LocalEngine(jobs=2, limits=Limits(run_memory=1.0)).run(jobs, board=Recorder(), stop=never)
    assert len(faked) == 5
    assert {slot for slot, _ in faked} == {0, 1}


def test_a_dead_worker_is_heard_to_the_end_of_its_pipe(
    tmp_path: Path, faked: list[tuple[int, dict[str, str] | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died while a message of progress still lay in the pipe: its run ends all the same, and is tried again."""
    said: list[Outcome | None] = [
        None, Outcome(name="vanilla", status="failed", error="killed", cause="killed"),
        None, Outcome(name="vanilla", status="finished"),
    ]  # fmt: skip

    def listen(self: Fake, told: Any) -> Outcome | None:
        self.alive = len(said) <= 2  # the first one is dead from the start
        outcome = said.pop(0)
        if outcome is not None and outcome.status == "finished":
            self.job = None
        return outcome

    monkeypatch.setattr(Fake, "listen", listen)
    engine = LocalEngine(jobs=1, limits=Limits(run_minutes=60, retries=1, retry_seconds=0.0))
    turns = iter(range(1_000))
    outcomes = engine.run([job(tmp_path, "vanilla", 20)], board=Recorder(), stop=lambda: next(turns) > 900)
    assert {outcome.status for outcome in outcomes.values()} == {"finished"}
    assert len(faked) == 2
    assert said == []


def test_gpus_are_shared_out_by_what_the_environment_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncollapse.versions.choose_device", lambda name: torch.device(name.replace("auto", "cuda")))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv(VISIBLE, raising=False)
    assert gpu_slots("cpu") == ()
    assert gpu_slots("auto") == gpu_slots("cuda") == ("0", "1", "2", "3")
    assert gpu_slots("cuda:2") == ("",)
    monkeypatch.setenv(VISIBLE, "5, GPU-8a,7,1")
    assert gpu_slots("auto") == ("5", "GPU-8a", "7", "1")
    assert find_engine("local", jobs=None, device="cuda", threads=1).jobs == 4
    assert find_engine("local", jobs=8, device="cuda", threads=1).jobs == 8
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert gpu_slots("auto") == ("",)
    assert find_engine("local", jobs=None, device="cuda", threads=1).jobs == 1


def test_limits_need_plugins_that_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bound_to_this_process", lambda plugins: True)
    with pytest.raises(UserError, match="Limits of memory or time need a process of their own"):
        LocalEngine(limits=Limits(run_minutes=1)).run([job(tmp_path, "vanilla", 20)], board=Recorder(), stop=never)


def test_it_is_found_by_name_with_its_options() -> None:
    assert find_engine("local", jobs=3, device="cpu", threads=1) == LocalEngine(jobs=3, threads=1)
    assert find_engine("local", jobs=None, device="cpu", threads=10_000).jobs == 1
    found = find_engine("local", jobs=1, device="cpu", threads=1, options=["run_minutes=2.5", "retries=0"])
    assert found == LocalEngine(jobs=1, threads=1, limits=Limits(run_minutes=2.5, retries=0))
    with pytest.raises(UserError, match=r"no device 'gpu0'|not available"):
        find_engine("local", jobs=1, device="gpu0", threads=1)


def test_default_jobs_share_the_cores() -> None:
    cores = default_jobs(1)
    assert cores >= 1
    assert default_jobs(cores) == 1
