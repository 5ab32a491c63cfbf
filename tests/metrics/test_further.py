"""The facts of further measures, which records and reports read."""

from __future__ import annotations

import math

import pytest

from uncollapse.metrics.further import FURTHER, MODES
from uncollapse.metrics.modes import KEYS, diverged_value, measure_bounds

WEIGHTS = (0.25, 0.25, 0.5)


@pytest.mark.parametrize("name", sorted(FURTHER))
def test_a_measure_has_a_range_and_says_what_it_is(name: str) -> None:
    measure = FURTHER[name]
    assert measure.name == name
    assert name not in KEYS
    assert measure.says.endswith(".")
    assert measure.better in ("higher", "lower", "one")
    assert measure.high is None or measure.high == MODES or measure.high > measure.low
    assert diverged_value(name) == (0.0 if measure.covers else None)
    # What a lost seed counts as has to lie in the range.
    assert not measure.covers or measure.low == 0


def test_counts_of_modes_end_at_the_number_of_modes() -> None:
    assert measure_bounds("modes_five", WEIGHTS) == (0, 3)
    assert measure_bounds("recall", WEIGHTS) == (0, 1)
    assert measure_bounds("frechet_distance", WEIGHTS) == (0, math.inf)
