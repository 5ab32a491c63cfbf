"""The report's section on tuning: each method as it stands beside its tuned self, and how much its settings matter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from uncollapse.experiments.search import RATES
from uncollapse.report.amounts import NOTHING, Amount, amount_of, success_of
from uncollapse.report.measures import entry_of, measure_of, p_text, seeds_text
from uncollapse.report.records import Cell, Record
from uncollapse.text import seed_text


@dataclass(frozen=True, kw_only=True)
class TunedRow:
    """One method on one task, as it stands and tuned.

    Attributes:
        method: Its name, as it stands.
        plain: Success rate and the tuned measure as it stands.
        tuned: The same with the chosen setting, empty before it is trained.
        chosen: The chosen setting in words.
        difference: Tuned minus plain; its basis is the common seeds and the Holm-adjusted p.
        p: That p.
        spread: Best, median and worst trial.
        trials: Every trial: its setting in words, and its mean with what it rests on.
    """

    method: str
    plain: tuple[Amount, Amount]
    tuned: tuple[Amount, Amount]
    chosen: str
    difference: Amount
    p: Amount
    spread: tuple[Amount, Amount, Amount]
    trials: list[tuple[str, Amount]]


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
    methods: list[tuple[str, Amount, Amount, Amount]]


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
        " settings were then trained on the reported seeds, none of which was tuned on. The best of several trials"
        " flatters, since chance helped it to be the best; what tuning gained is the difference on the reported seeds."
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
        difference=Amount(said="same runs") if row.get("settings") == {} else _difference(change, kind),
        p=Amount(value=change.get("p_adjusted"), kind="p"),
        spread=_trials(row, kind),
        trials=[(_setting(trial["settings"]), _score(trial, kind)) for trial in row.get("trials", ())],
    )


def _values(cell: Cell | None, key: str) -> tuple[Amount, Amount]:
    if cell is None:
        return NOTHING, NOTHING
    return success_of(cell.success), amount_of(entry_of(cell, key), measure_of(key).kind)


def _difference(change: Mapping[str, Any], kind: str) -> Amount:
    if change.get("difference") is None:
        return NOTHING
    found = amount_of({**change, "mean": change["difference"]}, kind)
    return replace(found, difference=True, basis=f"{found.basis}, p {p_text(change.get('p_adjusted'))}")


def _trials(row: Mapping[str, Any], kind: str) -> tuple[Amount, Amount, Amount]:
    """Best, median and worst trial."""
    best, median, worst = (Amount(value=row.get(key), kind=kind) for key in ("best", "median", "worst"))
    return best, median, worst


def _chosen(row: Mapping[str, Any]) -> str:
    if row.get("chosen") is None:
        return "trials not finished"
    return _setting(row["settings"])


def _setting(settings: Mapping[str, Any]) -> str:
    """What a setting changes, in words; what has the same value is named together."""
    named: dict[str, list[str]] = {}
    for path, value in settings.items():
        named.setdefault(json.dumps(value), []).append(path)
    words = {value: "learning rates" if paths == list(RATES) else " and ".join(paths) for value, paths in named.items()}
    return ", ".join(f"{name} = {value}" for value, name in words.items()) or "its default"


def _score(trial: Mapping[str, Any], kind: str) -> Amount:
    """A trial's mean, its lowest and highest seed; or why it has none."""
    if trial["score"] is None:
        return Amount(said="failed" if trial.get("failed") else "not finished")
    found = Amount(value=trial["score"], kind=kind)
    seeds = [value for value in trial.get("per_seed", ()) if value is not None]
    if not seeds:
        return found
    least, most = (replace(found, value=value).text for value in (min(seeds), max(seeds)))
    return replace(found, n=len(seeds), basis=f"{seeds_text(len(seeds))}, {least} to {most}")


def _sensitivity(row: Mapping[str, Any]) -> tuple[str, Amount, Amount, Amount]:
    return str(row["method"]), *_trials(row, "share")
