"""Symptoms: which rows of evidence show them, at and around their thresholds."""

from __future__ import annotations

from typing import Any

import pytest

from uncollapse.errors import UserError
from uncollapse.symptoms import SYMPTOMS, find_symptom, span


def row(*, successes: int = 4, diverged: int = 0, quality: float = 0.95, core: float | None = 1.0) -> dict[str, Any]:
    """A row of evidence on four seeds."""
    measures = {"high_quality_share": {"mean": quality, "low": 0.9, "high": 1.0, "n": 4}}
    if core is not None:
        measures["core_sigma_ratio"] = {"mean": core, "low": None, "high": None, "n": 4}
    return {
        "seeds": 4,
        "success_rate": {"successes": successes, "n": 4, "value": successes / 4, "low": 0.1, "high": 1.0},
        "diverged": {"count": diverged, "n": 4, "value": diverged / 4, "low": 0.0, "high": 0.5},
        "measures": measures,
    }


@pytest.mark.parametrize(
    ("symptom", "healthy", "ill"),
    [
        ("missing-modes", row(), row(successes=3)),
        ("missing-modes", row(successes=3, diverged=1), row(successes=2, diverged=1)),
        ("low-precision", row(quality=0.9), row(quality=0.899)),
        ("shrunken-variance", row(core=0.9), row(core=0.899)),
        ("shrunken-variance", row(core=None), row(core=0.1)),
        ("divergence", row(), row(diverged=1)),
    ],
)
def test_a_threshold_has_two_sides(symptom: str, healthy: dict[str, Any], ill: dict[str, Any]) -> None:
    assert not SYMPTOMS[symptom].shown(healthy)
    assert SYMPTOMS[symptom].shown(ill)


def test_values_carry_their_intervals() -> None:
    assert SYMPTOMS["missing-modes"].value(row(successes=3)) == "3 of 4 seeds, 75 % [10, 100]"
    assert SYMPTOMS["low-precision"].value(row()) == "95 % [90, 100]"
    assert SYMPTOMS["shrunken-variance"].value(row()) == "1, no interval"
    assert SYMPTOMS["shrunken-variance"].value(row(core=None)) == "not measured"
    assert SYMPTOMS["divergence"].value(row(diverged=1)) == "1 of 4 seeds, 25 % [0, 50]"
    assert span(-0.5, -1, 0.25, sign=True) == "-0.5 [-1, +0.25]"


def test_nearer_to_one_is_the_better_core() -> None:
    level = SYMPTOMS["shrunken-variance"].level
    assert level(row(core=1.05)) > level(row(core=0.9)) > level(row(core=1.2))


def test_an_unknown_symptom_names_the_nearest() -> None:
    with pytest.raises(UserError, match="no symptom 'missing-mode'; did you mean 'missing-modes'"):
        find_symptom("missing-mode")
