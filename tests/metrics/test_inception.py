from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.metrics.inception import inception_score


def softmax_rows(random: np.random.Generator, n: int, classes: int, heat: float = 3.0) -> np.ndarray:
    logits = heat * random.standard_normal((n, classes))
    rows = np.exp(logits)
    return rows / rows.sum(1, keepdims=True)


def one_hot(random: np.random.Generator, n: int, shares: list[float]) -> np.ndarray:
    return np.eye(len(shares))[random.choice(len(shares), n, p=shares)]


def test_equal_rows_score_one_and_certain_balanced_rows_the_number_of_classes() -> None:
    same = inception_score(probabilities=np.full((100, 5), 0.2))
    assert same.value == pytest.approx(1, abs=1e-12)
    assert same.low == pytest.approx(1)
    assert 1.01 < same.high < 1.5
    full = inception_score(probabilities=np.eye(10)[np.arange(1000) % 10])
    assert full.value == pytest.approx(10, rel=1e-12)
    assert 9.8 < full.low < 10
    assert full.high == pytest.approx(10)


def test_value_is_the_definition() -> None:
    p = softmax_rows(np.random.default_rng(1), 300, 7)
    marginal = p.mean(0)
    expected = math.exp(np.mean([sum(a * math.log(a / b) for a, b in zip(row, marginal, strict=True)) for row in p]))
    assert inception_score(probabilities=p, level=None).value == pytest.approx(expected, rel=1e-12)
    assert inception_score(probabilities=torch.from_numpy(p), level=None).value == pytest.approx(expected, rel=1e-12)


def test_row_order_and_global_streams_do_not_matter() -> None:
    p = softmax_rows(np.random.default_rng(2), 200, 5)
    state = torch.get_rng_state()
    first, second = (inception_score(probabilities=x, splits=4) for x in (p, p[::-1].copy()))
    assert first.value == pytest.approx(second.value, rel=1e-12)
    assert first.low == pytest.approx(second.low, rel=1e-9)
    assert first.details["split_std"] > 0
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("kind", "splits"), [("soft", 1), ("soft", 3), ("uneven", 1), ("even", 1), ("two", 1)])
def test_interval_holds_the_mean_over_fresh_samples(kind: str, splits: int) -> None:
    random = np.random.default_rng(3)

    def draw() -> np.ndarray:
        if kind == "soft":
            return softmax_rows(random, 300, 6)
        shares = {"uneven": [0.5, 0.3, 0.15, 0.05], "even": [0.1] * 10, "two": [0.5, 0.5]}[kind]
        return one_hot(random, 300, shares)

    truth = np.mean([float(inception_score(probabilities=draw(), splits=splits, level=None)) for _ in range(200)])
    found = [inception_score(probabilities=draw(), splits=splits) for _ in range(100)]
    assert np.mean([one.holds(truth) for one in found]) >= 0.9
    assert all(one.low < one.high for one in found)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([[0.5, 0.4], [0.5, 0.5]], {}, "Row 0 of probabilities sums to 0.9"),
        ([[0.5, 0.5], [1.5, -0.5]], {}, "Row 1 of probabilities sums to 1 and its least number is -0.5"),
        ([[0.5, float("nan")], [0.5, 0.5]], {}, "not finite"),
        ([[0.5, 0.5]], {}, "needs at least 2"),
        ([[0.5, 0.5]] * 10, {"splits": 2.5}, r"splits must be a whole number of at least 1, not 2\.5"),
        ([[0.5, 0.5]] * 10, {"splits": 6}, "splits must be from 1 to half of the 10 rows, not 6"),
        ([[0.5, 0.5]] * 10, {"level": 1.0}, "level must be between 0 and 1"),
    ],
)
def test_what_is_refused(rows: list[list[float]], options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        inception_score(probabilities=rows, **options)  # type: ignore[arg-type]
