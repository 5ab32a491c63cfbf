"""One contract for all engines: whatever happens to workers, heads and disks, each run is trained once and equal.

The numbers that every engine is held to are those of one process that nothing disturbed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.experiments.engines.small import (
    Recorder,
    alive,
    content,
    descendants,
    job,
    never,
    perform_pair,
    poisoned,
    sittings,
)

import uncollapse
from uncollapse.errors import UserError
from uncollapse.experiments.engines import Engine, Job, find_engine, perform
from uncollapse.lease import LEASE, only_writer, read_owner, state

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(uncollapse.__file__).parents[1]), str(ROOT)]),
    "OMP_NUM_THREADS": "1",
}
PACKAGES = {"local": None, "ray": "ray", "slurm": "submitit"}
FAST = ["retry_seconds=0.1"]
UPDATES = 200

HEAD = """
import sys
from pathlib import Path
from tests.experiments.engines.small import Recorder, job, never
from uncollapse.experiments.engines import find_engine
if __name__ == "__main__":
    folder = Path(sys.argv[2])
    jobs = [job(folder, name, 1_000_000 if name == "lsgan" else int(sys.argv[3])) for name in ("vanilla", "lsgan")]
    engine = find_engine(sys.argv[1], jobs=2, device="cpu", threads=1)
    engine.run(jobs, board=Recorder(), stop=never)
"""


def made(name: str, *options: str, jobs: int = 2) -> Engine:
    package = PACKAGES[name]
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed here")
    kind = ["executor=local"] if name == "slurm" else []
    return find_engine(name, jobs=jobs, device="cpu", threads=1, options=[*FAST, *kind, *options])


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    before = set(descendants())

    def left() -> dict[int, str]:
        return {pid: text for pid, text in descendants().items() if pid not in before and "tracker" not in text}

    yield
    deadline = time.monotonic() + 20
    while left() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left() == {}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The two runs in this process: method -> what it may depend on."""
    folder = tmp_path_factory.mktemp("undisturbed")
    perform_pair(folder, UPDATES)
    return {method: content(folder / method) for method in ("vanilla", "lsgan")}


def pair(folder: Path, updates: int = UPDATES) -> list[Job]:
    return [job(folder, "vanilla", updates), job(folder, "lsgan", updates)]


def check(folder: Path, undisturbed: dict[str, Any]) -> None:
    """Both runs are what they would have been alone, and nothing else is left in their folder."""
    for method, expected in undisturbed.items():
        assert content(folder / method) == expected, method
        assert state(folder / method) == ("free", None)
    assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp") or path.name.startswith(".engine")]


def when(ready: Callable[[], Any], act: Callable[[Any], None], seconds: float = 600) -> threading.Thread:
    """Waits beside the test until something is there, and then does something with it."""

    def wait() -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if (found := ready()) is not None:
                    act(found)
                    return
            time.sleep(0.005)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def training(directory: Path) -> int | None:
    """The process that trains a run and has trained some of it."""
    owner = read_owner(directory / LEASE)
    history = directory / "history.jsonl"
    return owner.pid if owner is not None and history.exists() and history.stat().st_size else None


# Starting Ray or submitit takes many seconds; CI runs those of these tests that are marked long on them too.
SLOW = [pytest.param("ray", marks=pytest.mark.slow), pytest.param("slurm", marks=pytest.mark.slow)]
ENGINES = ["local", *SLOW]


@pytest.mark.long
@pytest.mark.parametrize("name", ENGINES)
def test_a_failing_spec_is_a_row_and_the_others_are_equal(
    name: str, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    board = Recorder()
    before = dict(os.environ), signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    outcomes = made(name).run([poisoned(tmp_path), *pair(tmp_path)], board=board, stop=never)
    assert {key: outcome.status for key, outcome in outcomes.items()} == {
        "r3gan": "failed", "vanilla": "finished", "lsgan": "finished",
    }  # fmt: skip
    assert "no part 'Nowhere'" in outcomes["r3gan"].error
    assert board.begun.count("r3gan") == 1, "what a run itself raises is final"
    assert board.notes == []
    assert "Traceback" in (tmp_path / "r3gan" / "error.log").read_text(encoding="utf-8")
    check(tmp_path, undisturbed)
    assert (dict(os.environ), signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.slow
def test_the_order_of_the_jobs_moves_no_number(name: str, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    outcomes = made(name).run(pair(tmp_path)[::-1], board=Recorder(), stop=never)
    assert [outcomes[method].status for method in ("vanilla", "lsgan")] == ["finished"] * 2
    check(tmp_path, undisturbed)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.long
def test_kill_9_of_a_worker_costs_one_attempt(name: str, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    board = Recorder()
    killer = when(lambda: training(tmp_path / "vanilla"), lambda pid: os.kill(pid, signal.SIGKILL))
    outcomes = made(name).run(pair(tmp_path), board=board, stop=never)
    killer.join()
    assert {outcome.status for outcome in outcomes.values()} == {"finished"}
    ((who, text),) = board.notes
    assert who == "vanilla"
    assert text.startswith("is tried again in 0.1 s (1 of 2): The worker process was killed by signal 9 (SIGKILL)")
    assert board.begun.count("vanilla") == 2
    check(tmp_path, undisturbed)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.slow
def test_a_worker_that_is_killed_again_and_again_is_a_row(name: str, tmp_path: Path) -> None:
    over = threading.Event()

    def kill_always() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, TypeError):
                os.kill(training(tmp_path / "vanilla"), signal.SIGKILL)  # type: ignore[arg-type]
            time.sleep(0.01)

    killer = threading.Thread(target=kill_always, daemon=True)
    killer.start()
    board = Recorder()
    jobs = [job(tmp_path, "vanilla", 1_000_000), job(tmp_path, "lsgan", 20)]
    outcomes = made(name, "retries=1").run(jobs, board=board, stop=never)
    over.set()
    killer.join()
    assert (outcomes["vanilla"].status, outcomes["lsgan"].status) == ("failed", "finished")
    assert outcomes["vanilla"].error.endswith("if memory is short. It was tried 2 times.")
    assert board.begun.count("vanilla") == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "ray", "slurm"])
def test_kill_9_of_the_head_leaves_what_a_second_start_finishes(
    name: str, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    made(name)
    command = [sys.executable, "-c", HEAD, name, str(tmp_path), str(UPDATES)]
    with subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True) as head:
        deadline = time.monotonic() + 120
        while training(tmp_path / "lsgan") is None and time.monotonic() < deadline:
            time.sleep(0.02)
        orphans = descendants(head.pid)
        worker = training(tmp_path / "lsgan")
        assert worker in orphans
        head.kill()
    if name != "slurm":  # whose jobs outlive their head until the next one
        deadline = time.monotonic() + 30
        while alive(worker or 0) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not alive(worker or 0), "an orphan goes on writing"
    board = Recorder()
    halting = made(name)
    began = time.monotonic()
    outcomes = halting.run(
        [job(tmp_path, "vanilla", UPDATES), job(tmp_path, "lsgan", 1_000_000)],
        board=board,
        stop=lambda: len(board.seen) > 0 and "vanilla" in [one.name for one in board.outcomes],
    )
    assert (outcomes["vanilla"].status, outcomes["lsgan"].status) == ("finished", "stopped"), time.monotonic() - began
    assert content(tmp_path / "vanilla") == undisturbed["vanilla"]
    assert state(tmp_path / "lsgan") == ("free", None)
    deadline = time.monotonic() + 60
    while (left := {pid for pid in orphans if alive(pid)}) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, {pid: orphans[pid] for pid in left}


PLAN = """
[plan]
name = "tiny"
seeds = { first = 0, count = 2 }
updates = 100_000
batch = 8
[[cells]]
methods = ["vanilla", "lsgan"]
tasks = ["blobs-4"]
set = { networks.width = 4, networks.depth = 1 }
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "ray", "slurm"])
def test_ctrl_c_in_a_terminal_stops_all_with_checkpoints_and_a_second_start_is_refused(
    name: str, tmp_path: Path
) -> None:
    """The terminal sends the signal to every process of the group."""
    made(name)
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    command = [sys.executable, "-m", "uncollapse", "compare", "plan.toml", "--out", "c", "--jobs", "2"]
    command += ["--device", "cpu", "--engine", name]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, start_new_session=True, **pipes) as head:  # type: ignore[call-overload]
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            runs = list(tmp_path.glob("c/runs/[!.]*"))
            if len(runs) == 2 and all(training(run) for run in runs):
                break
            time.sleep(0.05)
        second = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert f"c is being written by pid {head.pid} on host " in second.stderr
        os.killpg(head.pid, signal.SIGINT)
        _, said = head.communicate(timeout=120)
    assert head.returncode == 128 + signal.SIGINT, said
    assert "Stopped by signal 2; 2 runs are unfinished" in said
    assert "Traceback" not in said
    for run in runs:
        assert any((run / "checkpoints").glob("step-*/MANIFEST.json"))
        assert state(run) == ("free", None)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.slow
def test_a_run_that_is_trained_elsewhere_is_waited_for_and_not_trained_twice(
    name: str, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.experiments.engines.small import job, never\n"
        "from uncollapse.experiments.engines import perform\n"
        "def told(progress):\n    print('training', flush=True)\n    sys.stdin.readline()\n"
        f"print(perform(job(Path(sys.argv[1]), 'vanilla', {UPDATES}), progress=told, stop=never).status, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=ENVIRONMENT, **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == "training\n"
        freed: list[int] = []

        def let_it_end() -> None:
            if board.notes and not freed:
                freed.append(1)
                other.stdin.write("\n" * 10_000)
                other.stdin.close()

        board = Recorder(on_tick=let_it_end)
        outcomes = made(name).run(pair(tmp_path), board=board, stop=never)
        assert other.stdout.read().endswith("finished\n")
    assert {outcome.status for outcome in outcomes.values()} == {"finished"}
    ((who, text),) = board.notes
    writer = f"pid {other.pid} on host {os.uname().nodename}"
    assert who == "vanilla"
    assert text.startswith(f"waits, because {tmp_path / 'vanilla'} is being written by {writer} since ")
    assert sittings(tmp_path / "vanilla") == [0]
    check(tmp_path, undisturbed)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.slow
def test_a_request_to_stop_is_obeyed_and_the_rest_is_equal(
    name: str, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    board = Recorder()
    outcomes = made(name).run(pair(tmp_path), board=board, stop=lambda: training(tmp_path / "vanilla") is not None)
    assert outcomes["vanilla"].status in ("stopped", "finished")
    assert any((tmp_path / "vanilla" / "checkpoints").glob("step-*/MANIFEST.json"))
    outcomes = made(name).run(pair(tmp_path), board=Recorder(), stop=never)
    assert {outcome.status for outcome in outcomes.values()} == {"finished"}
    check(tmp_path, undisturbed)


@pytest.mark.parametrize("name", ENGINES)
def test_what_is_asked_to_stop_before_it_begins_is_stopped(name: str, tmp_path: Path) -> None:
    outcomes = made(name).run(pair(tmp_path), board=Recorder(), stop=lambda: True)
    assert {outcome.status for outcome in outcomes.values()} == {"stopped"}
    assert not (tmp_path / "vanilla").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", ENGINES)
def test_a_full_disk_is_a_row_and_with_room_the_next_start_is_equal(
    name: str, small_disk: Path, tmp_path: Path
) -> None:
    perform(job(tmp_path, "vanilla", 20, width=512), progress=lambda _: None, stop=never)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass
    os.truncate(filler, filler.stat().st_size - 300_000)
    jobs = [job(small_disk / "runs", "vanilla", 20, width=512)]
    board = Recorder()
    outcome = made(name).run(jobs, board=board, stop=never)["vanilla"]
    assert outcome.status == "failed"
    assert outcome.error.startswith(f"CannotWrite: {small_disk / 'runs' / 'vanilla'} has ")
    assert outcome.error.endswith("; make room, or choose another --out.")
    assert board.notes == []
    filler.unlink()
    assert made(name).run(jobs, board=Recorder(), stop=never)["vanilla"].status == "finished"
    assert content(small_disk / "runs" / "vanilla") == content(tmp_path / "vanilla")


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.slow
def test_a_run_that_takes_too_long_is_a_row_and_goes_on_later(name: str, tmp_path: Path) -> None:
    board = Recorder()
    jobs = [job(tmp_path, "vanilla", 1_000_000), job(tmp_path, "lsgan", 20)]
    outcomes = made(name, "run_minutes=0.15").run(jobs, board=board, stop=never)
    assert outcomes["lsgan"].status in ("finished", "failed")
    assert (outcomes["vanilla"].status, outcomes["vanilla"].error) == (
        "failed",
        "The run reached its limit of 0.15 minutes (run_minutes); the same command continues it from its newest "
        "checkpoint.",
    )
    assert board.begun.count("vanilla") == 1
    assert any((tmp_path / "vanilla" / "checkpoints").glob("step-*/MANIFEST.json"))


@pytest.mark.parametrize("name", ENGINES)
def test_a_run_that_takes_too_much_memory_is_a_row(name: str, tmp_path: Path) -> None:
    outcomes = made(name, "run_memory=0.05").run(pair(tmp_path), board=Recorder(), stop=never)
    for outcome in outcomes.values():
        assert outcome.status == "failed"
        assert "of memory, more than its limit of 0.05 GB (run_memory), and was killed" in outcome.error


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_a_plugin_that_is_an_object_reaches_no_other_machine(name: str, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "vanilla", 20, plugins=(object(),))]
    with pytest.raises(UserError, match=f'engine {name} trains on other machines.*"module:attr"'):
        made(name).run(jobs, board=Recorder(), stop=never)


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, package in (("ray", "ray"), ("slurm", "submitit")):
        engine = find_engine(name, jobs=1, device="cpu", threads=1)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=rf"engine {name} needs .*; pip install 'uncollapse\[{name}\]'"):
            engine.run(pair(tmp_path), board=Recorder(), stop=never)


def test_engines_are_found_by_name() -> None:
    with pytest.raises(UserError, match="no engine 'locl'; did you mean 'local'"):
        find_engine("locl", jobs=None, device="cpu", threads=1)
    with pytest.raises(UserError, match="--jobs 0 is not possible"):
        find_engine("ray", jobs=0, device="cpu", threads=1)
    with pytest.raises(UserError, match=r"--address auto is of a Ray cluster.*add --engine ray"):
        find_engine("local", jobs=1, device="cpu", threads=1, address="auto")
    with pytest.raises(UserError, match="no option of the engine local, 'partition'"):
        find_engine("local", jobs=1, device="cpu", threads=1, options=["partition=gpu"])


def test_the_contract_is_about_runs_that_nobody_else_writes(tmp_path: Path) -> None:
    with only_writer(tmp_path / "vanilla"):
        outcome = perform(job(tmp_path, "vanilla", 20), progress=lambda _: None, stop=never)
    assert (outcome.status, outcome.cause) == ("failed", "busy")
    assert not (tmp_path / "vanilla" / "error.log").exists()
