from __future__ import annotations

from pathlib import Path

import pytest

from uncollapse.report.claims import Claims, claims
from uncollapse.report.records import Cell, Record


def judged(claimed: dict[str, float], measured: dict[str, tuple[float, float, float] | None]) -> Claims:
    cells = []
    for method, ends in measured.items():
        entry = None if ends is None else dict(zip(("mean", "low", "high"), ends, strict=True)) | {"per_seed": [1, 1]}
        measures = {} if entry is None else {"tutorial_coverage": entry}
        cells.append(Cell(method=method, task="blobs-4", seeds=(0, 1), runs=(), measures=measures))
    values = {method: {"blobs-4": value} for method, value in claimed.items()}
    plan = {"claims": {"source": "a paper", "measure": "tutorial_coverage", "values": values}}
    record = Record(directory=Path(), kind="comparison", plan=plan, cells=tuple(cells), versions={}, command="")
    found = claims(record)
    assert found is not None
    return found


@pytest.mark.parametrize(("value", "holds"), [(0.5, True), (0.4, True), (0.6, True), (0.39, False), (0.61, False)])
def test_a_claim_holds_inside_the_interval_only(value: float, holds: bool) -> None:
    assert judged({"a": value}, {"a": (0.5, 0.4, 0.6)}).rows[0].holds is holds


def test_order_is_reversed_only_when_the_intervals_part_the_other_way() -> None:
    apart = judged({"a": 0.9, "b": 0.5}, {"a": (0.2, 0.1, 0.3), "b": (0.8, 0.7, 0.9)})
    touching = judged({"a": 0.9, "b": 0.5}, {"a": (0.4, 0.1, 0.7), "b": (0.8, 0.7, 0.9)})
    as_claimed = judged({"a": 0.9, "b": 0.5}, {"a": (0.8, 0.7, 0.9), "b": (0.2, 0.1, 0.3)})
    assert "reversed on blobs-4: the source puts a above b; measured, b lies above a" in apart.sentences[-1]
    for other in (touching, as_claimed):
        assert other.sentences[-1] == "The published order of the methods is not reversed anywhere by the measurement."


def test_what_was_not_measured_is_said() -> None:
    found = judged({"a": 0.9}, {"a": None})
    assert found.rows[0].measured.text == ""
    assert found.rows[0].holds is None
    assert "could be checked" in found.sentences[0]
