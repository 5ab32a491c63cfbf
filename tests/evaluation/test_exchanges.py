from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from tests.evaluation.making import Array, cloud, side

from uncollapse.evaluation import exchanges
from uncollapse.evaluation.dimensions import _over_both
from uncollapse.evaluation.exchanges import adjusted_chances


def chances(real: Array, fake: Array, *, alpha: float = 0.03, seed: int = 0) -> Array:
    sides = side(real), side(fake, "fake")
    return adjusted_chances(*sides, _over_both(*sides), alpha=alpha, seed=seed)


def heavy(n: int, seed: int) -> Array:
    """Rows with long tails and many zeros, for which no normal approximation holds."""
    return np.maximum(np.exp(1.5 * np.random.default_rng(seed).normal(size=(n, 6))) - 1, 0)


@pytest.mark.parametrize(("n", "m", "repeats"), [(40, 25, 150), (90, 90, 100), (30, 400, 60)])
def test_equal_sides_differ_in_any_feature_no_more_often_than_the_level(n: int, m: int, repeats: int) -> None:
    least = [chances(heavy(n, 2 * s), heavy(m, 2 * s + 1), alpha=0.1, seed=s).min() for s in range(repeats)]
    # The test is exact, so its level is kept and used: both ends have a chance of about 2 %.
    low, high = binom.ppf([0.02, 0.98], repeats, 0.1)
    assert low <= np.sum(np.array(least) <= 0.1) <= high


def test_blocks_of_many_rows_keep_the_level_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "BLOCKS", 40)
    found = [chances(heavy(130, 2 * s), heavy(121, 2 * s + 1), alpha=0.1, seed=s).min() for s in range(100)]
    low, high = binom.ppf([0.02, 0.98], 100, 0.1)
    assert low <= np.sum(np.array(found) <= 0.1) <= high


@pytest.mark.parametrize("blocks", [1_000, 100])
def test_what_differs_is_found_and_what_does_not_is_left_alone(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    monkeypatch.setattr(exchanges, "BLOCKS", blocks)
    real, fake = cloud(400, 0, 5), cloud(350, 1, 5)
    fake[:, 1] += 0.6
    fake[:, 3] *= 0.6
    found = chances(real, fake)
    assert (found[[1, 3]] <= 0.002).all()
    assert (found[[0, 2, 4]] > 0.1).all()


def test_a_side_that_is_far_larger_is_of_use() -> None:
    real, fake = cloud(9_000, 0, 2), cloud(60, 1, 2)
    fake[:, 0] += 1
    found = chances(real, fake)
    assert found[0] <= 0.002
    assert found[1] > 0.1


def test_neither_order_nor_unit_nor_the_parts_looked_at_together_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = cloud(200, 0, 5), cloud(150, 1, 5)
    one = chances(real, fake)
    order = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(one, chances(real[order], fake[::-1].copy()))
    # Other rows are first by content, so the exchanges are others: three standard errors of 999 of them.
    np.testing.assert_allclose(one, chances(real * 1e6 + 1e7, fake * 1e6 + 1e7), atol=0.05)
    monkeypatch.setattr(exchanges, "PART", 7)
    monkeypatch.setattr(exchanges, "COLUMNS", 2)
    np.testing.assert_allclose(one, chances(real, fake), atol=0.01)


def test_features_without_any_difference_have_no_chance_against_them() -> None:
    real, fake = cloud(30, 0, 3), cloud(30, 1, 3)
    real[:, 0] = fake[:, 0] = 5.1
    real[:, 1] = 2
    found = chances(real, fake)
    assert found[0] == 1
    assert found[1] <= 0.002
    assert (chances(np.ones((30, 2)), np.ones((25, 2))) == 1).all()


def test_a_small_level_takes_more_exchanges() -> None:
    real, fake = cloud(60, 0, 2), cloud(60, 1, 2) + 3
    assert chances(real, fake, alpha=0.03).max() == pytest.approx(1 / 1_000)
    assert chances(real, fake, alpha=0.001).max() == pytest.approx(1 / 10_001)
