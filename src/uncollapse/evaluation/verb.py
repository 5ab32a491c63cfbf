"""What the verb `evaluate` does between its options and its output: progress, the directory, the exit code."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import typer

from uncollapse.console import say, show, show_json, unread
from uncollapse.data.folders import ENDINGS
from uncollapse.errors import UserError, unknown
from uncollapse.evaluation.crews import Helped, crew_of
from uncollapse.evaluation.evaluate import evaluate
from uncollapse.evaluation.evaluation import DOCUMENT
from uncollapse.evaluation.plain import plain
from uncollapse.evaluation.ray_crew import ray_crew
from uncollapse.evaluation.sides import path_of
from uncollapse.features.shards import Crew
from uncollapse.plugins import permit_networks
from uncollapse.ranks import Ranks, ranks_of_environment
from uncollapse.text import clean, duration
from uncollapse.verdict.judge import ALPHA
from uncollapse.versions import choose_device

COLLAPSED = 3
EVERY = 5.0
ENGINES = ("local", "ray")
# What the options are unless they are given; the command that reproduces a result leaves these out.
DEFAULTS: Mapping[str, object] = {
    "versus": None, "train": None, "per_class": False, "features": "auto", "n": None, "weights": None,
    "resize": "clean", "alpha": ALPHA, "max_bad": 0.01, "device": "auto", "seed": 0, "cache": True, "plugins": (),
    "networks": None,
}  # fmt: skip


class Told:
    """Progress: one line that is written over on a terminal, else a line every few seconds of reading."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Writes to stderr by default."""
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._start: dict[str, float] = {}
        self._last = time.monotonic()
        self._width = 0

    def __call__(self, what: str, done: int, count: int | None) -> None:
        """Rows done of the rows there are, and the time left where it can be said; 0 of 0 is a step without rows."""
        now = time.monotonic()
        if not done and count == 0:
            if self._live:
                self._write(f"{clean(what)} ...")
            return
        start = self._start.setdefault(what, now)
        if now - self._last < (0.2 if self._live else EVERY):
            return
        self._last = now
        of = f" of {count:,}" if count is not None else ""
        left = ""
        if count is not None and 0 < done < count and now - start > 1:
            left = f", about {duration((now - start) * (count - done) / done)} left"
        self._write(f"{clean(what)}: {done:,}{of} rows{left}")

    def _write(self, line: str) -> None:
        if not self._live:
            print(line, file=self._stream, flush=True)
            return
        print(f"\r{line:<{self._width}}", end="", file=self._stream, flush=True)
        self._width = len(line)

    def end(self) -> None:
        """Leaves a clean line behind."""
        if self._live and self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=self._stream, flush=True)


def run_evaluation(
    real: str,
    fake: str,
    *,
    out: Path | None,
    metrics: str | None,
    as_json: bool,
    fail_on_collapse: bool,
    networks: str | None = None,
    engine: str = "local",
    jobs: int | None = None,
    **options: Any,
) -> None:
    """Evaluates, writes the directory, and prints the verdict with its evidence and the report's path.

    Under torchrun all processes read; rank 0 alone judges, writes and prints.

    Raises:
        UserError: As `evaluate`, or the directory holds something else.
        RanksFailed: Another process of the evaluation is gone.
        typer.Exit: 3 when the verdict is "collapsed" and `fail_on_collapse` asks for that.
    """
    permit_networks(networks)
    ranks = ranks_of_environment()
    check_engine(engine, jobs, ranks)
    asked = {**options, "networks": networks}
    given = {key: value for key, value in asked.items() if value != DEFAULTS.get(key)}
    names = None if metrics is None else names_of(metrics)
    directory = out or Path("runs") / f"evaluation-{_hash(real, fake, given | {'metrics': names})}"
    check_directory(directory, (real, fake, options.get("versus"), options.get("train")))
    told = Told()
    options |= {"metrics": names, "command": command_line(real, fake, metrics, given)}
    options["progress"] = told if ranks.leads else None
    try:
        # What a user's sampler prints is no result.
        with crew_for(engine, jobs, ranks, options) as crew, redirect_stdout(sys.stderr):
            found = evaluate(real, fake, crew=crew, **options)
    except Helped:
        return
    finally:
        told.end()
    report = found.save(directory)
    with unread():  # the verdict decides the exit code, whether somebody reads to the end or not
        if as_json:
            show_json({**found.document, "directory": plain(str(directory)), "report": plain(str(report))})
        else:
            show(found.table())
            show(str(report))
    if fail_on_collapse and found.verdict.status == "collapsed":
        say("uncollapse: collapsed; --fail-on-collapse was asked for, so the exit code is 3.")
        raise typer.Exit(COLLAPSED)


def names_of(metrics: str) -> list[str]:
    """The names in a text with commas between them.

    Raises:
        UserError: There is none.
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names:
        raise UserError(
            f"--metrics {shlex.quote(metrics)} names no metric; give names with commas between them, as in "
            "coverage,recall, or leave it out for all."
        )
    return names


def check_engine(engine: str, jobs: int | None, ranks: Ranks) -> None:
    """Refuses engines that do not exist, and two at once.

    Raises:
        UserError: Another engine than local and ray, ray under torchrun, or a number of jobs without ray.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES, see="slurm: start torchrun in a job")
    if engine == "ray" and ranks.size > 1:
        raise UserError("--engine ray and torchrun are two ways to the same; use one of them.")
    if jobs is not None and engine != "ray":
        raise UserError("--jobs is for --engine ray; without it one process uses all cores.")


@contextmanager
def crew_for(engine: str, jobs: int | None, ranks: Ranks, options: dict[str, Any]) -> Iterator[Crew | None]:
    """Who reads: this process alone, the processes of torchrun, or readers on Ray.

    Args:
        engine: "local" or "ray".
        jobs: Readers on Ray.
        ranks: The place of this process.
        options: Of `evaluate`; under torchrun on GPUs each process gets one of its own.
    """
    if engine == "ray":
        with ray_crew(jobs, device=options["device"]) as readers:
            yield readers
    elif ranks.size > 1:
        options["device"] = str(ranks.own(choose_device(options["device"])))
        with crew_of(ranks) as crew:
            crew.same(options["command"])
            yield crew
    else:
        yield None


def _hash(real: str, fake: str, given: Mapping[str, Any]) -> str:
    places = [str(path_of(side) or side) for side in (real, fake)]
    text = json.dumps([places, {key: str(value) for key, value in sorted(given.items())}])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_directory(directory: Path, sides: Sequence[str | None]) -> None:
    """Refuses, before anything is computed, a place that must not or cannot be written to.

    Args:
        directory: Where the result goes.
        sides: What is judged, as the user gave it.

    Raises:
        UserError: A file, the directory of a run or a comparison, one of the sides, a folder of images, or a place
            without permission.
    """
    for name in ("spec.json", "plan.lock.json", "comparison.json"):
        if (directory / name).exists():
            raise UserError(f"--out {clean(directory)} holds a run or a comparison; choose another folder.")
    if path_of(directory) is not None and path_of(directory) in [path_of(side) for side in sides]:
        raise UserError(f"--out {clean(directory)} is one of the sides that are judged; choose another folder.")
    if not (directory / DOCUMENT).exists() and (image := _first_image(directory)) is not None:
        raise UserError(
            f"--out {clean(directory)} holds images ({clean(image)}), among which nothing is written; choose another "
            "folder."
        )
    nearest = next(place for place in (directory.absolute(), *directory.absolute().parents) if place.exists())
    how = "is" if nearest == directory.absolute() else "lies in"
    if not nearest.is_dir():
        raise UserError(f"--out {clean(directory)} {how} a file; choose a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"--out {clean(directory)} cannot be written: no permission for {clean(nearest)}.")


def _first_image(directory: Path) -> str | None:
    """The name of an image that lies directly in a folder, if there is one; an evaluation of ours has none."""
    try:
        return next((path.name for path in directory.iterdir() if path.name.lower().endswith(ENDINGS)), None)
    except OSError:  # no folder, or one that may not be read
        return None


def command_line(real: str, fake: str, metrics: str | None, given: Mapping[str, Any]) -> str:
    """What to type to do the same again.

    Args:
        real: As the user gave it.
        fake: Likewise.
        metrics: Likewise.
        given: The other options that are not as they are by themselves.

    >>> command_line("a b", "c", "coverage", {"per_class": True, "seed": 3, "cache": False, "plugins": ("m:a",)})
    "uncollapse evaluate 'a b' c --metrics coverage --per-class --seed 3 --no-cache --plugin m:a"
    >>> command_line("-1.npy", "c", None, {"seed": 3})
    'uncollapse evaluate --seed 3 -- -1.npy c'
    """
    words: list[str] = []
    if metrics is not None:
        words += ["--metrics", metrics]
    for key, value in given.items():
        option = f"--{'plugin' if key == 'plugins' else key.replace('_', '-')}"
        if key == "cache":
            words.append("--no-cache")
            continue
        for one in value if isinstance(value, tuple | list) else [value]:
            words += [option] if one is True else [option, str(one)]
    # A path that looks like an option is one, unless two dashes stand before it.
    sides = [real, fake]
    words = [*words, "--", *sides] if any(side.startswith("-") for side in sides) else [*sides, *words]
    return shlex.join(["uncollapse", "evaluate", *words])
