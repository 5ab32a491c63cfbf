"""Sums over pairs against the whole matrix, and the variance of their averages against simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from uncollapse.metrics.inputs import both
from uncollapse.metrics.pair_sums import Discrepancy, PairSums, identical, total_variance
from uncollapse.metrics.pairs import Pair, Tile


def _sums(tile: int, spread: bool = True) -> tuple[PairSums, np.ndarray, Pair]:
    draw = np.random.default_rng(0)
    pair = Pair(*both(draw.normal(size=(23, 3)), draw.normal(size=(17, 3))))
    sums = PairSums(pair, ("real", "fake", "cross"), lambda tile: tile.squared.clone(), spread=spread)
    pair.walk([sums], tile=tile)
    matrix = torch.cdist(pair.centred["real"], pair.centred["real"]).square().numpy()
    return sums, matrix, pair


@pytest.mark.parametrize("tile", [5, 23, 100])
def test_averages_are_those_of_the_matrix(tile: int) -> None:
    sums, matrix, pair = _sums(tile)
    within, cross = sums.within("real"), sums.across()
    assert within.mean == pytest.approx(matrix.sum() / (23 * 22), rel=1e-12)
    np.testing.assert_allclose(within.rows.numpy(), matrix.sum(1) / 22, rtol=1e-12)
    across = torch.cdist(pair.centred["real"], pair.centred["fake"]).square().numpy()
    assert cross.mean == pytest.approx(across.mean(), rel=1e-12)
    np.testing.assert_allclose(cross.columns.numpy(), across.mean(0), rtol=1e-12)


def test_rest_is_the_residual_of_an_additive_model_by_least_squares() -> None:
    sums, matrix, pair = _sums(7)
    index = [(i, j) for i in range(23) for j in range(i)]
    design = np.zeros((len(index), 23))
    for row, (i, j) in enumerate(index):
        design[row, [i, j]] = 1
    target = np.array([matrix[i, j] for i, j in index])
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    assert sums.within("real").rest == pytest.approx((residual**2).sum() / (len(index) - 23), rel=1e-9)
    across = torch.cdist(pair.centred["real"], pair.centred["fake"]).square().numpy()
    left = across - across.mean(1, keepdims=True) - across.mean(0) + across.mean()
    assert sums.across().rest == pytest.approx((left**2).sum() / (22 * 16), rel=1e-9)


def test_variance_of_a_mean_distance_matches_simulation() -> None:
    draw, values, variances = np.random.default_rng(1), [], []
    for _ in range(200):
        pair = Pair(*both(draw.normal(size=(40, 2)), draw.normal(size=(40, 2))))
        sums = PairSums(pair, ("fake",), lambda tile: tile.squared.sqrt())
        pair.walk([sums])
        within = sums.within("fake")
        values.append(within.mean)
        variances.append(within.variance)
    assert np.mean(variances) == pytest.approx(np.var(values), rel=0.3)


def test_strips_hand_on_the_distances_that_a_tile_has() -> None:
    seen: list[bool] = []

    def function(tile: Tile) -> torch.Tensor:
        seen.append("squared" in tile.__dict__)
        return tile.squared.clone()

    class First:
        sides = ("fake",)

        def visit(self, tile: Tile) -> None:
            tile.squared.sum()

    pair = Pair(*both(torch.randn(9, 2), torch.randn(9, 2)))
    pair.walk([First(), PairSums(pair, ("fake",), function)])
    assert all(seen)


def test_variance_is_never_below_that_of_the_pairs() -> None:
    assert total_variance(0.5, 1.0) == 1.0
    assert total_variance(5.0, 1.0) == 4.0


def test_interval_is_where_the_quadratic_is_0() -> None:
    found = Discrepancy(value=0.5, biased=0.6, naive=0.01, pairs=0.0004, freedom=10**9)
    low, high = found.ends(0.95)
    assert low < 0.5 < high
    slope = (0.01 - 2 * 0.0004) / 0.5
    for end in (low, high):
        assert (0.5 - end) ** 2 == pytest.approx(1.959964**2 * (slope * end + 0.0004), rel=1e-5)
    wider = found.ends(0.95, extra=0.01)
    assert wider[0] < low
    assert wider[1] > high


def test_copies_of_the_real_rows_have_an_interval_at_0_that_does_not_explode() -> None:
    found = Discrepancy(value=-0.02, biased=1e-12, naive=1e-4, pairs=1e-5, freedom=999)
    low, high = found.ends(0.95)
    assert low == 0.0
    assert high == pytest.approx(1.96234 * 1e-5**0.5, rel=1e-5)


def test_identical_rows_are_seen() -> None:
    real, fake = both([[1.0, 2.0]] * 3, [[1.0, 2.0], [1.0, 2.5]])
    assert identical(real)
    assert not identical(fake)
