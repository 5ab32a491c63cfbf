"""Vendi scores against hand counts and the numbers printed by their authors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from uncollapse.errors import UserError
from uncollapse.metrics.vendi import _below, vendi_score

ORDERS = [0.0, 0.5, 1.0, 2.0, math.inf]


def _from_similarity(similarity: list[list[float]]) -> np.ndarray:
    """Rows whose cosine similarities are these."""
    return np.linalg.cholesky(np.array(similarity))


@pytest.mark.parametrize("order", ORDERS)
def test_hand_counts(order: float) -> None:
    assert float(vendi_score(fake=np.ones((12, 3)), order=order)) == pytest.approx(1)
    assert float(vendi_score(fake=3 * np.eye(9), order=order)) == pytest.approx(9)
    assert float(vendi_score(fake=np.repeat(np.eye(5), 8, 0), order=order)) == pytest.approx(5)
    assert float(vendi_score(fake=np.repeat(np.eye(2), [3, 1], 0), order=order)) == pytest.approx(
        {0.0: 2, 0.5: (math.sqrt(0.75) + 0.5) ** 2, 1.0: 4 / 3**0.75, 2.0: 1 / 0.625, math.inf: 4 / 3}[order]
    )


def test_number_of_the_authors_readme() -> None:
    rows = _from_similarity([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert float(vendi_score(fake=rows)) == pytest.approx(2.1573, abs=1e-4)


def test_length_and_order_of_rows_do_not_matter() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(60, 5)) + 1
    one = vendi_score(fake=rows)
    other = vendi_score(fake=(rows * draw.uniform(1, 9, (60, 1)))[::-1].copy())
    assert float(other) == pytest.approx(float(one), rel=1e-9)
    again = vendi_score(fake=rows[::-1].copy())
    assert (again.low, again.high) == pytest.approx((one.low, one.high), rel=1e-9)


def test_interval_covers_the_mean_over_fresh_samples() -> None:
    draw = np.random.default_rng(0)
    found = [vendi_score(fake=draw.normal(size=(150, 6)) * [3, 2, 1, 1, 1, 0.5] + 0.5) for _ in range(150)]
    truth = float(np.mean([float(item) for item in found]))
    assert 0.9 <= np.mean([item.holds(truth) for item in found]) <= 0.99


@pytest.mark.parametrize(("value", "most", "half"), [(1.98, 2.0, 0.015), (40.0, 64.0, 0.5)])
def test_near_the_most_the_lower_end_is_a_distance_whose_own_spread_reaches_the_number(
    value: float, most: float, half: float
) -> None:
    end = _below(value, most, half, half)
    missing, there = most - value, most - end
    assert end < value
    assert (there - missing) ** 2 == pytest.approx(half**2 * there / missing, rel=1e-12)
    assert _below(2.0, 2.0, 0.1, 0.1) == 2.0


def test_all_directions_used_alike_by_chance_leave_the_interval_narrow() -> None:
    """The first-order spread vanishes with what is missing, so that a sample almost at the most says no less."""
    half = np.random.default_rng(3).standard_normal((250, 2))
    turned = half @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 1e-7
    found = vendi_score(fake=np.concatenate([half, turned]))
    assert found.value == pytest.approx(2.0, abs=1e-9)
    assert found.low is not None
    assert 1.97 < found.low < found.value


def test_the_interval_holds_near_the_most() -> None:
    """Directions that are almost evenly used: before, one interval in ten was above the mean over fresh samples."""
    stream = np.random.default_rng(5)
    scale = np.array([1.0, 0.75])
    found = [vendi_score(fake=stream.standard_normal((300, 2)) * scale) for _ in range(300)]
    mean = np.mean([one.value for one in found])
    assert 1.95 < mean < 1.99
    above = sum(one.low > mean for one in found if one.low is not None)
    below = sum(one.high < mean for one in found if one.high is not None)
    assert above <= 16
    assert below <= 16


def test_ratio_to_real_is_taken_at_equal_n() -> None:
    held = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        found = vendi_score(fake=draw.normal(size=(100, 30)), real=draw.normal(size=(400, 30)))
        low, high = found.details["ratio_interval"]
        held += low < 1 < high
        assert found.details["real"] > float(found)  # a score grows with n
    assert found.details["ratio_rows"] == 100
    assert found.n_real == 400
    assert 34 <= held <= 40  # binomial(40, .95): 0.3 % below 34


def test_what_has_no_usual_interval() -> None:
    same = vendi_score(fake=np.ones((50, 3)))
    assert same.low == 1.0
    assert same.high is not None
    assert 1.0 < same.high < 1.5
    assert same.conservative
    assert "rank" in str(vendi_score(fake=np.eye(5), order=0).reason)
    assert "equal" in str(vendi_score(fake=np.eye(5), order=math.inf).reason)
    assert "fewer than 4 rows" in str(vendi_score(fake=np.eye(3)).reason)
    assert vendi_score(fake=np.eye(3), level=None).reason is None


def test_refusals() -> None:
    with pytest.raises(UserError, match="order must be from 0 to infinity"):
        vendi_score(fake=np.eye(3), order=-1.0)
    with pytest.raises(UserError, match="real has 1 row of zeros only"):
        vendi_score(fake=np.eye(3), real=np.diag([1.0, 1.0, 0.0]))
