"""A plan from start to report: pack, freeze, train what is missing, choose settings, record, compare, draw the page.

Started again after any interruption it trains only what is not finished and arrives at the same numbers.
"""

from __future__ import annotations

import multiprocessing
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncollapse.errors import UserError
from uncollapse.experiments import packing, planner, tuning
from uncollapse.experiments.engines import WORKER, Engine, Job, Outcome, find_engine
from uncollapse.experiments.plan import Plan, load_plan
from uncollapse.experiments.progress import make_board
from uncollapse.experiments.stopping import Stop
from uncollapse.experiments.summary import summarise
from uncollapse.files import write_json
from uncollapse.lease import Lease, only_writer
from uncollapse.plugins import bound_to_this_process, load_plugins, plugin_options

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison found.

    Attributes:
        directory: Where it lives.
        document: The content of its `comparison.json`.
        stopped: Why it stopped before its end, as a sentence on how to go on; empty when it is finished.
        exit_code: 0; 1 when a run failed; 128 + n after signal n.
    """

    directory: Path
    document: Mapping[str, Any]
    stopped: str = ""
    exit_code: int = 0

    def table(self) -> Table:
        """The cells as a rich table, which `print` shows as text."""
        from uncollapse.console import comparison_table

        return comparison_table(self.document)

    def report(self, path: str | Path | None = None) -> Path:
        """Builds the report; returns its path.

        Args:
            path: Where to put a copy of it; None = ``report.html`` in the directory only.
        """
        from uncollapse.report import build

        built = build(self.directory)
        if path is None:
            return built
        wanted = Path(path)
        if wanted.resolve() != built.resolve():
            shutil.copyfile(built, wanted)
        return wanted


def compare(
    plan: str | Path | Plan,
    *,
    out: str | Path | None = None,
    plugins: Sequence[object] = (),
    engine: str = "local",
    jobs: int | None = None,
    device: str = "auto",
    time_limit: float | None = None,
    progress: bool = True,
    engine_options: Sequence[str] = (),
    address: str | None = None,
) -> Comparison:
    """Runs a plan, or what is left of it, and writes `comparison.json` and `report.html`.

    Args:
        plan: A plan, a TOML file or the name of a built-in plan.
        out: Directory; None = ``runs/<plan name>``.
        plugins: A user's own methods, parts and tasks: objects or ``"module:attr"`` references.
        engine: Where runs are trained: ``"local"`` is this machine, ``"ray"`` and ``"slurm"`` are clusters.
        jobs: Runs at a time; None = one a core on the CPU, one on a GPU. Always one where a plugin is an object that
            was defined in a notebook or at a prompt, which no other process can import.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:0"``.
        time_limit: Minutes after which all runs stop cleanly, each with a checkpoint.
        progress: Whether to show progress on stderr.
        engine_options: ``"NAME=VALUE"`` each, as ``"run_minutes=30"``; see docs/engines.md.
        address: Of a Ray cluster; None = one that lives as long as the comparison.

    Raises:
        UserError: The plan is wrong, the engine cannot be used, or the directory holds another plan or is in use.
    """
    if multiprocessing.current_process().name == WORKER:
        raise UserError(
            "A script that compares with several jobs is loaded again by each of them; "
            "put its compare() under `if __name__ == '__main__':`, or give jobs=1."
        )
    stop = Stop(time_limit)
    runs, plan = prepare(plan, plugins)
    trials = tuning.trials(plan)
    where = engine_of(plan, plugins, engine, jobs, device, engine_options, address)
    directory = directory_of(plan, out)
    with only_writer(directory) as lease, stop:
        place = planner.Place(jobs=where.jobs, device=device, measure=engine == "local")
        asked = lease.watched(stop)
        groups = planner.settled(directory, [*runs, *tuning.runs_of(trials)], place, stop=asked, say=_say(progress))
        runs, trials = packing.pack(plan, groups), tuning.trials(plan, groups)
        packing.freeze(directory, plan, [*runs, *tuning.runs_of(trials)], plugins)
        train = partial(_train, directory, where, asked, device, plugins, progress)
        runs, outcomes = _stages(directory, plan, runs, trials, train, lease)
        command = _command(plan, directory, plugins)
        document = summarise(directory, plan, runs, outcomes, command=command, trials=trials)
        lease.check()
        write_json(directory / "comparison.json", document)
        failed = any(outcome.status == "failed" for outcome in outcomes.values())
        result = Comparison(
            directory=directory,
            document=document,
            stopped=_sentence(directory, outcomes, stop, len(tuning.open_runs(directory, trials))),
            exit_code=stop.exit_code or int(failed),
        )
        if stop.signal is None and any(cell["seeds"] for cell in document["cells"]):
            result.report()
    return result


def _say(progress: bool) -> Callable[[str], None]:
    from uncollapse.console import say

    return say if progress else lambda sentence: None


def directory_of(plan: Plan, out: str | Path | None) -> Path:
    """Where a comparison lives.

    Raises:
        UserError: It is a file.
    """
    directory = Path(out) if out is not None else Path("runs") / plan.name
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file, and a comparison is a directory; choose another --out.")
    return directory


def engine_of(
    plan: Plan,
    plugins: Sequence[object],
    engine: str,
    jobs: int | None,
    device: str,
    options: Sequence[str],
    address: str | None,
) -> Engine:
    """The engine that trains a plan; see `compare`.

    Raises:
        UserError: There is no such engine or option.
    """
    wanted = 1 if bound_to_this_process(plugins) else jobs
    return find_engine(engine, jobs=wanted, device=device, threads=plan.threads, options=options, address=address)


def prepare(plan: str | Path | Plan, plugins: Sequence[object]) -> tuple[list[packing.PlannedRun], Plan]:
    """The checked plan and its runs, plugins registered.

    Raises:
        UserError: Something in the plan does not exist or does not compose.
    """
    load_plugins(plugins)
    plan = load_plan(plan)
    try:
        return packing.pack(plan), plan
    except UserError as error:
        if plugins or "There is no" not in str(error):
            raise
        hint = "For a method, part or task of your own, name where it is defined: --plugin module:attr."
        raise UserError(f"{error} {hint}") from error


def _command(plan: Plan, directory: Path, plugins: Sequence[object]) -> str:
    """What to type to run this very plan again; empty where a plan or a plugin exists as an object only."""
    from uncollapse.experiments.plan import builtin_plans

    if not plan.text or Plan.from_toml(plan.text) != plan or not all(isinstance(plugin, str) for plugin in plugins):
        return ""
    builtin = builtin_plans().get(plan.name) == plan.text
    origin = plan.name if builtin else shlex.quote(str(directory / "plan.toml"))
    return f"uncollapse compare {origin}{plugin_options(plugins)}"


def _stages(
    directory: Path,
    plan: Plan,
    runs: Sequence[packing.PlannedRun],
    trials: Sequence[tuning.Trial],
    train: Callable[[Sequence[packing.PlannedRun]], dict[str, Outcome]],
    lease: Lease,
) -> tuple[list[packing.PlannedRun], dict[str, Outcome]]:
    """Trains the trials and the methods as they stand, freezes what the trials choose, and trains that.

    Returns:
        All reported runs, tuned ones included, and how this sitting's runs ended.
    """
    outcomes = train([*tuning.open_runs(directory, trials), *runs])
    found = tuning.choices(directory, plan, trials, outcomes, packing.failed_before(directory))
    lease.check()  # the lock is read, changed and written: what a new owner wrote meanwhile would be lost
    packing.freeze_choices(directory, found)
    packing.note_failures(directory, tuning.failed_runs(trials, outcomes))
    tuned = tuning.tuned_runs(directory, plan, trials)
    return tuning.side_by_side(runs, tuned), outcomes | train(tuned)


def _train(
    directory: Path,
    engine: Engine,
    stop: Callable[[], bool],
    device: str,
    plugins: Sequence[object],
    progress: bool,
    runs: Sequence[packing.PlannedRun],
) -> dict[str, Outcome]:
    """Trains the runs that are not finished yet, each once."""
    from uncollapse.run import is_finished
    from uncollapse.run_files import check_code

    jobs = {}
    for run in planner.longest_first(runs):
        where = directory / "runs" / run.spec.directory_name
        check_code(where, run.spec)  # before anything is trained or summarised
        if not is_finished(where, run.spec):
            jobs[where] = Job(
                spec=run.spec.to_json(),
                directory=where,
                method=run.cell.name,
                task=run.cell.task,
                seeds=run.spec.seeds,
                updates=run.spec.updates,
                device=device,
                plugins=tuple(plugins),
            )
    if not jobs:
        return {}
    with make_board(list(jobs.values()), show=progress) as board:
        return engine.run(list(jobs.values()), board=board, stop=stop)


def _sentence(directory: Path, outcomes: Mapping[str, Outcome], stop: Stop, waiting: int) -> str:
    left = sum(outcome.status == "stopped" for outcome in outcomes.values())
    if not left:
        return ""
    why = f"signal {stop.signal}" if stop.signal is not None else "the time limit"
    runs = "1 run is" if left == 1 else f"{left} runs are"
    later = ", and the tuned settings follow when their trials have ended" if waiting else ""
    return f"Stopped by {why}; {runs} unfinished in {directory}{later}. The same command continues where it stopped."
