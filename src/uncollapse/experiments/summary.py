"""Finished runs -> `comparison.json`: a record a cell, differences from the baseline, what tuning chose, what is left.

Called by `compare` after each sitting; reads what the run directories hold and trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uncollapse.experiments import packing, record, tuning
from uncollapse.experiments.engines import Outcome
from uncollapse.experiments.plan import Plan
from uncollapse.experiments.tuning import finished_result

LEADING = ("modes_solid", "modes_hit", "high_quality_share")


def summarise(
    directory: Path,
    plan: Plan,
    runs: Sequence[packing.PlannedRun],
    outcomes: Mapping[str, Outcome],
    *,
    command: str,
    trials: Sequence[tuning.Trial] = (),
) -> dict[str, Any]:
    """The content of `comparison.json` from what the run directories hold now.

    Args:
        directory: The comparison's directory.
        plan: The plan.
        runs: Its runs.
        outcomes: How this sitting's runs ended, by directory name.
        command: What to type to run it again; empty where no command does.
        trials: Those of its tuning.
    """
    from uncollapse.versions import versions

    cells = [_cell(directory, plan, name, task, runs, outcomes) for name, task in _cells(runs)]
    pairs = {run.cell.untuned: run.cell.name for run in runs if run.cell.untuned}
    wanted = [*runs, *tuning.open_runs(directory, trials)]
    unfinished = [run.spec.directory_name for run in wanted if finished_result(directory, run) is None]
    tuned = tuning.summary(directory, plan, trials, outcomes, cells, pairs) if plan.tuning else None
    folders = {
        folder for cell in cells for folder in cell["runs"]
    }  # where the default was chosen, two cells share runs
    seconds = sum(record.seconds(directory / "runs" / folder) for folder in folders)
    document = {
        "schema": 1,
        "status": "unfinished" if unfinished else "finished",
        "plan": plan.to_json() | {"baseline": plan.baseline_name},
        "weights": plan.weights,
        "cells": cells,
        "differences": differences(cells, plan, pairs),
        "unfinished": list(dict.fromkeys(unfinished)),
        "versions": versions(),
        "command": command,
        "seconds": round(seconds + (tuned["seconds"] if tuned else 0.0), 3),
    }
    return document | ({"tuning": tuned} if tuned else {})


def _cells(runs: Sequence[packing.PlannedRun]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((run.cell.name, run.cell.task) for run in runs))


def _cell(
    directory: Path,
    plan: Plan,
    name: str,
    task: str,
    runs: Sequence[packing.PlannedRun],
    outcomes: Mapping[str, Outcome],
) -> dict[str, Any]:
    """One cell's record from its finished runs, its failed runs as rows."""
    mine = [run for run in runs if (run.cell.name, run.cell.task) == (name, task)]
    results = {
        run.spec.directory_name: result for run in mine if (result := finished_result(directory, run)) is not None
    }
    missing = [run for run in mine if run.spec.directory_name not in results]
    failed = [
        {"run": run.spec.directory_name, "seeds": list(run.spec.seeds), "error": outcome.error}
        for run in missing
        if (outcome := outcomes.get(run.spec.directory_name)) and outcome.status == "failed"
    ]
    gone = {row["run"] for row in failed}
    return record.cell_record(
        name,
        task,
        results,
        weights=plan.weights,
        failed=failed,
        unfinished=[seed for run in missing if run.spec.directory_name not in gone for seed in run.spec.seeds],
        run_seconds=sum(record.seconds(directory / "runs" / folder) for folder in results),
    )


def differences(
    cells: Sequence[Mapping[str, Any]], plan: Plan, pairs: Mapping[str, str] | None = None
) -> list[dict[str, object]]:
    """Each method against the baseline on common seeds, for the headline and the leading measures.

    A task on which the plan's baseline does not run takes its own first method as the baseline. Tuned methods are
    compared with the tuned baseline, and methods as they stand with the baseline as it stands.

    Args:
        cells: The cells' records.
        plan: The plan.
        pairs: Name of each method that was tuned -> name of its tuned row.
    """
    tuned, rows = pairs or {}, []
    for task in dict.fromkeys(cell["task"] for cell in cells):
        mine = {cell["method"]: cell for cell in cells if cell["task"] == task}
        standing = {name: cell for name, cell in mine.items() if name not in tuned.values()}
        baseline = plan.baseline_name if plan.baseline_name in standing else next(iter(standing))
        rows += _against(baseline, standing, task, plan.headline)
        # Until the baseline is tuned, too, there is nothing that tuned methods could be compared with.
        if (other := tuned.get(baseline, "")) in mine:
            rows += _against(other, {name: mine[name] for name in mine if name not in standing}, task, plan.headline)
    return rows


def _against(baseline: str, mine: Mapping[str, Mapping[str, Any]], task: str, headline: str) -> list[dict[str, object]]:
    """The rows of one task and one baseline, which is among the methods."""
    from uncollapse.experiments.statistics import paired_differences

    rows: list[dict[str, object]] = []
    for measure in dict.fromkeys((headline, *LEADING)):
        if measure in mine[baseline]["measures"]:  # a method without a result must not hide the others
            values = {name: record.by_seed(cell, measure) for name, cell in mine.items() if measure in cell["measures"]}
            limits = mine[baseline]["measures"][measure].get("bounds")
            found = paired_differences(
                values, baseline=baseline, task=task, measure=measure, bounds=limits, diverged="omit"
            )
            rows += [row.to_json() for row in found]
    return rows
