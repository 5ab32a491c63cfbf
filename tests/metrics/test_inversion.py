from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncollapse.metrics.inversion import Agreement, _drawn


def pearson(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    expected = fake.sum(1, keepdims=True) * real
    return ((fake - expected) ** 2 / expected).sum(1)


def noncentral_ends(seen: float, freedom: int) -> tuple[float, float]:
    """Means of the noncentral chi-squares that put 2.5 % above and below what was seen, by a fine search."""
    places = np.linspace(0, 4 * seen + 50, 200_001)
    below = stats.ncx2.cdf(seen, freedom, np.maximum(places, 1e-9))
    return freedom + places[np.argmax(below < 0.975)], freedom + places[np.argmax(below < 0.025)]


@pytest.mark.parametrize("shares", [[0.26, 0.24, 0.255, 0.245], [0.3, 0.2, 0.27, 0.23]])
def test_pearson_near_agreement_is_the_noncentral_chi_square(shares: list[float]) -> None:
    fake, real = 2_000 * np.array(shares), np.full(4, 0.25)
    found = Agreement(pearson, fake, real, exact=True)
    assert found.seen == pytest.approx(stats.chisquare(fake).statistic)
    assert found.ends(0.95) == pytest.approx(noncentral_ends(found.seen, 3), rel=0.08)
    assert found.floor == pytest.approx(3, rel=0.1)


def test_perfect_agreement_has_an_interval_from_the_floor_up() -> None:
    found = Agreement(pearson, np.full(4, 50.0), np.full(4, 0.25), exact=True)
    low, high = found.ends(0.95)
    assert found.seen == 0
    assert low == pytest.approx(3, rel=0.15)
    assert low < high < 8


def test_ends_come_out_the_same_every_time_and_widen_with_the_level() -> None:
    found = Agreement(pearson, np.array([70.0, 30.0]), np.array([60.0, 40.0]) / 100, exact=True)
    assert found.ends(0.95) == found.ends(0.95)
    (low, high), (lower, higher) = found.ends(0.8), found.ends(0.99)
    assert lower < low < high < higher


def homogeneity(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Pearson's number of two rows of counts of the same sum."""
    return ((fake - real) ** 2 / (fake + real)).sum(1)


@pytest.mark.parametrize("shift", [8, 25, 90])
def test_a_counted_reference_bounds_the_mean_by_scatter_and_not_by_the_floor(shift: int) -> None:
    fake, real = np.array([500.0, 500, 500, 500]), np.array([500.0 + shift, 500 - shift, 500, 500])
    found = Agreement(homogeneity, fake, real, exact=False)
    low, high = found.ends(0.95)
    limit = stats.chi2.ppf(0.975, 3)
    if found.seen < limit:
        # At agreement the number is chi-square with 3 degrees of freedom: its upper quantile less its mean.
        assert low == pytest.approx(max(0, found.seen - (limit - 3)), abs=0.3)
        assert low <= found.floor
    else:
        assert (low, high) == pytest.approx(noncentral_ends(found.seen, 3), rel=0.08)
        assert low > found.floor


def test_the_interval_reaches_as_far_as_that_of_either_number() -> None:
    fake, real = np.array([30.0, 50, 20]), np.array([40.0, 30, 30])
    ends = [
        Agreement(number, fake, real, exact=False).ends(0.9)
        for number in (homogeneity, lambda fake, real: 2 * homogeneity(fake, real))
    ]
    both = Agreement(homogeneity, fake, real, exact=False, also=lambda fake, real: 2 * homogeneity(fake, real))
    assert both.ends(0.9) == (min(low for low, _ in ends), max(high for _, high in ends))
    assert both.floor == Agreement(homogeneity, fake, real, exact=False).floor


def test_several_numbers_of_the_same_counts_are_told_from_the_same_draws_and_come_out_as_alone() -> None:
    fake, real = np.array([80.0, 60, 40]), np.array([70.0, 70, 60])
    alone = []
    for _ in range(2):
        _drawn.cache_clear()
        alone.append(Agreement(homogeneity, fake, real, exact=False).ends(0.95))
    drawn = _drawn.cache_info().misses
    assert Agreement(homogeneity, fake, real, exact=False).ends(0.95) == alone[0] == alone[1]
    assert _drawn.cache_info().misses == drawn
    # Other sizes and an exact reference of the same shares are other draws.
    assert Agreement(homogeneity, 2 * fake, real, exact=False).ends(0.95) != alone[0]
    assert Agreement(pearson, fake, real / real.sum(), exact=True).ends(0.95) != alone[0]
    assert _drawn.cache_info().misses > 2 * drawn


def test_tables_of_many_classes_are_not_kept_in_memory() -> None:
    many = np.full(300, 20.0)
    _drawn.cache_clear()
    assert Agreement(pearson, many, np.full(300, 1 / 300), exact=True).floor == pytest.approx(299, rel=0.05)
    assert _drawn.cache_info().currsize == 0
