"""A run that is killed with SIGKILL at any moment, then continued, ends as if nothing had happened, to the last bit.

Half of the kills come at random times, the other half at random calls within the writing of a checkpoint, which happens
all the time.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uncollapse import checkpoint
from uncollapse.files import read_lines
from uncollapse.networks import FAMILIES
from uncollapse.networks.mlp import MLP
from uncollapse.run import execute, is_finished
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks import find


def spec(method: str, task: str, family: str, updates: int) -> RunSpec:
    learnt = dataclasses.replace(find(task), measure_size=200)
    networks = MLP(width=8, depth=1) if family == "mlp" else FAMILIES[family](width=4, latent=4)
    return make_spec(method, learnt, seeds=(3, 5), updates=updates, batch=8, networks=networks)


def end(directory: Path) -> dict[str, Any]:
    """All that a run leaves behind and that may depend on nothing but its spec."""
    home = directory / "checkpoints"
    newest, best = checkpoint.newest(home)[0], checkpoint.best(home)[0]
    assert newest is not None
    assert best is not None
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    arrays = {}
    for path in sorted((directory / "samples").iterdir()):
        with np.load(path) as content:
            arrays.update({f"{path.name}/{key}": value.tobytes() for key, value in content.items()})
    return {
        "weights": (home / f"step-{newest.update:09d}" / "lanes.safetensors").read_bytes(),
        "best": (best.measure, (home / f"step-{best.update:09d}" / "lanes.safetensors").read_bytes()),
        "history": (directory / "history.jsonl").read_bytes(),
        "result": result,
        "samples": arrays,
    }


def train(document: dict[str, Any], directory: str, dies_at: int, saving: bool) -> None:
    """Trains in a process of its own, which kills itself before the so manieth call that changes the disk.

    Args:
        document: The run's spec.
        directory: Its directory.
        dies_at: Number of the call, 0 for none.
        saving: Whether only calls within the writing of a checkpoint count.
    """
    calls, within = 0, not saving
    real_save = checkpoint.save

    def save(*args: Any, **options: Any) -> Path:
        nonlocal within
        within = True
        saved = real_save(*args, **options)
        within = not saving
        return saved

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += within
            if calls == dies_at and within:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return called

    checkpoint.save = save
    os.fsync = counted(os.fsync)
    shutil.rmtree = counted(shutil.rmtree)  # type: ignore[assignment]
    for name in ("replace", "mkdir", "unlink"):
        setattr(Path, name, counted(getattr(Path, name)))
    execute(RunSpec.from_json(document), Path(directory), device="cpu", checkpoint_seconds=0.0)


def kill_once(
    one: RunSpec, directory: Path, *, dies_at: int = 0, saving: bool = False, at: int = 0, delay: float = 0.0
) -> bool:
    """Trains until a kill: at a call, or a while after the history has reached an update; whether it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "scipy.stats", "sklearn.cluster"])
    process = context.Process(target=train, args=(one.to_json(), str(directory), dies_at, saving))
    process.start()
    if dies_at:
        process.join(timeout=300)
    else:
        while process.is_alive() and all(line["update"] < at for line in read_lines(directory / "history.jsonl")[-1:]):
            time.sleep(0.002)
        time.sleep(delay)
        process.kill()
        process.join()
    code = process.exitcode
    process.close()
    assert code in (0, -signal.SIGKILL)
    return code != 0


def check_kills(one: RunSpec, directory: Path, kills: int) -> tuple[int, int]:
    """Kills a run so many times and compares its end; how many half checkpoints that left, and where it went on."""
    random = np.random.default_rng(one.updates)
    execute(one, directory / "whole", device="cpu")
    killed, halves, done = directory / "killed", 0, 0
    while done < kills and not is_finished(killed, one):
        reached = max((line["update"] for line in read_lines(killed / "history.jsonl")[-1:]), default=0)
        # Half of the share of each of those to come, so that there is something left to kill.
        ahead = 1 + (one.updates - reached) // (2 * (kills - done))
        if done % 2:
            kill_once(one, killed, at=reached + int(random.integers(0, ahead + 1)), delay=random.uniform(0, 0.05))
        else:
            saves = 1 + ahead // max(one.method.dynamics.critic_steps, one.updates // 200)
            kill_once(one, killed, dies_at=int(random.integers(1, 1 + 15 * saves)), saving=True)
        done += 1
        halves += any((killed / "checkpoints").glob(f"{checkpoint.TEMPORARY}*"))
        for folder in checkpoint.folders(killed / "checkpoints"):
            checkpoint.read(folder)  # whatever is there is whole
    assert done == kills, "it was finished before the last kill"
    execute(one, killed, device="cpu")
    assert end(killed) == end(directory / "whole")
    assert not [path for path in killed.rglob("*") if path.name.endswith(".tmp") or path.name.startswith(".tmp-")]
    return halves, int(read_lines(killed / "timing.jsonl")[-1]["from"])


@pytest.mark.long
def test_three_kills_cost_no_bit(tmp_path: Path) -> None:
    _, begun = check_kills(spec("vanilla", "blobs-2", "mlp", 60), tmp_path, 3)
    assert begun > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "task", "family", "updates"),
    [
        ("wgan-gp", "ring-8", "mlp", 1_000),
        ("began", "digits", "mlp", 300),
        ("vanilla", "digits", "dcgan", 300),
        ("sngan", "digits", "residual", 300),
    ],
)
def test_twenty_kills_cost_no_bit(method: str, task: str, family: str, updates: int, tmp_path: Path) -> None:
    halves, begun = check_kills(spec(method, task, family, updates), tmp_path, 20)
    assert begun > updates / 4
    assert halves >= 3


def operations(one: RunSpec, directory: Path) -> int:
    """Calls that change the disk in an undisturbed run with as many checkpoints."""
    calls = 0
    with pytest.MonkeyPatch.context() as patch:

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def called(*args: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                return real(*args, **options)

            return called

        for owner, name in ((os, "fsync"), (shutil, "rmtree"), *((Path, n) for n in ("replace", "mkdir", "unlink"))):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        execute(one, directory, device="cpu", checkpoint_seconds=0.0)
    return calls


@pytest.mark.slow
def test_a_kill_before_any_single_call_costs_no_bit(tmp_path: Path) -> None:
    one = spec("vanilla", "blobs-2", "mlp", 3)
    total = operations(one, tmp_path / "whole")
    assert 80 < total < 300
    whole = end(tmp_path / "whole")
    for call in range(1, total + 1):
        directory = tmp_path / str(call)
        assert kill_once(one, directory, dies_at=call)
        execute(one, directory, device="cpu")
        assert end(directory) == whole, f"killed before call {call}"
        shutil.rmtree(directory)
