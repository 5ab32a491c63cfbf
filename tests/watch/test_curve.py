"""Curves in bounded memory: exact while short, an envelope that loses no peak when long."""

from __future__ import annotations

import json

import numpy as np

from uncollapse.watch.curve import MOST, Curve


def test_a_short_curve_is_kept_as_it_is() -> None:
    curve = Curve(2)
    for update, values in ((10, [1.0, 2.0]), (20, [3.0, np.nan]), (30, [5.0, np.nan])):
        curve.add(update, np.array(values))
    assert curve.to_json(100) == {"x": [10, 20, 30], "low": [[1.0, 3.0, 5.0], [2.0, None, None]]}
    assert curve.last[0] == 5.0
    assert np.isnan(curve.last[1])


def test_a_curve_of_no_records() -> None:
    assert Curve(3).to_json(10) == {"x": [], "low": [[], [], []]}


def test_a_long_curve_keeps_every_peak_in_bounded_memory() -> None:
    draw = np.random.default_rng(0)
    values = draw.standard_normal((20_000, 3))
    values[12_345, 1] = 50.0
    values[777, 2] = -60.0
    curve = Curve(3)
    for update, row in enumerate(values, 1):
        curve.add(update, row)
    assert curve.count <= MOST
    found = curve.to_json(300)
    assert 150 <= len(found["x"]) <= 300
    assert found["x"][-1] == 20_000
    low, high = np.array(found["low"]), np.array(found["high"])
    # Rounded to four digits of the largest value, which is 60.
    np.testing.assert_allclose(high.max(1), values.max(0), atol=0.006)
    np.testing.assert_allclose(low.min(1), values.min(0), atol=0.006)
    assert found["x"] == sorted(set(found["x"]))
    assert (low <= high).all()
    where = np.searchsorted(found["x"], 12_346)
    assert high[1, where] == 50.0


def test_gaps_stay_gaps_and_do_not_spread() -> None:
    curve = Curve(2)
    for update in range(2_000):
        curve.add(update, np.array([1.0, np.nan if update > 1_000 else 2.0]))
    found = curve.to_json(100)
    assert None not in found["low"][0]
    alive = [value is not None for value in found["low"][1]]
    assert alive == sorted(alive, reverse=True)
    assert abs(sum(alive) / len(alive) - 0.5) < 0.03


def test_numbers_are_short_and_strict_json() -> None:
    curve = Curve(1)
    for update, value in enumerate((1.23456789, 0.00012345, 1e-30), 1):
        curve.add(update, np.array([value]))
    text = json.dumps(curve.to_json(10), allow_nan=False)
    assert json.loads(text)["low"] == [[1.235, 0.0, 0.0]]
    small = Curve(1)
    small.add(1, np.array([1.23456e-7]))
    assert small.to_json(10)["low"] == [[1.235e-07]]
    huge = Curve(1)
    huge.add(1, np.array([1.23456e12]))
    assert huge.to_json(10)["low"] == [[1.235e12]]
