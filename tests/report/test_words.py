from __future__ import annotations

from typing import Any

import pytest

from uncollapse.report.records import Cell
from uncollapse.report.words import difference_sentence, joined, lead


def cell(method: str, mean: float, low: float | None, high: float | None, per_seed: list[float] | None = None) -> Cell:
    values = per_seed or [mean] * 4
    entry = {"mean": mean, "low": low, "high": high, "level": 0.95, "per_seed": values}
    return Cell(method=method, task="t", seeds=(0, 1, 2, 3), runs=(), measures={"modes_solid": entry})


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "method": "a", "baseline": "b", "difference": 2.0, "low": 1.0, "high": 3.0, "p_adjusted": 0.03, "n": 8,
        "smallest_p": 0.0078, "test": "paired sign-flip test, exact",
    }  # fmt: skip
    return base | changes


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([("a", 7, 6, 8), ("b", 3, 2, 4)], "On t, a kept more modes than b; the intervals do not overlap."),
        ([("a", 3, 2, 4), ("b", 7, 6, 8)], "On t, b kept more modes than a; the intervals do not overlap."),
        ([("a", 5, 2, 8), ("b", 4, 2, 6)], "On t, these seeds do not tell the two methods apart"),
        ([("a", 7, 6, 8), ("b", 3, 2, 4), ("c", 6, 5, 7)], "a kept more modes than b; it cannot be told apart from c."),
        # Touching ends are not apart, and an interval that could not be given settles nothing.
        ([("a", 7, 6, 8), ("b", 5, 4, 6)], "do not tell the two methods apart"),
        ([("a", 7, None, None), ("b", 3, 2, 4)], "do not tell the two methods apart"),
    ],
)
def test_lead_claims_only_what_parts(cells: list[tuple[str, float, float, float]], sentence: str) -> None:
    assert sentence in lead("t", [cell(*values) for values in cells], "modes_solid")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "a kept 2.0 more modes"),
        ({}, "a difference beyond chance"),
        ({"p_adjusted": 0.06}, "the interval leaves out zero, but the test alone does not establish it."),
        ({"p_adjusted": 0.12, "n": 4, "smallest_p": 0.125}, "so few seeds can reach no p below 0.12"),
        ({"low": -1.0, "p_adjusted": 0.4}, "chance may explain it, so no difference is established"),
        ({"difference": -2.0, "low": -3.0, "high": -1.0}, "a kept 2.0 fewer modes"),
        ({"difference": None, "low": None, "high": None}, "share no finished seed"),
    ],
)
def test_difference_says_how_much_it_weighs(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in difference_sentence(row(**changes), [], "modes_solid")


def test_equal_on_every_seed_is_no_difference_seen() -> None:
    equal = [cell("a", 4, 3, 5, [4, 3, 5, 4]), cell("b", 4, 3, 5, [4, 3, 5, 4])]
    only_on_average = [cell("a", 4, 3, 5, [3, 5, 4, 4]), cell("b", 4, 3, 5, [4, 4, 3, 5])]
    zero = row(difference=0.0, low=-0.5, high=0.5, p_adjusted=1.0, n=4)
    assert (
        difference_sentence(zero, equal, "modes_solid")
        == "No difference seen between a and b: equal on each of 4 seeds."
    )
    assert "No difference seen" not in difference_sentence(zero, only_on_average, "modes_solid")


def test_joined() -> None:
    assert [joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
