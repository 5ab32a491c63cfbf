"""How a plan is packed and how long what is left of it takes, from a few updates of each kind: `compare --dry-run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncollapse.experiments import packing, planner, throughput, tuning
from uncollapse.experiments.compare import directory_of, engine_of, prepare
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
    """One run and the seconds that are left of it, its updates and all else; `lanes` seeds move as one stack.

    Attributes:
        trained: Updates that its newest checkpoint holds.
        finished: Whether the comparison's directory holds its result, so that no second is left of it.
    """

    directory: str
    method: str
    task: str
    seeds: tuple[int, ...]
    lanes: int
    updates: int
    seconds: float
    trained: int = 0
    finished: bool = False


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
        if done := sum(run.finished for run in self.runs):
            runs += f", {done} of them finished"
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
                *("finished" if run.finished else duration(run.seconds), run.directory),
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
    out: str | Path | None = None,
    jobs: int | None = None,
    device: str = "auto",
    engine: str = "local",
    plugins: Sequence[object] = (),
    engine_options: Sequence[str] = (),
    address: str | None = None,
) -> Estimate:
    """Estimates a plan, or what is left of it, without starting it; all is checked as for a real start.

    A directory may be asked about while somebody writes it.

    Args:
        plan: As for `compare`.
        out: Directory of the comparison, likewise; its packing holds and its finished runs take no time.
        jobs: Runs at a time; None = the engine's default.
        device: Device of the runs.
        engine: Name of the engine.
        plugins: As for `compare`.
        engine_options: Likewise.
        address: Likewise.

    Raises:
        UserError: The plan is wrong, the engine is not one or has no such options, or the directory holds another plan.
    """
    runs, checked = prepare(plan, plugins)
    directory = directory_of(checked, out)
    at_once = engine_of(checked, plugins, engine, jobs, device, engine_options, address).jobs
    place = planner.Place(jobs=at_once, device=device, measure=engine == "local")
    groups = planner.settled(directory, [*runs, *tuning.runs_of(tuning.trials(checked))], place)
    runs, trials = packing.pack(checked, groups), tuning.trials(checked, groups)
    packing.locked(directory, checked, [*runs, *tuning.runs_of(trials)], plugins)
    first, later = _rows(directory, checked, runs, trials, groups, device)
    rows = [*first, *later]
    stages = [[row.seconds for row in stage if not row.finished] for stage in (first, later)]
    training = sum(makespan(stage, at_once) for stage in stages)
    # One process trains itself; of several, the head starts first and then all workers of a stage at once.
    workers = [most if (most := min(at_once, len(stage))) > 1 else 0 for stage in stages]
    start = throughput.start_seconds()
    head = start + HEAD_SECONDS + HEAD_SECONDS_OF_A_RUN * len(rows)
    return Estimate(
        runs=tuple(rows),
        jobs=at_once,
        threads=checked.threads,
        seconds=head + sum(map(bool, workers)) * start + training,
        processor_seconds=head + sum(workers) * start + sum(map(sum, stages)),
    )


def _rows(
    directory: Path,
    plan: Plan,
    runs: Sequence[PlannedRun],
    trials: Sequence[tuning.Trial],
    groups: packing.Groups,
    device: str,
) -> tuple[list[PlannedTime], list[PlannedTime]]:
    """What begins at once, and what begins when the trials have ended: the tuned settings, chosen or to be chosen."""
    waiting = tuning.open_trials(directory, trials)  # first, so that what is chosen just now counts rather twice
    chosen = tuning.tuned_runs(directory, plan, trials) if (directory / packing.LOCK).exists() else []
    pairs = [*_trials(waiting), *((run, run) for run in runs)]
    first = [_timed(run, like, device, directory) for run, like in pairs]
    names = {run.spec.directory_name for run in runs}  # a choice of the default is the run of the method as it stands
    later = [_timed(run, run, device, directory) for run in chosen if run.spec.directory_name not in names]
    return first, later + [_timed(run, run, device) for run in tuning.expected_runs(waiting, plan.threads, groups)]


def _timed(run: PlannedRun, like: PlannedRun, device: str, directory: Path | None = None) -> PlannedTime:
    """A run with its time, which is that of a run `like` it; without a directory its settings are not known yet."""
    from uncollapse.checkpoint import folders, step
    from uncollapse.run import is_finished
    from uncollapse.run_files import check_code

    name = run.spec.directory_name
    place = None if directory is None else directory / "runs" / name
    if place is not None:
        check_code(place, run.spec)  # as the comparison itself does
    finished = place is not None and is_finished(place, run.spec)
    saved = [] if place is None else folders(place / "checkpoints")
    trained = min(step(saved[0]), run.spec.updates) if saved else 0
    return PlannedTime(
        directory=LATER if directory is None else name,
        method=run.cell.name,
        task=run.cell.task,
        seeds=run.spec.seeds,
        lanes=len(run.spec.seeds) if planner.as_one_stack(run.spec) else 1,
        updates=run.spec.updates,
        seconds=0.0 if finished else run_seconds(like.spec, device, trained=trained),
        trained=trained,
        finished=finished,
    )


def run_seconds(spec: RunSpec, device: str, trained: int = 0) -> float:
    """Seconds of one run by itself: its updates but those that are trained, and all that it does beside them."""
    beside = throughput.beside_cost(spec, device)
    left = spec.updates - trained
    looks = 0 if spec.monitor is None else left // spec.monitor.every
    return throughput.update_cost(spec, device)["seconds"] * left + beside["seconds"] + looks * beside["look"]


def _trials(trials: Sequence[tuning.Trial]) -> list[tuple[PlannedRun, PlannedRun]]:
    """Each trial's run with the run of the same cell's first trial: other settings take the same time."""
    first = {trial.key: trial.runs for trial in trials if trial.number == 1}
    return [pair for trial in trials for pair in zip(trial.runs, first[trial.key], strict=False)]
