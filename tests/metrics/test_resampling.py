from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import t

from uncollapse.metrics.resampling import Spread, fraction, spread, subsamples


def test_the_error_of_a_mean_is_that_of_the_textbook() -> None:
    draws = torch.Generator().manual_seed(3)
    n, sigma = 1000, 2.0
    x = sigma * torch.randn(n, generator=draws, dtype=torch.float64)
    pairs = list(subsamples((n,), generator=draws, splits=400))
    first = torch.stack([x[one[0]].mean() for one, _ in pairs])
    second = torch.stack([x[other[0]].mean() for _, other in pairs])
    found = spread(first, second, fraction((n,)))
    assert found.error == pytest.approx(float(x.std()) / math.sqrt(n), rel=0.08)
    assert found.freedom == 400


def test_subsamples_are_disjoint_and_keep_the_proportion() -> None:
    for one, other in subsamples((100, 40), generator=torch.Generator().manual_seed(0), splits=3):
        assert [len(side) for side in one] == [50, 20]
        for a, b, size in zip(one, other, (100, 40), strict=True):
            assert len(set(a.tolist()) | set(b.tolist())) == size


def test_large_sides_are_cut_to_the_same_share() -> None:
    assert fraction((10_000, 4_000)) == 0.1
    one, other = next(subsamples((10_000, 4_000), generator=torch.Generator().manual_seed(0)))
    assert [len(side) for side in (*one, *other)] == [1000, 400, 1000, 400]


def test_the_interval_is_students() -> None:
    low, high = Spread(error=0.5, freedom=10).around(3.0, 0.95)
    assert (low, high) == pytest.approx((3 - 0.5 * t.ppf(0.975, 10), 3 + 0.5 * t.ppf(0.975, 10)))
