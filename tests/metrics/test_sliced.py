from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from uncollapse.errors import UserError
from uncollapse.metrics import sliced
from uncollapse.metrics.inputs import Features
from uncollapse.metrics.sliced import orthogonal, quantile_gaps, sliced_wasserstein


def rows(n: int, d: int, seed: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * scale


def test_steps_of_unequal_sides_give_the_exact_transport_of_point_masses() -> None:
    x, y = np.sort(rows(7, 1, 0)[:, 0]), np.sort(rows(12, 1, 1)[:, 0])
    i, j, widths = (item.numpy() for item in quantile_gaps(7, 12))
    assert widths.sum() == pytest.approx(1, rel=1e-14)
    # With the distance itself as cost, SciPy knows the answer.
    assert (widths * np.abs(x[i] - y[j])).sum() == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)


@pytest.mark.parametrize(("width", "count"), [(1, 1), (3, 10), (20, 8)])
def test_directions_are_orthonormal_within_blocks(width: int, count: int) -> None:
    blocks = orthogonal(width, count, torch.Generator().manual_seed(0))
    assert sum(len(block) for block in blocks) >= count
    for block in blocks:
        torch.testing.assert_close(block @ block.T, torch.eye(len(block), dtype=torch.float64))


@pytest.mark.parametrize("n", [40, 43])
def test_parts_keep_the_order_of_the_whole(n: int) -> None:
    x, codes = rows(3, n, 20), sliced._halvings(Features(rows(n, 2, 21), name="real"), torch.Generator().manual_seed(5))
    order = x.argsort(1)
    noise, apart = sliced._noise(np.sort(x, 1), order, codes)
    expected, halves = np.zeros(3), np.zeros(len(codes))
    for k, code in enumerate(codes):
        assert np.bincount(code, minlength=5)[1:].tolist() == [n // 4] * 4

        def squared(one: tuple[int, ...], other: tuple[int, ...], code: np.ndarray = code) -> np.ndarray:
            parts = [np.sort(x[:, np.isin(code, groups)], 1) for groups in (one, other)]
            return ((parts[0] - parts[1]) ** 2).mean(1)

        half = squared((1, 2), (3, 4))
        halves[k] = half.sum() / 4
        expected += half / 2 - (squared((1,), (2,)) + squared((3,), (4,))) / 16
    np.testing.assert_allclose(apart, halves, rtol=1e-12)
    np.testing.assert_allclose(noise, expected / len(codes) * (n // 4 * 4 / n), rtol=1e-12)


@pytest.mark.parametrize(("m", "near"), [(30, 1e-3), (45, 0.05)], ids=["equal sides", "steps of unequal sides"])
def test_what_a_row_does_to_the_distance_is_its_slope_when_it_becomes_heavier(m: int, near: float) -> None:
    x, y = rows(30, 1, 22), rows(m, 1, 23) + 0.3
    sides = Features(x, name="real"), Features(y, name="fake")
    slices = sliced._Slices(sides, torch.Generator().manual_seed(0), wanted=True)
    moved = slices._along(x.T.copy(), y.T.copy()).moved

    def distance(weights: np.ndarray) -> float:
        ends, others = (np.concatenate([[0], np.cumsum(w / w.sum())]) for w in (weights, np.ones(m)))
        cuts = np.unique(np.concatenate([ends, others]))
        middle = (cuts[1:] + cuts[:-1]) / 2
        mine = np.sort(x[:, 0])[np.clip(np.searchsorted(ends, middle) - 1, 0, 29)]
        its = np.sort(y[:, 0])[np.clip(np.searchsorted(others, middle) - 1, 0, m - 1)]
        return float((np.diff(cuts) * (mine - its) ** 2).sum())

    slopes, step = np.zeros(30), 1e-4
    for place, row in enumerate(x[:, 0].argsort()):
        up, down = (np.ones(30) + sign * step * (np.arange(30) == place) for sign in (1, -1))
        # A row's share of the weight is 1/30, and the slope is per unit of that share.
        slopes[row] = (distance(up) - distance(down)) / (2 * step) * 30
    np.testing.assert_allclose(moved[0], slopes, rtol=0, atol=near * np.abs(slopes).max())


def test_threads_and_strips_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = rows(101, 6, 24), rows(130, 6, 25, 1.2)
    first = sliced_wasserstein(real=x, fake=y, projections=50)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert sliced_wasserstein(real=x, fake=y, projections=50) == first
    finally:
        torch.set_num_threads(before)
    monkeypatch.setattr(sliced, "STRIP_NUMBERS", 700)
    monkeypatch.setattr(sliced, "HELD_NUMBERS", 3_000)
    other = sliced_wasserstein(real=x, fake=y, projections=50)
    assert (other.value, other.low, other.high) == pytest.approx((first.value, first.low, first.high), rel=1e-9)


@pytest.mark.parametrize("d", [1, 3, 30])
def test_a_shift_is_three_times_its_square(d: int) -> None:
    x, shift = rows(400, d, 2), np.linspace(1, 2, d)
    found = sliced_wasserstein(real=x, fake=x + shift, projections=60)
    # Every block of d directions sees |D|^2 exactly; what halves add is about that of sampling noise.
    assert found.value == pytest.approx(3 * (shift**2).sum(), rel=0.1)


def test_gaussians_of_other_scale_meet_the_closed_form_and_the_interval_holds_it() -> None:
    hits = 0
    for seed in range(20):
        found = sliced_wasserstein(real=rows(400, 8, 10 + seed), fake=rows(600, 8, 50 + seed, 0.5), projections=64)
        hits += found.holds(3 * 8 * 0.25)
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
    assert hits >= 16


def test_equal_sides_have_mean_zero() -> None:
    values = [
        sliced_wasserstein(real=rows(300, 4, seed), fake=rows(200, 4, 70 + seed), projections=40, level=None).value
        for seed in range(20)
    ]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / 20**0.5)
    assert np.std(values) > 0


def ring(n: int, stream: np.random.Generator, lost: int) -> np.ndarray:
    """Eight narrow modes on a circle, the first ones lost."""
    angles = 2 * np.pi * stream.integers(lost, 8, n) / 8
    return 3 * np.stack([np.cos(angles), np.sin(angles)], 1) + 0.5 * stream.standard_normal((n, 2))


def test_the_interval_holds_where_a_mode_is_lost() -> None:
    """Mass crosses gaps, and a low number comes with a low variance: before, one interval in eight was below."""
    truth = 1.0308  # quadrature over quantiles, benchmarks/populations.py
    stream, found = np.random.default_rng(8), []
    for _ in range(150):
        sides = {"real": ring(500, stream, 0), "fake": ring(500, stream, 1)}
        found.append(sliced_wasserstein(**sides, projections=100))
    below = sum(one.high < truth for one in found if one.high is not None)
    above = sum(one.low > truth for one in found if one.low is not None)
    assert below <= 10
    assert above <= 10
    assert below + above <= 14  # 7.5 are expected; 15 or more by chance in one seed of a hundred


def test_order_type_and_scale() -> None:
    x, y = rows(101, 4, 3), rows(150, 4, 4, 1.3)
    first = sliced_wasserstein(real=x, fake=y, projections=40)
    other = sliced_wasserstein(real=torch.from_numpy(x[::-1].copy()), fake=y, projections=40)
    assert (first.value, first.low, first.high) == pytest.approx((other.value, other.low, other.high), rel=1e-9)
    bigger = sliced_wasserstein(real=10 * x, fake=10 * y, projections=40)
    # Other numbers have other keys, hence other halves: the same only within their noise.
    assert bigger.value == pytest.approx(100 * first.value, rel=0.3)
    state = torch.get_rng_state()
    sliced_wasserstein(real=x, fake=y, projections=4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(state, torch.get_rng_state())


def test_constant_and_collapsed_sides_have_a_number() -> None:
    x = np.ones((20, 3))
    assert sliced_wasserstein(real=x, fake=x, projections=9).value == 0
    assert sliced_wasserstein(real=x, fake=x + 1, projections=9).value == pytest.approx(9, rel=1e-12)
    collapsed = sliced_wasserstein(real=rows(50, 3, 5), fake=np.zeros((50, 3)), projections=9)
    assert collapsed.low is not None
    assert collapsed.low > 0


def test_what_cannot_be_used_is_refused() -> None:
    x = rows(20, 3, 6)
    with pytest.raises(UserError, match="projections must be a whole number of at least 1, for example 1000, not 0"):
        sliced_wasserstein(real=x, fake=x, projections=0)
    with pytest.raises(UserError, match="at least 4"):
        sliced_wasserstein(real=x[:3], fake=x)


def test_no_interval_claims_certainty() -> None:
    x = rows(500, 2, 30)
    copies = sliced_wasserstein(real=x, fake=x)
    assert copies.value is not None
    assert copies.value < 0
    assert copies.high is not None
    assert copies.high > 0.01
    constant = sliced_wasserstein(real=np.ones((20, 3)), fake=np.zeros((20, 3)), projections=9)
    assert (constant.low, constant.high) == (None, None)
    assert constant.reason == "all rows of each side are identical, so that no spread was seen"
