"""Fair tuning: the same number of trials for every method, the choice frozen, both settings on fresh seeds.

A trial is an ordinary run in the comparison's directory. `compare` trains the trials together with the methods as they
stand, asks here for the choices, and then trains the chosen settings on the reported seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from uncollapse.errors import UserError
from uncollapse.experiments import packing, record
from uncollapse.experiments.engines import Outcome
from uncollapse.experiments.packing import PlannedRun
from uncollapse.experiments.plan import TUNED, Cell, Plan
from uncollapse.experiments.search import candidates

if TYPE_CHECKING:
    from uncollapse.tasks import Task

TIE_BREAK = "high_quality_share"
# Measures to choose by that only mixtures have.
OF_MIXTURES = ("tutorial_coverage",)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting of one cell on the tuning seeds.

    Attributes:
        of: The cell that is tuned.
        number: From 1, which is the method as it stands.
        settings: What differs from it.
        runs: Its runs.
    """

    of: Cell
    number: int
    settings: Mapping[str, Any]
    runs: tuple[PlannedRun, ...]

    @property
    def key(self) -> tuple[str, str]:
        """The tuned cell's name and task."""
        return self.of.name, self.of.task


def trials(plan: Plan, groups: packing.Groups | None = None) -> list[Trial]:
    """All trials of a plan, none when it tunes nothing; `groups` as for `packing.pack`.

    Raises:
        UserError: A method has too few settings to try, one of them does not compose, or a task does not have the
            measure that decides.
    """
    if plan.tuning is None:
        return []
    found = []
    for cell in plan.cells():
        start = replace(cell, seeds=plan.tuning.seeds, updates=plan.tuning.updates or cell.updates)
        spec = packing.runs_of(start, plan.threads)[0].spec
        _check_measured(plan.tuning.measure, spec.task)
        for number, settings in enumerate(candidates(spec.method, plan.tuning), 1):
            trial = replace(start, set={**cell.set, **settings}, label=_labelled(cell.label, f"trial {number}"))
            runs = tuple(packing.runs_of(trial, plan.threads, groups))
            found.append(Trial(of=cell, number=number, settings=settings, runs=runs))
    return found


def _check_measured(measure: str, task: Task) -> None:
    """Refuses to choose by a measure that would never have a value."""
    from uncollapse.tasks import Mixture

    if measure in OF_MIXTURES and not isinstance(task, Mixture):
        raise UserError(
            f"[tuning] chooses by {measure}, which {task.name} does not have, as it is no mixture; choose by another "
            "measure, for example modes_solid."
        )


def _labelled(label: str, word: str) -> str:
    return f"{label}, {word}" if label else word


def runs_of(trials: Sequence[Trial]) -> list[PlannedRun]:
    """The runs of the trials."""
    return [run for trial in trials for run in trial.runs]


def open_trials(directory: Path, trials: Sequence[Trial]) -> list[Trial]:
    """The trials whose cell has no frozen choice yet; the others could change nothing any more."""
    begun = trials and (directory / packing.LOCK).exists()
    frozen = packing.frozen_choices(directory) if begun else {}
    return [trial for trial in trials if trial.key not in frozen]


def open_runs(directory: Path, trials: Sequence[Trial]) -> list[PlannedRun]:
    """The runs of the trials that are open."""
    return runs_of(open_trials(directory, trials))


def finished_result(directory: Path, run: PlannedRun) -> dict[str, Any] | None:
    """The content of a run's `result.json`, None until it is finished."""
    from uncollapse.run import is_finished, read_result

    where = directory / "runs" / run.spec.directory_name
    return read_result(where) if is_finished(where, run.spec) else None


def choices(
    directory: Path,
    plan: Plan,
    trials: Sequence[Trial],
    outcomes: Mapping[str, Outcome],
    failed_before: frozenset[str] = frozenset(),
) -> list[dict[str, Any]]:
    """The rows of the cells all of whose trials have ended, at least one of them with a result.

    A trial that fails is tried again by the next start, for what broke it may have been the machine; when it fails
    again, its folder being among `failed_before`, it has no score, and the others decide.
    """
    rows = []
    for key in dict.fromkeys(trial.key for trial in trials):
        row = _row(directory, plan, [trial for trial in trials if trial.key == key], outcomes, failed_before)
        if row["chosen"] is not None:
            rows.append(row)
    return rows


def _row(
    directory: Path,
    plan: Plan,
    trials: Sequence[Trial],
    outcomes: Mapping[str, Outcome],
    failed_before: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """One cell's trials with their scores; `chosen` is None until all have ended."""
    scored = [_scored(directory, plan, trial, outcomes) for trial in trials]
    lost = set(failed_runs(trials, outcomes))
    ended = all(row["score"] is not None or failed_before >= lost.intersection(row["runs"]) > set() for row in scored)
    known = [row for row in scored if row["score"] is not None]
    # Precision above that of real data is no merit, as it is bought with narrow modes; of equals the first wins, the
    # default.
    real = trials[0].runs[0].spec.task.real_quality
    best = max(known, key=lambda row: (row["score"], min(row[TIE_BREAK] or 0.0, real)), default=None)
    cell = trials[0].of
    return {
        "method": cell.name,
        "task": cell.task,
        "chosen": best["trial"] if best and ended else None,
        "settings": best["settings"] if best and ended else None,
        "top": known[0]["top"] if known else None,
        "trials": [{key: value for key, value in row.items() if key != "top"} for row in scored],
    }


def _scored(directory: Path, plan: Plan, trial: Trial, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    assert plan.tuning is not None
    results = {run.spec.directory_name: finished_result(directory, run) for run in trial.runs}
    failed = [outcome.error for name in results if (outcome := outcomes.get(name)) and outcome.status == "failed"]
    row: dict[str, Any] = {"trial": trial.number, "settings": dict(trial.settings), "runs": list(results)}
    row |= {"score": None, TIE_BREAK: None, "per_seed": [], "diverged": [], "failed": failed, "top": None}
    done = {name: result for name, result in results.items() if result is not None}
    if len(done) < len(results):
        return row
    cell = record.cell_record(trial.of.name, trial.of.task, done, weights=plan.weights)
    found, quality = (cell["measures"].get(key) or {} for key in (plan.tuning.measure, TIE_BREAK))
    limits = found.get("bounds")
    row |= {"score": found.get("mean"), TIE_BREAK: quality.get("mean"), "per_seed": found.get("per_seed", [])}
    return row | {"diverged": cell["diverged"], "top": limits[1] if limits else None}


def tuned_runs(directory: Path, plan: Plan, trials: Sequence[Trial]) -> list[PlannedRun]:
    """The runs of the chosen settings on the reported seeds, of the cells whose choice is frozen.

    Where the default was chosen they are the runs of the method as it stands, and packed as these anywhere else.
    """
    frozen = packing.frozen_choices(directory) if trials else {}
    groups = packing.frozen_groups(directory) if trials else {}
    cells = [
        tuned_cell(trial.of, trial.settings)
        for trial in trials
        if trial.key in frozen and frozen[trial.key]["chosen"] == trial.number
    ]
    return [run for cell in cells for run in packing.runs_of(cell, plan.threads, groups)]


def expected_runs(trials: Sequence[Trial], threads: int, groups: packing.Groups | None = None) -> list[PlannedRun]:
    """As many runs as the tuned settings will take, with the settings as they stand; for estimates of time.

    Args:
        trials: Of the cells that will be tuned.
        threads: Of each run.
        groups: As for `packing.pack`.
    """
    cells = [tuned_cell(trial.of, {}) for trial in trials if trial.number == 1]
    return [run for cell in cells for run in packing.runs_of(cell, threads, groups)]


def tuned_cell(cell: Cell, settings: Mapping[str, Any]) -> Cell:
    """A cell with its chosen settings, named ``method (tuned)``."""
    return replace(cell, set={**cell.set, **settings}, label=_labelled(cell.label, TUNED), untuned=cell.name)


def side_by_side(runs: Sequence[PlannedRun], tuned: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The runs with each cell's tuned ones after its own."""
    keys = dict.fromkeys((run.cell.name, run.cell.task) for run in runs)
    return [
        run
        for key in keys
        for run in (
            *(run for run in runs if (run.cell.name, run.cell.task) == key),
            *(run for run in tuned if (run.cell.untuned, run.cell.task) == key),
        )
    ]


def summary(
    directory: Path,
    plan: Plan,
    trials: Sequence[Trial],
    outcomes: Mapping[str, Outcome],
    cells: Sequence[Mapping[str, Any]],
    pairs: Mapping[str, str],
) -> dict[str, Any]:
    """What `comparison.json` holds under ``tuning``.

    Args:
        directory: The comparison's directory.
        plan: The plan.
        trials: Its trials.
        outcomes: How this sitting's runs ended.
        cells: The records of the reported cells.
        pairs: Name of each method that was tuned -> name of its tuned row.
    """
    assert plan.tuning is not None
    frozen = packing.frozen_choices(directory)
    keys = dict.fromkeys(trial.key for trial in trials)
    rows = [
        frozen.get(key) or _row(directory, plan, [trial for trial in trials if trial.key == key], outcomes)
        for key in keys
    ]
    rows = [row | _spread(row) | {"tuned": pairs.get(row["method"])} for row in rows]
    folders = {run.spec.directory_name for run in runs_of(trials)}
    return {
        "seeds": list(plan.tuning.seeds),
        "updates": plan.tuning.updates,
        "trials": plan.tuning.trials,
        "measure": plan.tuning.measure,
        "cells": rows,
        "methods": _sensitivity(rows),
        "differences": gains(cells, plan, rows),
        "seconds": round(sum(record.seconds(directory / "runs" / folder) for folder in folders), 3),
    }


def _spread(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Best, median and worst score of a cell's trials: how much the setting matters."""
    scores = [trial["score"] for trial in row["trials"] if trial["score"] is not None]
    if not scores:
        return dict.fromkeys(("best", "median", "worst"))
    return {"best": max(scores), "median": median(scores), "worst": min(scores)}


def _sensitivity(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Best, median and worst setting of each method as a share of what the measure can reach, averaged over tasks."""
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method and row["best"] is not None and row["top"]]
        shares = {
            key: sum(row[key] / row["top"] for row in mine) / len(mine) if mine else None
            for key in ("best", "median", "worst")
        }
        found.append({"method": method, "tasks": len(mine), **shares})
    return found


def gains(cells: Sequence[Mapping[str, Any]], plan: Plan, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Each tuned method against itself as it stands, on the reported seeds; Holm over the methods of a task.

    A method whose default was chosen is left out, for both rows are the same runs.
    """
    from uncollapse.experiments.statistics import pair_differences

    assert plan.tuning is not None
    found: list[dict[str, object]] = []
    for task in dict.fromkeys(cell["task"] for cell in cells):
        mine = {cell["method"]: cell for cell in cells if cell["task"] == task}
        changed = [(row["tuned"], row["method"]) for row in rows if row["task"] == task and row["settings"]]
        for measure in dict.fromkeys((plan.tuning.measure, plan.headline, TIE_BREAK)):
            known = {name: cell for name, cell in mine.items() if measure in cell["measures"]}
            pairs = [pair for pair in changed if set(pair) <= set(known)]
            if pairs:
                values = {name: record.by_seed(cell, measure) for name, cell in known.items()}
                limits = known[pairs[0][1]]["measures"][measure].get("bounds")
                differences = pair_differences(
                    values, pairs, task=task, measure=measure, bounds=limits, diverged="omit"
                )
                found += [row.to_json() for row in differences]
    return found


def failed_runs(trials: Sequence[Trial], outcomes: Mapping[str, Outcome]) -> list[str]:
    """The folders of the trials' runs that failed in this sitting."""
    names = [run.spec.directory_name for run in runs_of(trials)]
    return [name for name in names if (outcome := outcomes.get(name)) and outcome.status == "failed"]


def failed_trials(tuning: Mapping[str, Any]) -> list[str]:
    """A sentence for each failed trial of what `comparison.json` holds under ``tuning``."""
    return [
        f"{row['method']} on {row['task']}, trial {trial['trial']}, failed and "
        f"{'is trained again by the same command' if row['chosen'] is None else 'was not chosen'}: {error.rstrip('.')}."
        for row in tuning.get("cells", ())
        for trial in row.get("trials", ())
        for error in trial.get("failed", ())
    ]
