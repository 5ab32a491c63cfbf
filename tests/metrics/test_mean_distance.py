"""Diversity against closed forms of Gaussians and scipy's distances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from uncollapse.errors import UserError
from uncollapse.metrics.mean_distance import diversity


def _rows(n: int = 90, d: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("copies", [1, 3])
def test_value_is_scipys_mean_distance(copies: int) -> None:
    rows = np.repeat(_rows(), copies, 0)
    assert float(diversity(fake=rows)) == pytest.approx(pdist(rows).mean(), rel=1e-10)


def test_float32_duplicates_and_far_clusters_keep_their_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncollapse.metrics.pairs.EXACT_WORK", 0.0)
    rows = np.repeat(_rows(), 4, 0).astype(np.float32)
    assert float(diversity(fake=rows)) == pytest.approx(pdist(rows.astype(float)).mean(), rel=1e-6)
    real, fake = _rows(80).astype(np.float32), (1e-2 * _rows(90) + 5).astype(np.float32)
    found = diversity(fake=fake, real=real)
    assert float(found) == pytest.approx(pdist(fake.astype(float)).mean(), rel=1e-5)


def test_interval_covers_the_closed_form_of_gaussians() -> None:
    truth, covered = 2 * math.gamma(3.5) / math.gamma(3), 0
    for seed in range(200):
        found = diversity(fake=_rows(60, 6, seed))
        covered += found.holds(truth)
    assert 0.9 <= covered / 200 <= 0.99


def test_ratio_to_real_is_that_of_the_scales() -> None:
    found = diversity(fake=0.5 * _rows(400, 6, 1), real=_rows(300, 6, 2))
    low, high = found.details["ratio_interval"]
    assert low < 0.5 < high
    assert low < found.details["ratio_to_real"] < high < 0.6
    assert found.n_real == 300
    assert diversity(fake=_rows(), real=np.ones((9, 6))).details["ratio_to_real"] is None


def test_identical_fakes_have_no_upper_end() -> None:
    found = diversity(fake=np.ones((8, 2)))
    assert (found.value, found.low, found.high) == (0.0, 0.0, None)
    assert "all fakes are identical" in str(found.reason)


def test_few_rows_and_no_level() -> None:
    assert "fewer than 4 rows" in str(diversity(fake=_rows(3)).reason)
    assert diversity(fake=_rows(3), level=None).reason is None
    with pytest.raises(UserError, match="fake has 1 row"):
        diversity(fake=_rows(1))
    with pytest.raises(UserError, match="pairs goes with a distance"):
        diversity(fake=_rows(), pairs=5)
    with pytest.raises(UserError, match=r"distance must be a function of .*Lpips\(\.\.\.\), not 'lpips'"):
        diversity(fake=_rows(), distance="lpips")  # type: ignore[arg-type]


def test_a_distance_between_images_gives_the_same_mean() -> None:
    images = torch.tensor(_rows(100, 8)).reshape(100, 2, 2, 2)
    every = diversity(fake=images, distance=lambda a, b: (a - b).flatten(1).norm(dim=1), pairs=100 * 99 // 2)
    assert float(every) == pytest.approx(pdist(images.flatten(1).numpy()).mean(), rel=1e-9)
    full = diversity(fake=images.flatten(1))
    assert every.details["standard_error"] == pytest.approx(full.details["standard_error"], rel=0.02)


def test_order_of_rows_does_not_matter() -> None:
    rows = _rows()
    for options in ({}, {"distance": lambda a, b: (a - b).norm(dim=1)}):
        one, other = diversity(fake=rows, **options), diversity(fake=rows[::-1].copy(), **options)
        assert (one.value, one.low) == pytest.approx((other.value, other.low), rel=1e-9)
