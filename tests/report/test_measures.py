from __future__ import annotations

import math

import pytest

from uncollapse.report.measures import BY_KEY, number, p_text, span


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (7.75, "count", "7.8"), (0.934, "share", "93 %"), (0.004, "share", "0.4 %"), (0.996, "share", "99.6 %"),
        (1.0, "share", "100 %"), (0.0, "number", "0.00"), (0.0123, "number", "0.0123"), (-1.5, "number", "\u22121.50"),
        (1.7e-7, "number", "<0.0001"), (0.000226, "number", "0.00023"), (0.9999, "share", "99.9+ %"),
        (None, "number", "none"), (math.nan, "number", "none"), (math.inf, "count", "none"),
    ],
)  # fmt: skip
def test_number(value: float | None, kind: str, text: str) -> None:
    assert number(value, kind) == text


def test_interval_names_its_unit_once_and_admits_when_there_is_none() -> None:
    assert span({"low": 0.4, "high": 0.79}, "share") == "40 to 79 %"
    assert span({"low": 2.7, "high": 5.8}, "count") == "2.7 to 5.8"
    assert span({"low": None, "high": None}, "count") == "no interval"


def test_p() -> None:
    assert [p_text(p) for p in (0.0004, 0.0123, 0.125, 0.64, None)] == ["below 0.001", "0.012", "0.125", "0.64", "none"]


def test_every_measure_is_explained() -> None:
    assert all(measure.meaning.endswith(".") and measure.better for measure in BY_KEY.values())
