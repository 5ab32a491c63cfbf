"""One compact card for each method on the page: what it is, where it comes from, what differs, what it costs.

Facts come from the list of methods; what was set differently in these runs is read from their specs. Of a
method that is not in the list (a plugin that is not loaded) only its results are known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from uncollapse.cards import address, cost, watch
from uncollapse.errors import UserError
from uncollapse.method import AXES, Method
from uncollapse.methods import METHODS
from uncollapse.report.amounts import success_of
from uncollapse.report.measures import measure_of, spoken
from uncollapse.report.records import Cell, Record
from uncollapse.report.tables import measured


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """What the page says of one method.

    Attributes:
        name: What the tables call it.
        idea: In one sentence, empty for a method that is not in the list.
        paper: Authors, year and title.
        address: Of the paper, empty without one.
        differs: Every deviation from the paper.
        watch: The setting that matters most with its value here, empty where none is named.
        changed: Settings that differ from the list's row in these runs, as text with the row's value.
        fails: When it fails and how that looks.
        effort: Of implementing it.
        good: What it is good at.
        bad: What it is bad at.
        results: (task, headline measure and successes in words) of each cell on the page.
        cost: Measured time of an update as a multiple of vanilla's, empty where it was not measured.
    """

    name: str
    results: tuple[tuple[str, str], ...]
    idea: str = ""
    paper: str = ""
    address: str = ""
    good: str = ""
    bad: str = ""
    differs: tuple[str, ...] = ()
    watch: str = ""
    changed: tuple[str, ...] = ()
    fails: str = ""
    effort: str = ""
    cost: str = ""


def method_cards(record: Record) -> list[MethodCard]:
    """The cards in the order in which the methods appear."""
    cards = []
    for name in record.methods:
        cells = [cell for cell in record.cells if cell.method == name]
        row = METHODS.get(_listed(cells))
        results = tuple((cell.task, _result(cell, record.headline)) for cell in cells)
        known = row is not None and row.facts.idea
        cards.append(_card(name, row, cells, results) if row and known else MethodCard(name=name, results=results))
    return cards


def _listed(cells: list[Cell]) -> str:
    """The name of the row in the list: that of the specs, as a plan may call a cell otherwise."""
    for cell in cells:
        for run in cell.runs:
            method = run.spec.get("method")
            if isinstance(method, dict) and "name" in method:
                return str(method["name"])
    return cells[0].method


def _result(cell: Cell, headline: str) -> str:
    """One cell in words: "solid modes 4.2 [2.7, 5.8], 4 seeds; all modes solid in 0 of 4"."""
    amount, won = measured(cell, measure_of(headline)), success_of(cell.success)
    told = f"{spoken(headline)} {amount.compact}" if amount.text else "no result"
    return f"{told}; all modes solid in {won.text}" if won.text else told


def _card(name: str, row: Method, cells: list[Cell], results: tuple[tuple[str, str], ...]) -> MethodCard:
    played = [_played(run.spec.get("method")) or row for cell in cells for run in cell.runs] or [row]
    named = watch(row)
    return MethodCard(
        name=name,
        results=results,
        idea=row.facts.idea,
        paper=row.facts.paper,
        address=address(row),
        good=row.facts.strengths,
        bad=row.facts.weaknesses,
        differs=row.facts.differs,
        watch=f"{named[0]} = {_values([method.settings().get(named[0]) for method in played])}" if named else "",
        changed=_changed(row, played),
        fails=row.facts.fails,
        effort=row.facts.complexity,
        cost=cost(row.name),
    )


def _played(spec: Any) -> Method | None:
    """The method of a run's spec, None where the spec is not whole or needs a plugin."""
    if not isinstance(spec, dict) or not set(AXES) <= set(spec):
        return None
    try:
        return Method.from_spec(spec)
    except UserError:
        return None


def _changed(row: Method, played: list[Method]) -> tuple[str, ...]:
    listed = row.settings()
    found = []
    for path, value in listed.items():
        values = [method.settings().get(path, value) for method in played]
        if any(other != value for other in values):
            found.append(f"{path} = {_values(values)} (the list: {_values([value])})")
    return tuple(found)


def _values(values: list[Any]) -> str:
    """Different values joined by "or", each as JSON, without repeats."""
    return " or ".join(dict.fromkeys(json.dumps(value) for value in values))
