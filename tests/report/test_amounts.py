from __future__ import annotations

import math

import pytest

from uncollapse.report.amounts import NOTHING, Amount, amount_of, success_of, whole


@pytest.mark.parametrize(
    ("amount", "line"),
    [
        (Amount(value=4.25, low=2.7, high=5.8, kind="count", basis="4 seeds"), "4.2 [2.7, 5.8], 4 seeds"),
        (Amount(value=0.934, low=0.9, high=0.96, kind="share"), "93 % [90, 96]"),
        (Amount(value=-0.25, low=-1.8, high=1.3, kind="count", difference=True), "\u22120.2 [\u22121.8, 1.3]"),
        (Amount(value=0.4, low=0.1, high=0.7, kind="share", difference=True), "+40 points [10, 70]"),
        (Amount(value=0.0, kind="count", difference=True), "0.0"),
        (Amount(value=0.5, high=0.6), "0.50 [at most 0.60]"),
        (Amount(value=0.5, low=0.4), "0.50 [at least 0.40]"),
        (Amount(value=0.75, low=0.3, high=0.95, kind="share", said="3 of 4"), "3 of 4 [30, 95]"),
        (Amount(value=1_024_000.0, kind="whole"), "1,024,000"),
        (Amount(value=81.5, kind="seconds"), "1 min 22 s"),
        (Amount(value=0.0004, kind="p"), "below 0.001"),
        (Amount(value=1874.2), "1,874"),
        (NOTHING, ""),
    ],
)
def test_each_amount_is_printed_by_one_rule(amount: Amount, line: str) -> None:
    assert amount.compact == line


def test_an_entry_keeps_its_plain_numbers() -> None:
    entry = {"mean": 17 / 3, "low": 2.0, "high": 8.0, "level": 0.9, "per_seed": [8, 8, None, 1]}
    assert amount_of(entry, "count").numbers == {"value": 17 / 3, "low": 2.0, "high": 8.0, "level": 0.9, "n": 3}
    assert amount_of({"mean": 1.0, "low": None, "high": None, "n": 1}, "count").numbers["level"] is None
    assert amount_of(None, "count") is NOTHING


def test_numbers_that_are_not_finite_become_nothing() -> None:
    found = Amount(value=math.nan, low=-math.inf, high=1.0)
    assert found.numbers == {"value": None, "low": None, "high": 1.0, "level": None, "n": None}
    assert found.text == "none"


def test_a_success_rate_says_its_counts() -> None:
    found = success_of({"successes": 3, "n": 4, "low": 0.3, "high": 0.95})
    assert (found.text, found.value, found.basis) == ("3 of 4", 0.75, "4 seeds")
    assert success_of({"successes": 0, "n": 0}) is NOTHING


def test_only_numbers_are_whole() -> None:
    assert whole(33666).text == "33,666"
    assert whole(None) is whole("many") is whole(True) is NOTHING
