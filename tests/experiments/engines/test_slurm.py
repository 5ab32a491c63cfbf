"""The SLURM engine beyond the contract: what SLURM is asked for, preemption, jobs that end without a word."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.experiments.engines.small import Recorder, content, job, never, sittings

from uncollapse.errors import UserError
from uncollapse.experiments.engines import find_engine, perform
from uncollapse.experiments.engines.slurm import SlurmEngine, SlurmOptions
from uncollapse.lease import LEASE, read_owner

needs_submitit = pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")


def test_what_slurm_is_asked_for() -> None:
    plain = SlurmOptions(executor="slurm").parameters(2, "auto", None)
    assert plain == {
        "signal_delay_s": 120, "time": 1440, "ntasks_per_node": 1, "nodes": 1, "cpus_per_task": 2,
        "job_name": "uncollapse",
    }  # fmt: skip
    options = SlurmOptions(
        executor="slurm", partition="long", account="lab", qos="low", constraint="a100", minutes=30, memory=1.5
    )
    full = options.parameters(1, "cuda", 8)
    expected = {"partition": "long", "account": "lab", "qos": "low", "constraint": "a100", "time": 30, "mem": "1500M"}
    assert full == plain | expected | {"cpus_per_task": 1, "gpus_per_node": 1, "array_parallelism": 8}
    assert SlurmOptions(executor="local", gpus=2).parameters(1, "cpu", 8) == {
        "signal_delay_s": 120, "gpus_per_node": 2, "timeout_min": 1440, "tasks_per_node": 1, "nodes": 1,
    }  # fmt: skip


@needs_submitit
def test_submitit_understands_what_it_is_asked_for(tmp_path: Path) -> None:
    from submitit.slurm.slurm import _make_sbatch_string

    options = SlurmOptions(executor="slurm", partition="long", account="lab", memory=2.0, gpus=1)
    text = _make_sbatch_string(command="true", folder=tmp_path, **options.parameters(4, "cpu", 3), map_count=5)
    lines = set(text.splitlines())
    assert {"#SBATCH --partition=long", "#SBATCH --account=lab", "#SBATCH --mem=2000M"} <= lines
    assert {"#SBATCH --cpus-per-task=4", "#SBATCH --gpus-per-node=1", "#SBATCH --array=0-4%3"} <= lines
    assert "#SBATCH --signal=USR2@120" in lines
    assert "#SBATCH --time=1440" in lines


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"executor": "pbs"}, "executor = 'pbs' is not possible; give auto, slurm or local"),
        ({"minutes": 0}, "leaves no time to train"),
        ({"minutes": 2}, "minutes = 2 with warning_seconds = 120 leaves no time to train"),
        ({"warning_seconds": 0}, "leaves no time to train"),
    ],
)
def test_what_leaves_no_time_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        SlurmOptions(**changes)


def test_slurm_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SlurmOptions().kind == "local"
    (tmp_path / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "sbatch").chmod(0o755)
    assert SlurmOptions().kind == "slurm"
    assert SlurmOptions(executor="local").kind == "local"


@needs_submitit
def test_without_slurm_asking_for_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = find_engine("slurm", jobs=1, device="cpu", threads=1, options=["executor=slurm"])
    with pytest.raises(UserError, match=r"SLURM cannot be used here .*executor=local"):
        engine.run([job(tmp_path / "runs", "vanilla", 20)], board=Recorder(), stop=never)


@needs_submitit
@pytest.mark.slow
def test_a_preempted_run_stops_at_an_update_and_is_requeued_until_it_is_finished(tmp_path: Path) -> None:
    perform(job(tmp_path, "vanilla", 400), progress=lambda _: None, stop=never)
    one, warned = job(tmp_path / "runs", "vanilla", 400), []

    def warn_once() -> None:
        """Sends the task of submitit what SLURM sends before it takes the machine away."""
        owner = read_owner(one.directory / LEASE)
        history = one.directory / "history.jsonl"
        if owner is None or warned or not history.exists() or history.stat().st_size < 500:
            return
        parent = int(Path(f"/proc/{owner.pid}/stat").read_text().rpartition(")")[2].split()[1])
        warned.append(owner.pid)
        os.kill(parent, signal.SIGUSR2)

    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            warn_once()
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    board = Recorder()
    try:
        outcome = SlurmEngine(wanted=1, device="cpu", options=SlurmOptions(executor="local")).run(
            [one], board=board, stop=never
        )["vanilla"]
    finally:
        over.set()
        watcher.join()
    assert warned
    assert outcome.status == "finished"
    assert board.notes == [], "a requeue is no failure"
    first, second = sittings(one.directory)
    assert first == 0
    assert 0 < second < 400
    assert content(one.directory) == content(tmp_path / "vanilla")
