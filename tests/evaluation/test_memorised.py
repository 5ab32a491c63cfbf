from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import fisher_exact
from tests.evaluation.making import cloud, side

from uncollapse.evaluation import memorised
from uncollapse.evaluation.memorised import apart, copies, nearest_rows

TRAIN = side(cloud(300, 0, 6), "train")


def copied(count: int, of: int, seed: int, noise: float = 1e-3) -> np.ndarray:
    """Fakes (of, 6) of which so many are training rows, nearly."""
    chosen = np.random.default_rng(seed).permutation(300)[:count]
    return np.concatenate(
        [cloud(300, 0, 6)[chosen] + noise * cloud(count, seed + 1, 6), cloud(of - count, seed + 2, 6)]
    )


def test_nearest_rows_are_those_of_a_tree() -> None:
    rows = side(cloud(700, 3, 6))
    distance, index = nearest_rows(rows, TRAIN)
    expected = cKDTree(TRAIN.rows.features).query(rows.rows.features)
    np.testing.assert_allclose(distance, expected[0], rtol=1e-9)
    np.testing.assert_array_equal(index, expected[1])


def test_an_exact_copy_has_no_distance_however_far_from_zero() -> None:
    rows = cloud(50, 0, 6) + 1e6
    distance, index = nearest_rows(side(rows[::-1].copy()), side(rows, "train"))
    np.testing.assert_array_equal(distance, 0)
    np.testing.assert_array_equal(index, np.arange(50)[::-1])


def test_distances_pair_by_pair() -> None:
    import torch

    one, two = side(cloud(5, 0)), side(cloud(5, 1), "fake")
    found = apart(one, torch.tensor([0, 4]), two, torch.tensor([3, 3]))
    expected = np.linalg.norm(cloud(5, 0)[[0, 4]] - cloud(5, 1)[[3, 3]], axis=1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("real", "fake"), [(300, 300), (60, 600), (600, 60)])
def test_copies_are_counted_whatever_the_sizes(real: int, fake: int) -> None:
    count = min(fake // 2, 300)
    found = copies(side(cloud(real, 5, 6)), side(copied(count, fake, 7), "fake"), TRAIN, alpha=0.03)
    assert found.flagged
    assert found.share_fake == pytest.approx(count / fake, abs=0.03)
    assert found.share_real < 0.03
    assert set(found.copies[: count - 5]) <= set(range(count))
    # A chance that cannot be told from none is no chance of 0.
    assert found.sentence.endswith(" do (p < 0.001).")
    assert found.sentence.startswith(f"{100 * found.share_fake:.2g} % of the fakes lie on top of a training row;")


def test_fakes_that_are_all_copies_are_found_among_few_real_rows() -> None:
    # Of the pooled distances nine in ten are zero: no fixed quantile of the pool could tell a copy.
    found = copies(side(cloud(60, 5, 6)), side(cloud(300, 0, 6)[:300].repeat(2, 0), "fake"), TRAIN, alpha=0.03)
    assert found.flagged
    assert found.share_fake == 1


def test_the_p_value_is_that_of_fishers_exact_test() -> None:
    found = copies(side(copied(3, 200, 11)), side(copied(9, 150, 21), "fake"), TRAIN, alpha=0.03)
    close = round(found.share_real * 200), round(found.share_fake * 150)
    table = [[close[1], 150 - close[1]], [close[0], 200 - close[0]]]
    assert 3 <= close[0] < close[1]
    assert found.p_value == pytest.approx(fisher_exact(table, alternative="greater").pvalue, rel=1e-9)


def test_fakes_drawn_like_held_out_rows_raise_no_flag_more_often_than_alpha() -> None:
    alarms = 0
    for seed in range(40):
        found = copies(side(cloud(150, 100 + seed, 2)), side(cloud(150, 200 + seed, 2), "fake"),
                       side(cloud(150, 300 + seed, 2), "train"), alpha=0.1)  # fmt: skip
        alarms += found.p_value <= 0.1
    assert alarms <= 9  # of 40 at 10 %: more has a chance below 2 %


def test_p_values_are_written_as_in_their_examples() -> None:
    assert doctest.testmod(memorised).failed == 0


def test_an_excess_that_is_small_raises_no_flag() -> None:
    found = copies(side(cloud(3_000, 5, 6)), side(copied(90, 3_000, 7), "fake"), TRAIN, alpha=0.03)
    assert found.p_value < 1e-6
    assert found.share_fake == pytest.approx(0.03, abs=0.01)
    assert not found.flagged


def test_real_rows_that_were_trained_on_are_told() -> None:
    found = copies(side(cloud(300, 0, 6)), side(cloud(300, 9, 6), "fake"), TRAIN, alpha=0.03)
    assert not found.flagged
    assert found.sentence == (
        "0 % of the fakes lie on top of a training row; of the real rows 100 % do. So the real rows were trained on, "
        "and nothing can be said: give held-out rows as real."
    )


def test_rows_that_are_all_alike_are_no_excess() -> None:
    same = np.ones((30, 2))
    found = copies(side(same), side(same, "fake"), side(same, "train"), alpha=0.03)
    assert (found.share_real, found.share_fake, found.p_value, found.flagged) == (1.0, 1.0, 1.0, False)


def test_the_order_of_rows_changes_nothing() -> None:
    real, fake = cloud(80, 5, 6), copied(40, 90, 7)
    order = np.random.default_rng(0).permutation(90)
    one = copies(side(real), side(fake, "fake"), TRAIN, alpha=0.03)
    two = copies(side(real[::-1].copy()), side(fake[order], "fake"), TRAIN, alpha=0.03)
    assert (one.share_real, one.share_fake, one.p_value) == (two.share_real, two.share_fake, two.p_value)
    assert set(one.copies) == set(order[list(two.copies)].tolist())
