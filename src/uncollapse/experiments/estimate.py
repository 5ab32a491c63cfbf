"""How a plan will be packed and how long it will take, from a few updates of each kind; behind `compare --dry-run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncollapse.experiments import packing, planner, throughput, tuning
from uncollapse.experiments.compare import prepare
from uncollapse.experiments.engines import find_engine
from uncollapse.experiments.packing import PlannedRun
from uncollapse.experiments.plan import Plan
from uncollapse.experiments.planner import makespan
from uncollapse.text import duration, seed_text

if TYPE_CHECKING:
    from rich.table import Table

    from uncollapse.run import RunSpec

LATER = "known after the trials"
# Of the head: reading results, statistics and the report, for each run and at all.
HEAD_SECONDS, HEAD_SECONDS_OF_A_RUN = 4.0, 0.02


@dataclass(frozen=True, kw_only=True)
class PlannedTime:
    """One run and the seconds that it will take, its updates and all else; `lanes` seeds move as one stack."""

    directory: str
    method: str
    task: str
    seeds: tuple[int, ...]
    lanes: int
    updates: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The runs of a plan with their times.

    Attributes:
        runs: In the plan's order.
        jobs: Runs at a time.
        threads: Threads of each run.
        seconds: The whole: processes' start, runs that fill the slots longest first, and the report.
        processor_seconds: What all processes together compute in it.
    """

    runs: tuple[PlannedTime, ...]
    jobs: int
    threads: int
    seconds: float
    processor_seconds: float

    @property
    def sentence(self) -> str:
        """The whole in one sentence."""
        runs = "1 run" if len(self.runs) == 1 else f"{len(self.runs)} runs"
        most = max((run.lanes for run in self.runs), default=1)
        lanes = f", up to {most} seeds in a stack" if most > 1 else ""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"{runs}{lanes}, about {duration(self.seconds)} with {self.jobs} at a time of {threads} each, judging and "
            "the report included; an estimate from a few updates of each kind, for a machine that does nothing else."
        )

    def table(self) -> Table:
        """The runs as a table."""
        from uncollapse.console import make_table

        rows = [
            (
                *(run.method, run.task, seed_text(run.seeds, ""), str(run.lanes), f"{run.updates:,}"),
                *(duration(run.seconds), run.directory),
            )
            for run in self.runs
        ]
        columns = ["method", "task", "seeds", "lanes", "updates", "about", "directory"]
        return make_table(columns, rows, right=["lanes", "updates", "about"])

    def to_json(self) -> dict[str, Any]:
        """The estimate as JSON values."""
        runs = [vars(run) | {"seeds": list(run.seeds), "seconds": round(run.seconds, 1)} for run in self.runs]
        whole = {"seconds": round(self.seconds, 1), "processor_seconds": round(self.processor_seconds, 1)}
        whole |= {"jobs": self.jobs, "threads": self.threads}
        return {"estimate": True, **whole, "runs": runs}


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
    at_once = find_engine(engine, jobs=jobs, device=device, threads=checked.threads).jobs
    place = planner.Place(jobs=at_once, device=device, measure=engine == "local")
    groups = planner.choose([*runs, *tuning.runs_of(tuning.trials(checked))], place)
    first = [*_trials(checked, groups), *((run, run) for run in packing.pack(checked, groups))]
    later = tuning.expected_runs(checked, groups)
    rows = [_timed(run, like, device) for run, like in [*first, *((run, run) for run in later)]]
    # The tuned settings are known, and begin, when the trials have ended.
    stages = [rows[: len(first)], rows[len(first) :]]
    training = sum(makespan([row.seconds for row in stage], at_once) for stage in stages)
    # One process trains itself; of several, the head starts first and then all workers at once.
    workers = min(at_once, len(first)) if min(at_once, len(first)) > 1 else 0
    start = throughput.start_seconds()
    head = start + HEAD_SECONDS + HEAD_SECONDS_OF_A_RUN * len(rows)
    return Estimate(
        runs=tuple(rows),
        jobs=at_once,
        threads=checked.threads,
        seconds=head + min(workers, 1) * start + training,
        processor_seconds=head + workers * start + sum(row.seconds for row in rows),
    )


def _timed(run: PlannedRun, like: PlannedRun, device: str) -> PlannedTime:
    """A run with its time, which is that of a run `like` it."""
    return PlannedTime(
        directory=LATER if run.cell.untuned else run.spec.directory_name,
        method=run.cell.name,
        task=run.cell.task,
        seeds=run.spec.seeds,
        lanes=len(run.spec.seeds) if planner.as_one_stack(run.spec) else 1,
        updates=run.spec.updates,
        seconds=run_seconds(like.spec, device),
    )


def run_seconds(spec: RunSpec, device: str) -> float:
    """Seconds of one run by itself: its updates, and all that it does beside them."""
    beside = throughput.beside_cost(spec, device)
    looks = 0 if spec.monitor is None else spec.updates // spec.monitor.every
    return throughput.update_cost(spec, device)["seconds"] * spec.updates + beside["seconds"] + looks * beside["look"]


def _trials(plan: Plan, groups: packing.Groups) -> list[tuple[PlannedRun, PlannedRun]]:
    """Each trial's run with the run of the same cell's first trial: other settings take the same time."""
    trials = tuning.trials(plan, groups)
    first = {trial.key: trial.runs for trial in trials if trial.number == 1}
    return [pair for trial in trials for pair in zip(trial.runs, first[trial.key], strict=False)]
