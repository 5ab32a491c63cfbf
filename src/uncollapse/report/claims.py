"""Published numbers beside the measured ones: where they hold, where not, and whether their order is reversed.

A claim fails in a cell when its value lies outside the measured interval, which does not count how exact the published
number itself is; an order of two methods counts as reversed when the source puts one above the other and the measured
intervals part the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from uncollapse.report.amounts import NOTHING, Amount, amount_of
from uncollapse.report.measures import entry_of, measure_of
from uncollapse.report.records import Cell, Record
from uncollapse.report.words import apart, joined


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One published number.

    Attributes:
        task: Name of the task.
        method: Name of the method.
        claimed: The published value.
        measured: The measured mean.
        holds: Whether the published value lies in the measured interval; None when nothing was measured.
        solid: The strict measure: share of the modes that are solid.
    """

    task: str
    method: str
    claimed: Amount
    measured: Amount
    holds: bool | None
    solid: Amount


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Everything the page says about published numbers.

    Attributes:
        source: Where they come from.
        measure: Title of the measure they are about.
        rows: One entry a number.
        sentences: The verdict in words.
    """

    source: str
    measure: str
    rows: tuple[ClaimRow, ...]
    sentences: tuple[str, ...]


def claims(record: Record) -> Claims | None:
    """The plan's claims judged, None when it has none."""
    table = record.plan.get("claims")
    if not table or not table.get("values"):
        return None
    measure = measure_of(str(table.get("measure", "tutorial_coverage")))
    pairs = [(cell, float(value)) for cell in record.cells if (value := _claimed(table, cell)) is not None]
    rows = tuple(_row(cell, value, measure.key) for cell, value in pairs)
    source = str(table.get("source", "the source"))
    sentences = (*_verdict(rows), *_order(record, table, measure.key))
    return Claims(source=source, measure=measure.title, rows=rows, sentences=sentences)


def _claimed(table: Mapping[str, Any], cell: Cell) -> float | None:
    value = table["values"].get(cell.method, {}).get(cell.task)
    return None if value is None else float(value)


def _row(cell: Cell, value: float, key: str) -> ClaimRow:
    kind, entry, solid = measure_of(key).kind, entry_of(cell, key), entry_of(cell, "modes_solid")
    holds = None
    if entry is not None and entry.get("low") is not None and entry.get("high") is not None:
        holds = bool(entry["low"] - 1e-9 <= value <= entry["high"] + 1e-9)
    return ClaimRow(
        task=cell.task,
        method=cell.method,
        claimed=Amount(value=value, kind=kind),
        measured=amount_of(entry, kind),
        holds=holds,
        solid=amount_of(_share(solid, cell.modes), "share") if solid and cell.modes else NOTHING,
    )


def _share(entry: Mapping[str, Any], modes: int) -> dict[str, Any]:
    """A count of modes as a share of all modes."""
    return {**entry, **{name: entry[name] / modes for name in ("mean", "low", "high") if entry.get(name) is not None}}


def _verdict(rows: tuple[ClaimRow, ...]) -> list[str]:
    judged = [row for row in rows if row.holds is not None]
    failed = [row for row in judged if not row.holds]
    if not judged:
        return ["None of the published numbers could be checked, because nothing was measured for them."]
    if not failed:
        return [f"The published numbers lie inside the measured intervals in all {len(judged)} cells."]
    cells = joined([f"{row.method} on {row.task}" for row in failed])
    every = "all" if len(failed) == len(judged) else f"{len(failed)} of the"
    return [
        f"The published numbers lie outside the measured interval in {every} {len(judged)} cells: {cells}. That "
        "interval does not count how exact the published numbers themselves are, which mostly are means of few runs."
    ]


def _order(record: Record, table: Mapping[str, Any], key: str) -> list[str]:
    """Which published orders of two methods are reversed by the measurement."""
    reversed_on: dict[tuple[str, str], list[str]] = {}
    checked = 0
    for task in record.tasks:
        pairs = _ordered_pairs(record, table, task, key)
        checked += len(pairs)
        for upper, lower in pairs:
            if apart(upper.measures[key], lower.measures[key]):
                reversed_on.setdefault((upper.method, lower.method), []).append(task)
    if not checked:
        return []
    if not reversed_on:
        return ["The published order of the methods is not reversed anywhere by the measurement."]
    return [
        f"The published order is reversed on {joined(tasks)}: the source puts {up} above {down}; measured, {down} lies "
        f"above {up} and the intervals do not overlap."
        for (up, down), tasks in reversed_on.items()
    ]


def _ordered_pairs(record: Record, table: Mapping[str, Any], task: str, key: str) -> list[tuple[Cell, Cell]]:
    """Pairs of cells of one task that were measured and that the source puts in an order, the upper one first."""
    known = [(cell, value) for cell in record.of(task) if (value := _claimed(table, cell)) is not None]
    known = [(cell, value) for cell, value in known if entry_of(cell, key) is not None]
    ordered = sorted(known, key=lambda pair: -pair[1])
    return [(upper, lower) for (upper, above), (lower, below) in combinations(ordered, 2) if above > below]
