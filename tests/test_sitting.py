"""Sittings: looks at the clock, the end of a run that has nothing left to train, and a stop before the judgement.

What a sitting leaves behind, and that it continues to the last bit, is tested with runs in `test_run`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from uncollapse import sitting, snapshots
from uncollapse.lease import LeaseLost
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.dynamics import Dynamics
from uncollapse.run import Progress, Stopped, execute, is_finished
from uncollapse.sitting import Sitting
from uncollapse.spec import RunSpec, make_spec


def spec(method: str | Method = "vanilla", updates: int = 200, **settings: float) -> RunSpec:
    return make_spec(
        method, "blobs-2", seeds=(3, 5), updates=updates, batch=8, networks=MLP(width=8, depth=1), settings=settings
    )


def digest(directory: Path) -> str:
    """Of the final weights, the history and the samples."""
    newest = max((directory / "checkpoints").glob("step-*"))
    files = [newest / "lanes.safetensors", directory / "history.jsonl", *sorted((directory / "samples").iterdir())]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files if path.suffix != ".npz")).hexdigest()


# --- looks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2])
def test_slow_rounds_are_looked_at_one_by_one_and_fast_ones_not(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sitting, "LOSS_LINES", 1)
    updates = 100 * steps
    points = [steps * round(100 * share) for share in snapshots.SNAPSHOTS[1:]]
    digests = set()
    for seconds, most in ((0.0, 1), (1e9, 20)):
        monkeypatch.setattr(sitting, "LOOK_SECONDS", seconds)
        seen: list[Progress] = []
        directory = tmp_path / str(most)
        method = VANILLA.but(dynamics=Dynamics(critic_steps=steps))
        execute(spec(method, updates), directory, device="cpu", progress=seen.append)
        rounds = [(after - before) // steps for before, after in itertools.pairwise([0, *(x.update for x in seen)])]
        assert set(points) <= {one.update for one in seen}
        assert max(rounds) == most
        assert len(seen) == sum(-(-(b - a) // (most * steps)) for a, b in itertools.pairwise([0, *points]))
        digests.add(digest(directory))
    assert len(digests) == 1, "how often one looks moves no number"


def test_a_request_to_stop_waits_for_a_round_at_most_where_rounds_are_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sitting, "LOSS_LINES", 1)
    clock: Iterator[float] = itertools.count(0.0, 0.4)  # every look at it costs 0.4 s
    monkeypatch.setattr(sitting.time, "monotonic", lambda: next(clock))
    seen: list[int] = []

    def stop() -> bool:
        return bool(seen) and seen[-1] > 120

    with pytest.raises(Stopped):
        execute(
            spec(), tmp_path, device="cpu", stop=stop, progress=lambda one: seen.append(one.update),
            checkpoint_seconds=1e9,
        )  # fmt: skip
    assert seen[-1] == 121


# --- every seed diverged --------------------------------------------------------------------------------------------


DEAD = {"dynamics.lr_critic": 1e39}  # beyond float32


@pytest.mark.parametrize("method", ["vanilla", "wgan-gp", "ensemble-4"])
def test_when_every_seed_has_diverged_the_rest_is_counted_and_not_trained(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = spec(method, **DEAD)
    if method == "ensemble-4":
        one = make_spec(method, "blobs-2", seeds=(3, 5), updates=200, batch=8, networks=MLP(width=64), settings=DEAD)
    played = 0
    real = Trainer._play_round

    def counted(self: Trainer, *args: Any) -> Any:
        nonlocal played
        played += 1
        return real(self, *args)

    monkeypatch.setattr(Trainer, "_play_round", counted)
    run = execute(one, tmp_path / "counted", device="cpu")
    rounds = 200 // one.method.dynamics.critic_steps
    assert 0 < played <= 10 < rounds
    lost = [lane["diverged_at"] for lane in run.metrics]
    assert all(lost)
    sentence = f"Every seed had diverged by update {max(lost):,}; the rest of the budget was not trained."
    assert run.result["warnings"] == [sentence]
    with monkeypatch.context() as patch:
        patch.setattr(Sitting, "_check_whether_over", lambda self: None)
        whole = execute(one, tmp_path / "trained", device="cpu")
    assert played > rounds
    assert digest(tmp_path / "counted") == digest(tmp_path / "trained")
    assert run.result["cost"] == whole.result["cost"]
    assert {**run.result, "warnings": []} == whole.result


def test_one_living_seed_keeps_the_run_going(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spec(updates=40)
    sitting_of_it = Sitting(one, tmp_path, torch.device("cpu"), None, lambda: False, 30.0)
    lanes = sitting_of_it.trainer.lanes
    for frozen, over in (((-1, -1), False), ((7, -1), False), ((7, 12), True)):
        sitting_of_it.trainer.lanes = lanes._replace(diverged_at=torch.tensor(frozen))
        sitting_of_it.keeper.warnings.clear()
        sitting_of_it._check_whether_over()
        assert sitting_of_it._over is over
        told = ["Every seed had diverged by update 12; the rest of the budget was not trained."]
        assert sitting_of_it.keeper.warnings == (told if over else [])


def test_a_run_of_lost_seeds_that_is_stopped_or_extended_stays_what_it_was(tmp_path: Path) -> None:
    one = spec(updates=30, **DEAD)
    execute(one, tmp_path / "whole", device="cpu")
    sittings = 0
    while not is_finished(tmp_path / "stopped", one):
        sittings += 1
        with contextlib.suppress(Stopped):
            run = execute(one, tmp_path / "stopped", device="cpu", stop=lambda: True)
    assert 20 < sittings < 50
    assert digest(tmp_path / "stopped") == digest(tmp_path / "whole")
    assert len(run.result["warnings"]) == 1
    longer = spec(updates=40, **DEAD)
    execute(longer, tmp_path / "whole", device="cpu")
    again = execute(longer, tmp_path / "at once", device="cpu")
    assert again.result["updates"] == 40
    newest = [max((tmp_path / name / "checkpoints").glob("step-*")) for name in ("whole", "at once")]
    first, second = [(path / "lanes.safetensors").read_bytes() for path in newest]
    assert first == second


# --- before the judgement -------------------------------------------------------------------------------------------


def test_a_stop_before_the_judgement_keeps_what_was_trained(tmp_path: Path) -> None:
    one = spec(updates=4)
    seen: list[int] = []
    with pytest.raises(Stopped):
        execute(
            one, tmp_path / "stopped", device="cpu", stop=lambda: seen[-1:] == [4],
            progress=lambda progress: seen.append(progress.update),
        )  # fmt: skip
    assert not (tmp_path / "stopped" / "result.json").exists()
    assert (tmp_path / "stopped" / "checkpoints" / "step-000000004").is_dir()
    # A sitting that only judges is not stopped, or a run that is stopped at every chance would never end.
    run = execute(one, tmp_path / "stopped", device="cpu", stop=lambda: True)
    assert run.result == execute(one, tmp_path / "whole", device="cpu").result


def test_a_writer_that_lost_its_directory_appends_nothing(tmp_path: Path) -> None:
    """It asks before it writes, not only afterwards: the history is another process's by now."""

    def lost() -> bool:
        raise LeaseLost("taken over")

    with pytest.raises(LeaseLost):
        execute(spec(updates=4), tmp_path / "run", device="cpu", stop=lost)
    assert not (tmp_path / "run" / "history.jsonl").exists()
    assert not list((tmp_path / "run").glob("samples/*"))
