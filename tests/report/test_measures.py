from __future__ import annotations

import math

import pytest

from uncollapse.metrics.further import FURTHER
from uncollapse.metrics.images import NAMES
from uncollapse.report.measures import BY_KEY, IMAGE_KEYS, best, glossary, measure_of, number, p_text, span
from uncollapse.report.records import Cell


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
    assert set(FURTHER) <= set(BY_KEY)
    assert IMAGE_KEYS == NAMES


def test_what_image_tasks_measure_is_shown_as_its_facts_say() -> None:
    kinds = {key: measure_of(key).kind for key in ("modes_five", "recall", "frechet_distance", "kl_corrected")}
    assert kinds == {"modes_five": "count", "recall": "share", "frechet_distance": "number", "kl_corrected": "number"}
    assert best({"a": 9.0, "b": 2.0}, "frechet_distance") == "b"
    assert best({"a": 1.4, "b": 0.9}, "within_class_diversity") == "b"


def test_a_page_explains_what_it_shows_and_the_measures_of_every_task() -> None:
    def cell(*keys: str) -> Cell:
        measures = {key: {"mean": 0.5, "per_seed": [0.5]} for key in keys}
        return Cell(method="a", task="digits", seeds=(0,), runs=(), measures=measures)

    bare = [measure.key for measure in glossary([cell()])]
    assert "modes_solid" in bare
    assert not set(bare) & set(FURTHER)
    assert [key for key in (m.key for m in glossary([cell(), cell("recall")])) if key not in bare] == ["recall"]
