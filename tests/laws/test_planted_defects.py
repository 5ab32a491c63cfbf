"""Every metric ranks as its facts claim: digits with planted defects, measured again.

The defects and the rule by which one counts as seen are those of docs/defects.py, which also draws the pictures.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

import uncollapse as uc
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.metric import DEFECTS, NAMES, find_metric

FILE = Path(__file__).resolve().parents[2] / "docs" / "defects.py"


@pytest.fixture(scope="module")
def defects() -> Iterator[ModuleType]:
    """docs/defects.py."""
    spec = importlib.util.spec_from_file_location("planted_defects", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "path_length"])
def test_a_metric_sees_the_defects_that_its_facts_name_and_no_others(name: str, defects: ModuleType) -> None:
    metric = find_metric(name)
    found = defects.verdicts(name)
    assert tuple(found) == DEFECTS
    assert sorted((*metric.sees, *metric.misses)) == sorted(DEFECTS), "sees and misses share out the defects"
    report = "\n".join(f"{column}: {estimate}" for column, estimate in defects.estimates(name).items())
    assert set(metric.sees) == {defect for defect, sees in found.items() if sees}, report


def test_path_length_sees_jumps_and_likes_a_generator_that_makes_one_image(defects: ModuleType) -> None:
    metric = find_metric("path_length")
    assert (metric.sees, metric.misses) == ((), ())
    assert defects.verdicts("path_length") == {"steep": True, "nearly jumping": True, "one image": False}
    values = {column: float(estimate) for column, estimate in defects.estimates("path_length").items()}
    assert values["one image"] < 1e-6 < values["smooth"] < values["steep"] < values["nearly jumping"]


def test_every_defect_is_seen_by_something(defects: ModuleType) -> None:
    assert {defect for name in NAMES for defect in find_metric(name).sees} == set(DEFECTS)


def within_class_variance(images: Tensor, labels: Tensor) -> float:
    return float(torch.stack([images[labels == digit].var(0).sum() for digit in range(10)]).mean())


def test_the_halves_share_the_digits_and_no_image(defects: ModuleType) -> None:
    data = defects.halves()
    assert len(data.real) + len(data.other) == 1_797
    counts = [torch.bincount(labels, minlength=10) for labels in (data.real_labels, data.other_labels)]
    assert int((counts[0] - counts[1]).abs().max()) <= 2
    assert cdist(data.real, data.other).min() > 0


def test_the_defects_are_what_they_are_called(defects: ModuleType) -> None:
    data, made = defects.halves(), defects.samples()
    assert tuple(made) == (defects.HEALTHY, *DEFECTS)
    assert {tuple(images.shape) for images in made.values()} == {(defects.SIZE, 64)}
    healthy = made[defects.HEALTHY]
    kept = ~torch.isin(data.other_labels, torch.tensor(defects.LOST))
    assert cdist(made["modes lost"], data.other[kept]).min(1).max() == 0
    assert len(torch.unique(made["modes lost"], dim=0)) == defects.SIZE
    labels = data.other_labels[torch.from_numpy(cdist(healthy, data.other).argmin(1))]
    ratio = within_class_variance(made["variance shrunk"], labels) / within_class_variance(healthy, labels)
    assert ratio == pytest.approx(defects.SHRUNK**2, rel=1e-4)
    assert len(torch.unique(made["duplicates"], dim=0)) == defects.DISTINCT
    steps = [images.reshape(-1, 8, 8).diff(dim=2).square().mean() for images in (made["blur"], healthy)]
    assert steps[0] < 0.5 * steps[1]
    nearest = cdist(made["memorised"], data.real).min(1)
    assert nearest.max() < 0.3  # about .02 * sqrt(64)
    assert cdist(healthy, data.real).min(1).min() > 0.3


def test_the_defects_are_the_same_every_time(defects: ModuleType) -> None:
    before = {column: images.clone() for column, images in defects.samples().items()}
    defects.samples.cache_clear()
    defects.halves.cache_clear()
    assert all(torch.equal(images, before[column]) for column, images in defects.samples().items())


def estimate(low: float | None, high: float | None) -> Estimate:
    return Estimate(
        metric="m", value=1.0, low=low, high=high, level=0.95, n_real=1, n_fake=1, estimand="", interval="",
        direction="lower",
    )  # fmt: skip


def test_a_defect_counts_as_seen_only_on_the_bad_side_and_beyond_both_intervals(defects: ModuleType) -> None:
    healthy = estimate(1.0, 2.0)
    above, below, touching = estimate(2.1, 3.0), estimate(0.0, 0.9), estimate(2.0, 3.0)
    for direction, expected in (("lower", (True, False)), ("higher", (False, True)), ("near", (True, True))):
        assert (defects.seen(direction, healthy, above), defects.seen(direction, healthy, below)) == expected
        assert not defects.seen(direction, healthy, touching)
    assert defects.seen("lower", estimate(None, 2.0), estimate(2.1, None))
    assert not defects.seen("lower", estimate(1.0, None), above)
    assert not defects.seen("higher", healthy, estimate(0.0, None))


@pytest.mark.parametrize("defect", DEFECTS)
def test_precision_and_recall_exchange_when_real_and_fake_are_exchanged(defect: str, defects: ModuleType) -> None:
    real, fake = defects.halves().real, defects.samples()[defect]
    one = uc.metrics.precision(real=real, fake=fake, level=None)
    other = uc.metrics.recall(real=fake, fake=real, level=None)
    assert one.value == other.value
    assert (one.n_real, one.n_fake) == (other.n_fake, other.n_real)


def test_collapsed_fakes_lose_recall_and_exploded_fakes_lose_precision() -> None:
    draws = torch.Generator().manual_seed(4)
    real = torch.randn(600, 4, generator=draws)
    collapsed, exploded = (width * torch.randn(600, 4, generator=draws) for width in (0.1, 10.0))
    values = {
        (metric, name): float(getattr(uc.metrics, metric)(real=real, fake=fake, level=None))
        for metric in ("precision", "recall")
        for name, fake in (("collapsed", collapsed), ("exploded", exploded))
    }
    assert values["precision", "collapsed"] > 0.95
    assert values["recall", "collapsed"] < 0.1
    assert values["precision", "exploded"] < 0.1
    assert values["recall", "exploded"] > 0.9
