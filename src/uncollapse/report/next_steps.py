"""The report's last section: which symptoms the numbers show, by stated thresholds, and what results advise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from uncollapse.advice import Advice, advise, trimmed
from uncollapse.report.measures import entry_of, number
from uncollapse.report.records import Cell, Record
from uncollapse.symptoms import CORE, QUALITY, SYMPTOMS

MOST_METHODS = 5


@dataclass(frozen=True, kw_only=True)
class Step:
    """One symptom that this page shows.

    Attributes:
        title: The symptom.
        rule: When a cell shows it.
        shown: One text a task: which methods, with the number that says so.
        advice: What the committed results say.
        here: Names of suggested methods that this page holds already.
    """

    title: str
    rule: str
    shown: tuple[str, ...]
    advice: Advice
    here: tuple[str, ...]


def next_steps(record: Record) -> list[Step]:
    """A step for each symptom that at least one cell shows; empty when nothing is wrong."""
    found = []
    for name, symptom in SYMPTOMS.items():
        shown = tuple(line for task in record.tasks if (line := _line(task, record.of(task), FINDERS[name])))
        if shown:
            advice = trimmed(advise(name), MOST_METHODS)
            here = tuple(item.method for item in advice.suggestions if item.method in record.methods)
            found.append(Step(title=symptom.title, rule=symptom.rule, shown=shown, advice=advice, here=here))
    return found


def healthy_sentence(record: Record) -> str:
    """What to say when no symptom is shown: that nothing is wrong, or that nothing is known yet."""
    if not any(cell.measures for cell in record.cells):
        return "No result is there yet, so there is nothing to advise."
    rules = "; ".join(symptom.rule for symptom in SYMPTOMS.values())
    return f"Nothing is wrong by these thresholds: no method on this page shows that {rules}."


def _line(task: str, cells: tuple[Cell, ...], find: Callable[[Cell], str]) -> str:
    found = [f"{cell.method} ({text})" for cell in cells if (text := find(cell))]
    return f"{task}: {', '.join(found)}" if found else ""


def _missing(cell: Cell) -> str:
    entry = entry_of(cell, "modes_solid")
    if entry is None or cell.modes is None:
        return ""
    alive = [value for seed, value in zip(cell.seeds, entry["per_seed"], strict=False) if seed not in cell.diverged]
    short = sum(value is not None and value < cell.modes for value in alive)
    return f"{short} of {len(alive)} seeds" if short else ""


def _imprecise(cell: Cell) -> str:
    entry = entry_of(cell, "high_quality_share")
    return number(entry["mean"], "share") if entry and entry["mean"] < QUALITY else ""


def _shrunken(cell: Cell) -> str:
    entry = entry_of(cell, "core_sigma_ratio")
    return number(entry["mean"]) if entry and entry["mean"] < CORE else ""


def _diverged(cell: Cell) -> str:
    return f"{len(cell.diverged)} of {len(cell.seeds)} seeds" if cell.diverged else ""


FINDERS: dict[str, Callable[[Cell], str]] = {
    "missing-modes": _missing,
    "low-precision": _imprecise,
    "shrunken-variance": _shrunken,
    "divergence": _diverged,
}
