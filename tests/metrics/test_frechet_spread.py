from __future__ import annotations

import numpy as np
import pytest
import torch

from uncollapse.metrics import frechet_spread
from uncollapse.metrics.frechet_spread import Scatter, _second_order, influence
from uncollapse.metrics.inputs import Features
from uncollapse.metrics.moments import Moments


def gaussian(n: int, d: int, seed: int) -> Features:
    return Features(torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))), name="real")


def test_second_order_of_gaussians_meets_its_closed_form() -> None:
    sides = gaussian(4000, 6, 0), gaussian(4000, 6, 1)
    # Unit covariance: d from the means, and d (d - 1) / 8 + d / 4 from the covariances.
    expected = 6 + 6 * 5 / 8 + 6 / 4
    assert _second_order(*sides, *(Moments.of(side) for side in sides)) == pytest.approx(expected, rel=0.15)


def test_influence_of_a_shift_is_four_times_its_square() -> None:
    side = gaussian(5000, 3, 2)
    shift = torch.tensor([2.0, 0, 0], dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    found = influence(side, side.mean, shift, eye, torch.arange(3))
    assert found == pytest.approx(4 * 4 / 5000, rel=0.1)


def test_float32_finds_the_second_order_of_wide_rows_as_float64_does(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(7)
    scales = np.geomspace(1, 1e-3, 40)
    sides = [Features(draws.normal(size=(500, 40)) * scales, name="real") for _ in range(2)]
    moments = [Moments.of(side) for side in sides]
    exact = _second_order(*sides, *moments)
    monkeypatch.setattr(frechet_spread, "LARGE", 0)
    assert _second_order(*sides, *moments) == pytest.approx(exact, rel=1e-4)


def test_some_of_many_rows_tell_the_influence(monkeypatch: pytest.MonkeyPatch) -> None:
    side = gaussian(5000, 3, 2)
    given = torch.tensor([2.0, 0, 0], dtype=torch.float64), torch.eye(3, dtype=torch.float64), torch.arange(3)
    monkeypatch.setattr(frechet_spread, "ENOUGH_ROWS", 1_000)
    # The divisor is that of all rows; a thousand tell the variance to about 4.5 %.
    assert influence(side, side.mean, *given) == pytest.approx(4 * 4 / 5000, rel=0.14)


def test_far_from_equality_the_interval_is_that_of_the_root() -> None:
    scatter = Scatter(linear=0.04, curved=0.0, bias=0.0, slope=0.0, freedom=5.0)
    low, high = scatter.around(4.0, 0.95)
    # Variance 0.01 t: |4 - t| = 1.96 * 0.1 sqrt(t).
    for end in (low, high):
        assert abs(4 - end) == pytest.approx(1.959964 * 0.1 * end**0.5, rel=1e-6)


def test_at_equality_the_lower_side_is_the_longer_one() -> None:
    scatter = Scatter(linear=0.0, curved=1.0, bias=2.0, slope=0.0, freedom=2.0)
    low, high = scatter.around(2.0, 0.95, biased=True)
    # Upper 2.5 % point of chi^2 with 2 degrees: 7.378, less its mean, over its spread.
    assert 2 - low == pytest.approx((7.378 - 2) / 2, rel=1e-3)
    assert high - 2 == pytest.approx(1.96, rel=1e-3)


def test_no_spread_at_all_is_the_number_itself() -> None:
    assert Scatter(linear=0.0, curved=0.0, bias=0.0, slope=0.0, freedom=1.0).around(1.0, 0.95) == (1.0, 1.0)
