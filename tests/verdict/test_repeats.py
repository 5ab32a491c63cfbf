from __future__ import annotations

import numpy as np
import pytest
from tests.verdict.making import pool_of

from uncollapse.verdict.pool import p_value
from uncollapse.verdict.repeats import MINIMUM_REPEATS, repeats


def test_copies_are_counted_and_grouped() -> None:
    draws = np.random.default_rng(0)
    real, fake = draws.normal(size=(200, 16)), draws.normal(size=(200, 16))
    fake[150:170] = fake[0]  # 21 alike
    fake[170:175] = fake[1]  # 6 alike
    found = repeats(pool_of(real, fake))
    assert found.value_real == 0.0
    assert found.value_fake == pytest.approx(27 / 200)
    assert p_value(found.statistics) == pytest.approx(1 / 200)
    assert found.effect == pytest.approx(27 / 200, abs=0.02)
    assert found.effect >= MINIMUM_REPEATS
    groups = found.details["repeated"]
    assert set(groups[0]) == {0, *range(150, 170)}
    assert set(groups[1]) == {1, *range(170, 175)}
    assert len(groups) == 2


def test_nearly_equal_rows_count_too() -> None:
    draws = np.random.default_rng(0)
    real, fake = draws.normal(size=(200, 16)), draws.normal(size=(200, 16))
    fake[100:] = fake[:100] + 0.02 * draws.normal(size=(100, 16))
    assert repeats(pool_of(real, fake)).value_fake == 1.0


def test_repeats_on_both_sides_are_no_loss() -> None:
    draws = np.random.default_rng(0)
    sides = [np.repeat(draws.normal(size=(100, 16)), 2, 0) for _ in range(2)]
    found = repeats(pool_of(*sides))
    assert found.value_real == found.value_fake == 1.0
    assert found.effect < MINIMUM_REPEATS
    assert p_value(found.statistics) > 0.2


def test_more_fakes_than_real_rows_are_no_repeats() -> None:
    draws = np.random.default_rng(1)
    found = repeats(pool_of(draws.normal(size=(100, 2)), draws.normal(size=(800, 2))))
    # In the plane many rows have a near one by chance, and a larger side has more of them.
    assert found.value_fake > found.value_real + 0.1
    assert found.effect < MINIMUM_REPEATS
    assert p_value(found.statistics) > 0.03


def test_real_rows_that_repeat_are_no_loss_of_the_generator() -> None:
    draws = np.random.default_rng(2)
    real = np.repeat(draws.normal(size=(50, 8)), 4, 0)
    found = repeats(pool_of(real, draws.normal(size=(200, 8))))
    assert found.effect == 0.0
    assert p_value(found.statistics) > 0.9


def test_one_point_repeats_wholly() -> None:
    draws = np.random.default_rng(0)
    found = repeats(pool_of(draws.normal(size=(100, 4)), np.zeros((100, 4))))
    assert found.value_fake == 1.0
    assert len(found.details["repeated"][0]) == 100
