"""The sheets of a comparison or a run: what its page shows in tables, in the same order."""

from __future__ import annotations

from dataclasses import replace

from uncollapse.report import costs, tables
from uncollapse.report.alarms import levels
from uncollapse.report.amounts import success_of
from uncollapse.report.claims import claims
from uncollapse.report.measures import MEASURES, entry_of, measure_of, spoken
from uncollapse.report.records import Record
from uncollapse.report.sheets import Column, Entry, Sheet, found, named, sheet_of, used
from uncollapse.report.tuned import Tuned, tuned
from uncollapse.report.words import answers

CELL = named(("task", "Task"), ("method", "Method"))


def sheets_of(record: Record) -> tuple[Sheet, ...]:
    """Every table of a comparison or run; one that would be empty is left out.

    Args:
        record: What `load` read.
    """
    measured = (_measures(record, task) for task in record.tasks)
    made = (_answers(record), *measured, _differences(record), *_tuned(tuned(record)), _claims(record))
    more = (_monitored(record), _costs(record), _outcomes(record), _runs(record))
    return tuple(used(sheet) for sheet in (*made, *more) if sheet.rows)


def _answers(record: Record) -> Sheet:
    columns = (*named(("task", "Task")), *found(("answer", "Answer")))
    return sheet_of("answer", "The answer", columns, ((answer.task, answer.lead) for answer in answers(record)))


def _measures(record: Record, task: str) -> Sheet:
    """Every measure of every method on a task, the headline first, those of images among them."""
    headline, cells = measure_of(record.headline), record.of(task)
    others = [m for m in MEASURES if m.key != headline.key and any(entry_of(cell, m.key) for cell in cells)]
    columns = found(("all_modes_solid", "All modes solid"), *((m.key, m.title) for m in (headline, *others)))
    level = tables.intervals_level(record)
    sheet = sheet_of(
        "measures",
        f"Measures on {task}, {record.weights} generator",
        (*CELL, *columns),
        (
            (
                cell.task,
                cell.method,
                success_of(cell.success),
                *(tables.measured(cell, measure) for measure in (headline, *others)),
            )
            for cell in cells
        ),
        note=" ".join((f"Mean over seeds [{level} interval], number of seeds.", *tables.rollbacks(record, task))),
    )
    return replace(sheet, part=task)


def _differences(record: Record) -> Sheet:
    columns = named(("task", "Task"), ("method", "Method"), ("against", "Against"), ("measure", "Measure"))
    return sheet_of(
        "differences",
        "Paired differences on common seeds",
        (*columns, *found(("difference", "Difference"), ("p_adjusted", "Holm-adjusted p"), ("test", "Test"))),
        (
            (task, row.method, row.baseline, spoken(row.measure.key), row.difference, row.p, row.test)
            for task in record.tasks
            for row in tables.differences(record, task)
        ),
    )


def _tuned(section: Tuned | None) -> list[Sheet]:
    if section is None:
        return []
    values = found(
        ("success", "As it stands: all modes solid"),
        ("measure", f"As it stands: {section.measure.lower()}"),
        ("success_tuned", "Tuned: all modes solid"),
        ("measure_tuned", f"Tuned: {section.measure.lower()}"),
        ("gain", "Gain on common seeds"),
        ("p_adjusted", "Holm-adjusted p"),
        *_TRIALS,
        ("chosen", "Chosen setting"),
    )
    rows = (
        (task, row.method, *row.plain, *row.tuned, row.difference, row.p, *row.spread, row.chosen)
        for task, found_rows in section.tasks.items()
        for row in found_rows
    )
    cells = sheet_of("tuning", "As they stand and tuned", (*CELL, *values), rows, section.note)
    columns = (*CELL, *named(("trial", "Trial"), ("setting", "Setting")), *found(("score", section.measure)))
    tried = (
        (task, row.method, str(number), setting, score)
        for task, found_rows in section.tasks.items()
        for row in found_rows
        for number, (setting, score) in enumerate(row.trials, 1)
    )
    every = sheet_of("trials", "Every trial, on the tuning seeds", columns, tried)
    matters = (*named(("method", "Method")), *found(*_TRIALS))
    return [cells, every, sheet_of("sensitivity", "How much the setting matters", matters, section.methods)]


_TRIALS = (("best", "Best trial"), ("median", "Median trial"), ("worst", "Worst trial"))


def _claims(record: Record) -> Sheet:
    section = claims(record)
    values = (
        ("published", "Published"),
        ("measured", "Measured"),
        ("holds", "Published lies"),
        ("solid", "Solid modes"),
    )
    words = {True: "inside the interval", False: "outside of it", None: "not measured"}
    rows = section.rows if section else ()
    return sheet_of(
        "claims",
        f"Published numbers beside the measured ones: {section.measure.lower()}" if section else "",
        (*CELL, *found(*values)),
        ((row.task, row.method, row.claimed, row.measured, words[row.holds], row.solid) for row in rows),
        note=f"Source: {section.source}." if section else "",
    )


def _monitored(record: Record) -> Sheet:
    return sheet_of(
        "alarms",
        "What the monitor said",
        (*CELL, *named(("seed", "Seed"), ("update", "Update")), *found(("status", "Status"), ("saw", "What it saw"))),
        (
            (
                task,
                method,
                "" if row.seed is None else str(row.seed),
                str(row.update),
                row.status,
                row.sentence,
            )
            for method, task, row in tables.monitor_rows(record)
        ),
        note=levels(run.spec for cell in record.cells for run in cell.runs),
    )


def _costs(record: Record) -> Sheet:
    columns = (*CELL, *found(*costs.COSTS.items(), ("device", "Device")))
    rows: list[tuple[Entry, ...]] = [(row.task, row.method, *row.amounts, row.device) for row in costs.costs(record)]
    return sheet_of("cost", "Cost", columns, rows)


def _outcomes(record: Record) -> Sheet:
    """Diverged, failed and rolled-back seeds, and what the runs warn of."""
    rows: list[tuple[Entry, ...]] = [("seeds", line) for line in tables.outcomes(record)]
    rows += [(run, " ".join(lines)) for run, lines in tables.warnings(record)]
    columns = (*named(("of", "Of")), *found(("outcome", "Outcome")))
    return sheet_of("outcomes", "Diverged, failed and rolled-back seeds, warnings", columns, rows)


def _runs(record: Record) -> Sheet:
    keys = ("run", "seeds", "updates", "batch", "threads", "dtype", "hash")
    columns = tuple(
        Column(key=key, title=title, names=key in ("run", "seeds")) for key, title in zip(keys, costs.RUNS, strict=True)
    )
    rows: list[tuple[Entry, ...]] = [*costs.runs(record)]
    return sheet_of("runs", "Runs", columns, rows)
