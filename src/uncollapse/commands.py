"""What the verbs `train`, `compare` and `demo` do between their options and their output, exit codes included.

Between `cli` (options) and `experiments` (the work); `typer.Exit` carries the exit code back.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from uncollapse.console import advice_table, comparison_table, run_table, say, show, show_json
from uncollapse.errors import UserError
from uncollapse.experiments.compare import compare
from uncollapse.experiments.engines import Job
from uncollapse.experiments.estimate import estimate
from uncollapse.experiments.plan import Plan, parse_seeds
from uncollapse.experiments.progress import make_board
from uncollapse.experiments.stopping import Stop
from uncollapse.experiments.tuning import failed_trials
from uncollapse.plugins import load_plugins
from uncollapse.text import seed_text

if TYPE_CHECKING:
    from uncollapse.ranks import Ranks
    from uncollapse.run import Progress, RunSpec

# Seconds that rank 0 has for what it says at the end.
LAST_WORDS = 1.0
# The exit code for a generator that collapsed, as of `evaluate --fail-on-collapse`.
ALARMED = 3
# Methods with rows on the terminal for a symptom.
MOST_ADVISED = 6


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """``PATH=VALUE`` texts as a mapping; a value is read as TOML where it is one (numbers, true, lists), else as text.

    >>> parse_settings(["dynamics.lr_critic=2e-4", "dynamics.betas=[0.5, 0.999]", "networks.bounded=true"])
    {'dynamics.lr_critic': 0.0002, 'dynamics.betas': [0.5, 0.999], 'networks.bounded': True}
    """
    found: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip() or not text.strip():
            raise UserError(f"--set {setting!r} is not of the form PATH=VALUE, such as dynamics.lr_critic=2e-4.")
        if path.strip() in found:
            raise UserError(f"--set {path.strip()} is given twice; give it once.")
        found[path.strip()] = _value(text.strip())
    return found


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    with contextlib.suppress(ValueError):
        return json.loads(text)  # .5 and objects with colons, which TOML does not know
    try:
        return float(text)
    except ValueError:
        return text


def plan_run(
    method: str,
    task: str,
    seeds: str,
    updates: int | None,
    batch: int | None,
    threads: int,
    settings: Mapping[str, Any],
    plugins: Sequence[str],
    networks: str | None = None,
    dtype: str = "float32",
    accumulate: int = 1,
    monitor: int | None = None,
    rollback: bool = False,
) -> RunSpec:
    """The checked specification of one run; `networks` is ``module:factory`` of the user's own."""
    from uncollapse.monitor.choices import MonitorChoice
    from uncollapse.networks.sources import Pair
    from uncollapse.run import make_spec

    numbers = {"--updates": updates, "--batch": batch, "--threads": threads, "--accumulate": accumulate}
    numbers["--monitor"] = monitor
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise UserError(f"{name} {value} is not possible; give a whole number of at least 1.")
    load_plugins(plugins)
    chosen, own = parse_seeds(seeds), None if networks is None else Pair.named(networks)
    return make_spec(
        method, task, seeds=chosen, updates=updates, batch=batch, threads=threads, dtype=dtype, accumulate=accumulate,
        settings=settings, own=own, monitor=MonitorChoice.of(monitor, rollback=rollback),
    )  # fmt: skip


def train_run(
    spec: RunSpec, out: Path | None, *, device: str, fresh: bool, as_json: bool, loggers: Sequence[str] = ()
) -> None:
    """Trains one run with progress on stderr and its result on stdout; under torchrun, rank 0 alone writes and prints.

    Raises:
        typer.Exit: 128 + n when signal n stopped it, after a checkpoint; 3 when the alarm of a monitor did.
    """
    from uncollapse.distributed import RanksFailed
    from uncollapse.ranks import ranks_of_environment
    from uncollapse.run import Stopped, StoppedByAlarm, execute

    directory, ranks = out or Path("runs") / spec.directory_name, ranks_of_environment()
    if not ranks.leads:
        follow_run(spec, directory, ranks, device)
        return
    job = Job(
        spec={},
        directory=directory,
        method=spec.method.name,
        task=spec.task.name,
        seeds=spec.seeds,
        updates=spec.updates,
    )
    with Stop() as stop:
        try:
            with make_board([job]) as board:
                board.started(job.name)

                def report(progress: Progress) -> None:
                    board.progress(job.name, progress)
                    board.tick()

                run = execute(
                    spec, directory, device=device, progress=report, stop=stop, fresh=fresh, ranks=ranks,
                    loggers=loggers,
                )  # fmt: skip
        except StoppedByAlarm as alarm:
            over = (directory / "result.json").exists()
            then = (
                f"It was the last update: the result is in {directory}."
                if over
                else (f"A checkpoint is in {directory}; the same command trains on.")
            )
            say(f"Stopped by the alarm of {alarm} {then}")
            raise typer.Exit(ALARMED) from None
        except Stopped:
            why = "as another process was asked to" if stop.signal is None else f"by signal {stop.signal}"
            say(f"Stopped {why} with a checkpoint in {directory}; the same command continues.")
            raise typer.Exit(stop.exit_code or 128 + signal.SIGTERM) from None
        except RanksFailed as error:  # said before the signal that torchrun sends next can end this process
            say(f"uncollapse: {error}")
            raise typer.Exit(1) from None
    if as_json:
        show_json(run.result | {"directory": str(directory)})
    else:
        show(run_table(run.result))
        show(str(directory))


def follow_run(spec: RunSpec, directory: Path, ranks: Ranks, device: str) -> None:
    """Trains a run along with rank 0, which says all there is to say, but for what goes wrong here alone.

    Raises:
        typer.Exit: 1 when another process failed, 128 + n when the run was stopped.
    """
    from uncollapse.distributed import RanksFailed
    from uncollapse.run import Stopped, execute

    with Stop() as stop:
        try:
            execute(spec, directory, device=device, stop=stop, ranks=ranks)
        except Stopped:
            code = stop.exit_code or 128 + signal.SIGTERM
        except RanksFailed:
            code = 1
        else:
            return
        # As soon as one process ends so, torchrun ends the others; rank 0 has something to say first.
        time.sleep(LAST_WORDS)
    raise typer.Exit(code)


def run_comparison(plan: str | Plan, *, as_json: bool, **options: Any) -> None:
    """Runs a plan; prints its table and the path of its report, or its `comparison.json` with both paths.

    Raises:
        typer.Exit: 1 when a run failed, 128 + n when signal n stopped it.
    """
    result = compare(plan, **options)
    report = result.directory / "report.html"
    if as_json:
        paths = {"directory": str(result.directory), "report": str(report) if report.exists() else None}
        show_json({**result.document, **paths})
    else:
        show(comparison_table(result.document))
    for cell in result.document["cells"]:
        for row in cell["failed"]:
            seeds = seed_text(row["seeds"])
            say(f"uncollapse: {cell['method']} on {cell['task']}, {seeds}, failed: {row['error']}")
    for line in failed_trials(result.document.get("tuning") or {}):
        say(f"uncollapse: {line}")
    if result.stopped:
        say(result.stopped)
    if not as_json and report.exists():
        show(str(report))
    raise typer.Exit(result.exit_code)


def estimate_plan(plan: str, *, as_json: bool, **options: Any) -> None:
    """Prints the runs of a plan and an estimate of the time of what is left; options as for `estimate`."""
    found = estimate(plan, **options)
    if as_json:
        show_json(found.to_json())
    else:
        show(found.table())
        show(found.sentence)


def inspect_data(path: str, out: Path | None, *, label_column: str | None = None, as_json: bool) -> None:
    """Prints what is in a data set, and writes a grid of its pictures where one is asked for."""
    from uncollapse.data.inspect import inspect

    if out is not None and out.suffix.lower() != ".png":
        raise UserError(f"--out {out.name!r} must end in .png.")
    found = inspect(path, label_column=label_column)
    if out is not None:
        found.picture(out)
    show_json(found.to_json()) if as_json else show(found.table())
    if out is not None and not as_json:
        show(str(out))


def fetch_data(name: str, *, as_json: bool) -> None:
    """Fetches a data set or weights and prints the paths of its files."""
    from uncollapse.data.fetch import fetch
    from uncollapse.evaluation.verb import Told

    told = Told()
    try:
        files = fetch(name, progress=told)
    finally:
        told.end()
    if as_json:
        show_json({"name": name, "files": [str(file) for file in files]})
    else:
        for file in files:
            show(str(file))


def show_advice(symptom: str, method: str | None, *, as_json: bool) -> None:
    """Prints what committed results say against a symptom, a line a row, and what is not known.

    Raises:
        UserError: There is no such symptom, or a method was named too.
    """
    from dataclasses import asdict

    from uncollapse.advice import advise, trimmed

    if method is not None:
        raise UserError(f"`methods {method} --for {symptom}` asks for two things; give the name or --for, not both.")
    advice = advise(symptom)
    if as_json:
        item = advice.symptom
        content = {"symptom": item.name, "rule": item.rule, "sentence": advice.sentence}
        lists = {"not_helped": list(advice.unhelpful), "not_measured": list(advice.unknown)}
        show_json(content | {"suggestions": [asdict(found) for found in advice.suggestions]} | lists)
        return
    advice = trimmed(advice, MOST_ADVISED)
    show(f"{advice.symptom.title}: {advice.symptom.rule}.")
    show(advice.sentence)
    if advice.suggestions:
        show(advice_table(advice))
    for settings, letter in advice.legend().items():
        show(f"{letter}: {settings}")
    for line in advice.remarks():
        show(line)
    if advice.further:
        show(f"`uncollapse methods --for {symptom} --json` has their rows, too.")
