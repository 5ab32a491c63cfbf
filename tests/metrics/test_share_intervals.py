from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom

from uncollapse.metrics.intervals import wilson
from uncollapse.metrics.share_intervals import counted_ends, outlying_ends, share_ends

SHRINK = {1: 2.0, 2: 4.0, 4: 8.0}


def test_wilsons_interval_of_a_share_and_what_extra_variance_does() -> None:
    # Wilson 1927 for 50 of 100, z = 1.96: 0.4038 to 0.5962.
    low, high = share_ends(0.5, 0.5, 0.5 * 0.5 / 100, 100, 1.959964)
    assert (low, high) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))
    # For 8 of 10 Wilson says 0.490 to 0.943, and Clopper and Pearson's tables (1934) 0.963 for the upper end alone.
    low, high = share_ends(0.8, 0.8, 0.8 * 0.2 / 10, 10, 1.959964)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9632, abs=1e-4))
    wide = share_ends(0.8, 0.8, 4 * 0.8 * 0.2 / 100, 100, 1.959964)
    twice = share_ends(0.8, 0.8, 4 * 0.8 * 0.2 / 100, 100, 1.959964, shrink=2)
    assert wide == pytest.approx(share_ends(0.8, 0.8, 0, 25, 1.959964))
    assert twice[0] < wide[0] < 0.8 < wide[1] < twice[1]
    # Never surer than as many independent rows; at the ends never of width 0.
    assert share_ends(0.8, 0.8, 0, 100, 1.96) == share_ends(0.8, 0.8, 0.8 * 0.2 / 100, 100, 1.96)
    low, high = share_ends(1.0, 1.0, 0, 50, 1.96)
    assert 0.9 < low < high == 1


@pytest.mark.parametrize("n", [50, 100, 500, 2_000])
def test_shares_are_held_nearly_as_often_as_promised_also_near_0_and_1(n: int) -> None:
    """Exactly, by adding up the binomial probabilities of all numbers whose interval holds the share."""
    numbers, expected = np.arange(n + 1), np.concatenate([np.linspace(0.002, 8, 1_500), np.linspace(8, n / 2, 100)])

    def held(ends: list[tuple[float, float]]) -> np.ndarray:
        low, high = (np.array(side)[:, None] for side in zip(*ends, strict=True))
        shares = np.concatenate([expected / n, 1 - expected / n])
        inside = (low <= shares + 1e-12) & (shares <= high + 1e-12)
        return np.where(inside, binom.pmf(numbers[:, None], n, shares), 0).sum(0)

    ours = held([counted_ends(count / n, n, 1.959964) for count in numbers.tolist()])
    assert ours.min() > 0.925
    assert 0.95 < ours.mean() < 0.965  # and not by being far too wide
    assert held([wilson(count, n) for count in numbers.tolist()]).min() < 0.845


def test_ends_of_shares_are_wilsons_or_the_exact_ones_where_these_are_farther() -> None:
    # P(none) = (1 - p)^n = .95 for one row; of the Poisson limit (1 + x) exp(-x) = .95 for two, x = .3554.
    assert counted_ends(0.001, 1_000, 1.959964)[0] * 1_000 == pytest.approx(1_000 * (1 - 0.95**0.001), rel=1e-6)
    assert counted_ends(0.002, 1_000, 1.959964)[0] * 1_000 == pytest.approx(0.3554, abs=5e-4)
    assert 1_000 * (1 - counted_ends(0.998, 1_000, 1.959964)[1]) == pytest.approx(0.3554, abs=5e-4)
    assert counted_ends(0.001, 1_000, 1.959964)[1] == pytest.approx(wilson(1, 1_000)[1], rel=1e-6)
    for count in (0, 11, 500, 989, 1_000):
        assert counted_ends(count / 1_000, 1_000, 1.959964) == pytest.approx(wilson(count, 1_000), rel=1e-6, abs=1e-12)


def around(mean: float, spread: float, *shape: int) -> torch.Tensor:
    """Numbers of exactly that mean and, on every row, that unbiased standard deviation."""
    row = torch.linspace(-1, 1, shape[1], dtype=torch.float64)
    return mean + spread * (row / row.std()).expand(shape)


def test_the_upper_end_follows_the_part_that_varies_most_and_the_lower_end_the_subsamples() -> None:
    n, quantile = 1_000, 2.0
    alone = outlying_ends(0.8, {1: around(0.8, 0.02, 20, 2)}, 0.5, n, quantile, SHRINK)
    assert alone == pytest.approx(share_ends(0.8, 0.8, 0.5 * 0.02**2, n, quantile, 2.0), rel=1e-12)
    # Parts of an n-th of the rows vary n times as much where rows are independent: then they change next to nothing.
    even = {1: around(0.8, 0.02, 20, 2), 2: around(0.8, 0.02 * 2**0.5, 10, 4), 4: around(0.8, 0.04, 5, 8)}
    low, high = outlying_ends(0.8, even, 0.5, n, quantile, SHRINK)
    assert low == alone[0]
    assert high == pytest.approx(share_ends(0.8, 0.8, 0.5 * 0.02**2, n, quantile, 8.0)[1], rel=1e-12)
    # Where outliers decide, they vary far more.
    far = even | {4: around(0.8, 0.12, 5, 8)}
    low, higher = outlying_ends(0.8, far, 0.5, n, quantile, SHRINK)
    assert low == alone[0]
    assert higher == pytest.approx(share_ends(0.8, 0.8, 0.125 * 0.12**2, n, quantile, 8.0)[1], rel=1e-12)
    assert higher > high > alone[1] > 0.8
    # A number whose parts do not count rests on the subsamples alone.
    plain = share_ends(0.8, 0.8, 0.5 * 0.02**2, n, quantile, 1.5)
    assert outlying_ends(0.8, far, 0.5, n, quantile, {1: 1.5}) == pytest.approx(plain, rel=1e-12)


def test_the_spread_of_parts_counts_as_a_part_of_what_their_own_share_allows() -> None:
    """A number near 0 does not get the spread that its parts have at a half."""
    found = {1: around(0.01, 0.001, 20, 2), 4: around(0.5, 0.2, 5, 8)}
    low, high = outlying_ends(0.01, found, 0.5, 1_000, 2.0, SHRINK)
    assert high == pytest.approx(share_ends(0.01, 0.01, 0.125 * 0.2**2 * 0.0099 / 0.25, 1_000, 2.0, 8.0)[1], rel=1e-12)
    assert low == share_ends(0.01, 0.01, 0, 1_000, 2.0)[0]
    assert high < share_ends(0.01, 0.01, 0.125 * 0.2**2, 1_000, 2.0, 8.0)[1]
    # Parts without a share of their own say nothing.
    assert outlying_ends(0.01, found | {4: torch.zeros(5, 8)}, 0.5, 1_000, 2.0, SHRINK)[1] == pytest.approx(
        share_ends(0.01, 0.01, 0, 1_000, 2.0)[1], rel=1e-12
    )


def test_ends_stay_within_0_and_1() -> None:
    wild = {1: around(0.9, 0.3, 20, 2), 2: around(0.9, 0.3, 10, 4), 4: around(0.9, 0.3, 5, 8)}
    for value in (0.0, 1.0):
        low, high = outlying_ends(value, wild, 0.5, 200, 2.0, SHRINK)
        assert 0 <= low < high <= 1
