from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncollapse.metrics.inversion import Agreement


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
