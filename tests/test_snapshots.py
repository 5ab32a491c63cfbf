"""Snapshots: what is kept and what it is worth; the judgement itself is counted by hand in `test_run`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from uncollapse.loop import Trainer
from uncollapse.networks.mlp import MLP
from uncollapse.snapshots import SNAPSHOTS, kept, result, snapshot, worth, write_samples
from uncollapse.spec import RunSpec, make_spec


def spec(method: str = "vanilla", task: str = "blobs-2") -> RunSpec:
    return make_spec(method, task, seeds=(3, 5), updates=4, batch=8, networks=MLP(width=8, depth=1))


def test_looks_are_dense_at_first_and_reach_from_start_to_end() -> None:
    assert (SNAPSHOTS[0], SNAPSHOTS[-1], len(SNAPSHOTS)) == (0.0, 1.0, 10)
    gaps = np.diff(SNAPSHOTS)
    assert (gaps > 0).all()
    assert (gaps[:4] < gaps[-4:]).all()


@pytest.mark.parametrize(("task", "counts"), [("blobs-2", (500, 2_500)), ("digits", (200, 1_000))])
def test_more_points_than_pictures_are_kept(task: str, counts: tuple[int, int]) -> None:
    assert (kept(spec(task=task), final=False), kept(spec(task=task), final=True)) == counts


@pytest.mark.parametrize(
    ("modes", "quality", "expected"),
    [
        ([3.0, 5.0], [0.5, 0.25], (4.0, 0.375)),
        ([None, 5.0], [None, 0.25], (5.0, 0.25)),  # a frozen seed counts for nothing
        ([0.0, 0.0], [0.0, 0.0], (0.0, 0.0)),
        ([None, None], [None, None], None),
        ([3.0, 5.0], [None, None], None),  # a task that has no such measure
    ],
)
def test_worth_is_the_mean_over_living_seeds(
    modes: list[float | None], quality: list[float | None], expected: tuple[float, float] | None
) -> None:
    found = worth({"modes_solid": modes, "high_quality_share": quality, "modes_hit": modes})
    assert found == expected


def test_more_modes_are_worth_more_and_quality_decides_between_equals() -> None:
    fewer, equal, better = ((4.0, 0.9), (4.5, 0.1), (4.5, 0.2))
    assert fewer < equal < better


def test_samples_are_kept_with_the_labels_that_were_asked_for(tmp_path: Path) -> None:
    samples = torch.arange(24, dtype=torch.float64).reshape(2, 6, 2)
    write_samples(tmp_path / "plain" / "x.npz", spec(), samples=samples)
    with np.load(tmp_path / "plain" / "x.npz") as content:
        assert sorted(content) == ["samples"]
        assert content["samples"].dtype == np.float32
        np.testing.assert_array_equal(content["samples"], samples.numpy())
    write_samples(tmp_path / "y.npz", spec("cgan"), samples=samples, live=samples + 1)
    with np.load(tmp_path / "y.npz") as content:
        assert content["labels"].tolist() == [[0, 0, 0, 1, 1, 1]] * 2
        np.testing.assert_array_equal(content["live"], samples.numpy() + 1)


def test_a_frozen_seed_is_not_judged_at_a_snapshot() -> None:
    one = spec()
    trainer = Trainer(one)
    whole = snapshot(trainer, one)
    trainer.lanes = trainer.lanes._replace(diverged_at=torch.tensor([-1, 7]))
    found = snapshot(trainer, one)
    for key in ("measures", "measures_live"):
        for name, values in found[key].items():
            assert values == [whole[key][name][0], None]
    assert found["shares"][1] is None
    assert sum(found["shares"][0]) == pytest.approx(1)
    assert worth(found["measures"]) == worth({name: values[:1] for name, values in whole["measures"].items()})


def test_the_result_says_when_a_seed_was_lost() -> None:
    one = spec()
    trainer = Trainer(one)
    trainer.advance(4)
    trainer.lanes = trainer.lanes._replace(diverged_at=torch.tensor([-1, 3]))
    found = result(trainer, one, ["a sentence"])
    assert [(lane["seed"], lane["diverged_at"]) for lane in found["lanes"]] == [(3, None), (5, 3)]
    assert (found["status"], found["updates"], found["warnings"]) == ("finished", 4, ["a sentence"])
    assert all(math.isfinite(value) for value in found["lanes"][0]["measures"]["live"].values() if value is not None)
    assert [sum(lane["counts"]["averaged"]["all"]) for lane in found["lanes"]] == [10_000, 10_000]
