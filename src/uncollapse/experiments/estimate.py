"""How long a plan will take, from a few updates of each distinct run; behind `compare --dry-run`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncollapse.experiments import tuning
from uncollapse.experiments.compare import prepare
from uncollapse.experiments.engines import find_engine
from uncollapse.experiments.packing import PlannedRun
from uncollapse.experiments.plan import Plan
from uncollapse.text import duration, seed_text

if TYPE_CHECKING:
    from rich.table import Table

    from uncollapse.run import RunSpec

WARM_UPDATES = 20
LATER = "known after the trials"
MEASURED_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class PlannedTime:
    """One run and the seconds that its training will take."""

    directory: str
    method: str
    task: str
    seeds: tuple[int, ...]
    updates: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The runs of a plan with their times; `seconds` is the whole with `jobs` runs at a time."""

    runs: tuple[PlannedTime, ...]
    jobs: int
    seconds: float

    @property
    def sentence(self) -> str:
        """The whole in one sentence."""
        runs = "1 run" if len(self.runs) == 1 else f"{len(self.runs)} runs"
        return (
            f"{runs}, about {duration(self.seconds)} of training with {self.jobs} at a time; an estimate from a few "
            "updates of each, and measuring samples and drawing the report come on top."
        )

    def table(self) -> Table:
        """The runs as a table."""
        from uncollapse.console import make_table

        rows = [
            (run.method, run.task, seed_text(run.seeds, ""), f"{run.updates:,}", duration(run.seconds), run.directory)
            for run in self.runs
        ]
        columns = ["method", "task", "seeds", "updates", "about", "directory"]
        return make_table(columns, rows, right=["updates", "about"])

    def to_json(self) -> dict[str, Any]:
        """The estimate as JSON values."""
        runs = [vars(run) | {"seeds": list(run.seeds), "seconds": round(run.seconds, 1)} for run in self.runs]
        return {"estimate": True, "seconds": round(self.seconds, 1), "jobs": self.jobs, "runs": runs}


def estimate(
    plan: str | Path | Plan,
    *,
    jobs: int | None = None,
    device: str = "auto",
    engine: str = "local",
    plugins: Sequence[object] = (),
) -> Estimate:
    """Estimates a plan without starting it; every name and setting is checked as for a real start.

    Args:
        plan: As for `compare`.
        jobs: Runs at a time; None = the engine's default.
        device: Device of the runs.
        engine: Name of the engine.
        plugins: As for `compare`.
    """
    runs, checked = prepare(plan, plugins)
    timed = [*_trials(checked), *((run, run) for run in [*runs, *tuning.expected_runs(checked)])]
    at_once = find_engine(engine, jobs=jobs, device=device, threads=checked.threads).jobs
    speeds: dict[str, float] = {}
    rows = []
    for run, like in timed:
        key = _kind(like.spec)
        if key not in speeds:
            speeds[key] = seconds_per_update(like.spec, device)
        rows.append(
            PlannedTime(
                directory=LATER if run.cell.untuned else run.spec.directory_name,
                method=run.cell.name,
                task=run.cell.task,
                seeds=run.spec.seeds,
                updates=run.spec.updates,
                seconds=speeds[key] * run.spec.updates,
            )
        )
    return Estimate(runs=tuple(rows), jobs=at_once, seconds=makespan([row.seconds for row in rows], at_once))


def _trials(plan: Plan) -> list[tuple[PlannedRun, PlannedRun]]:
    """Each trial's run with the run of the same cell's first trial: other settings take the same time."""
    trials = tuning.trials(plan)
    first = {trial.key: trial.runs for trial in trials if trial.number == 1}
    return [pair for trial in trials for pair in zip(trial.runs, first[trial.key], strict=True)]


def _kind(spec: RunSpec) -> str:
    """Runs that differ in their task's modes or in their seeds' numbers take the same time."""
    method = replace(spec.method, name="")
    shape = (spec.task.shape, spec.task.classes if method.labelled else 0)
    return repr((method.spec(), shape, spec.networks, spec.batch, len(spec.seeds), spec.threads, spec.dtype))


def seconds_per_update(spec: RunSpec, device: str) -> float:
    """Seconds of one critic update with its share of the generator's, all seeds together."""
    import torch

    from uncollapse.loop import Trainer
    from uncollapse.versions import choose_device

    before = torch.get_num_threads()
    torch.set_num_threads(spec.threads)
    try:
        trainer = Trainer(spec, device=choose_device(device))
        trainer.advance(WARM_UPDATES)
        start, first = time.perf_counter(), trainer.update
        while time.perf_counter() - start < MEASURED_SECONDS:
            trainer.advance(trainer.update + WARM_UPDATES)
            trainer.losses()  # reading a number waits for the device
        return (time.perf_counter() - start) / (trainer.update - first)
    finally:
        torch.set_num_threads(before)


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """The time until all are done when the longest comes first and a free slot takes the next.

    >>> makespan([3.0, 2.0, 2.0], 2)
    4.0
    """
    slots = [0.0] * max(jobs, 1)
    for length in sorted(seconds, reverse=True):
        slots[slots.index(min(slots))] += length
    return max(slots)
