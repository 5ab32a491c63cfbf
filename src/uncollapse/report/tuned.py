"""The report's section on tuning: each method as it stands beside its tuned self, and how much its settings matter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uncollapse.report.measures import entry_of, measure_of, number, p_text, seeds_text, span
from uncollapse.report.records import Cell, Record
from uncollapse.report.words import points, signed
from uncollapse.text import seed_text

Triple = tuple[str, str, str]
NOTHING: Triple = ("", "", "")


@dataclass(frozen=True, kw_only=True)
class TunedRow:
    """One method on one task, as it stands and tuned; (value, interval, seeds) each.

    Attributes:
        method: Its name, as it stands.
        plain: Success rate and the tuned measure as it stands.
        tuned: The same with the chosen setting, empty before it is trained.
        chosen: The chosen setting in words.
        difference: Tuned minus plain: value, interval, Holm-adjusted p.
        spread: Best, median and worst trial.
    """

    method: str
    plain: tuple[Triple, Triple]
    tuned: tuple[Triple, Triple]
    chosen: str
    difference: Triple
    spread: tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The whole section.

    Attributes:
        note: What was tried, on which seeds, and how the choice was made.
        measure: Title of the measure that chose.
        tasks: Task -> its rows.
        methods: (method, best, median, worst) over all tasks, as shares of what the measure can reach.
    """

    note: str
    measure: str
    tasks: Mapping[str, list[TunedRow]]
    methods: list[tuple[str, str, str, str]]


def tuned(record: Record) -> Tuned | None:
    """The section, None for a comparison that tunes nothing."""
    if not record.tuning.get("cells"):
        return None
    key = str(record.tuning["measure"])
    rows = record.tuning["cells"]
    return Tuned(
        note=_note(record.tuning),
        measure=measure_of(key).title,
        tasks={task: [_row(record, row, key) for row in rows if row["task"] == task] for task in record.tasks},
        methods=[_sensitivity(row) for row in record.tuning.get("methods", ())],
    )


def _note(tuning: Mapping[str, Any]) -> str:
    updates = f" of {tuning['updates']:,} updates" if tuning.get("updates") else ""
    measure = measure_of(str(tuning["measure"])).title.lower()
    return (
        f"Every method had the same {tuning['trials']} trials{updates} on {seed_text(tuning['seeds'])}, its own default"
        f" among them. The trial with the best {measure} was chosen, ties broken by the high-quality share. Both"
        " settings were then trained on the reported seeds, none of which was tuned on."
    )


def _row(record: Record, row: Mapping[str, Any], key: str) -> TunedRow:
    method, task = str(row["method"]), str(row["task"])
    change: Mapping[str, Any] = next(
        (
            item
            for item in record.tuning.get("differences", ())
            if (item["baseline"], item["task"], item["measure"]) == (method, task, key)
        ),
        {},
    )
    cells = {cell.method: cell for cell in record.of(task)}
    kind = measure_of(key).kind
    return TunedRow(
        method=method,
        plain=_values(cells.get(method), key),
        tuned=_values(cells.get(str(row.get("tuned"))), key),
        chosen=_chosen(row),
        difference=("same runs", "", "") if row.get("settings") == {} else _difference(change, kind),
        spread=(number(row.get("best"), kind), number(row.get("median"), kind), number(row.get("worst"), kind)),
    )


def _values(cell: Cell | None, key: str) -> tuple[Triple, Triple]:
    if cell is None:
        return NOTHING, NOTHING
    success, entry, kind = cell.success, entry_of(cell, key), measure_of(key).kind
    won = NOTHING
    if success.get("n"):
        won = (f"{success['successes']} of {success['n']}", span(success, "share"), seeds_text(success["n"]))
    return won, (number(entry["mean"], kind), span(entry, kind), seeds_text(entry["n"])) if entry else NOTHING


def _difference(change: Mapping[str, Any], kind: str) -> Triple:
    if change.get("difference") is None:
        return NOTHING
    interval = points(span(change, kind)) if change.get("low") is not None else "no interval"
    return points(signed(change["difference"], kind)), interval, f"p {p_text(change.get('p_adjusted'))}"


def _chosen(row: Mapping[str, Any]) -> str:
    if row.get("chosen") is None:
        return "trials not finished"
    if not row["settings"]:
        return "its default"
    return ", ".join(f"{path} = {json.dumps(value)}" for path, value in row["settings"].items())


def _sensitivity(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return str(row["method"]), *(number(row.get(key), "share") for key in ("best", "median", "worst"))  # type: ignore[return-value]
