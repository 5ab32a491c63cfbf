"""What the verb `evaluate` does between its options and its output: progress, the directory, the exit code."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import typer

from uncollapse.console import say, show, show_json
from uncollapse.errors import UserError
from uncollapse.evaluation.evaluate import evaluate
from uncollapse.text import clean, duration

COLLAPSED = 3
EVERY = 5.0


class Told:
    """Progress of reading: one line that is written over on a terminal, else a line every few seconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Writes to stderr by default."""
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._start: dict[str, float] = {}
        self._last = time.monotonic()
        self._width = 0

    def __call__(self, what: str, done: int, count: int | None) -> None:
        """Rows done of the rows there are, and the time left where it can be said."""
        now = time.monotonic()
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
    **options: Any,
) -> None:
    """Evaluates, writes the directory, and prints the verdict with its evidence and the report's path.

    Raises:
        UserError: As `evaluate`, or the directory holds something else.
        typer.Exit: 3 when the verdict is "collapsed" and `fail_on_collapse` asks for that.
    """
    given = {key: value for key, value in options.items() if value not in (None, False, ())}
    names = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    directory = out or Path("runs") / f"evaluation-{_hash(real, fake, given | {'metrics': names})}"
    _check_directory(directory)
    told = Told()
    try:
        found = evaluate(
            real, fake, metrics=names, progress=told, command=_command(real, fake, metrics, given), **options
        )
    finally:
        told.end()
    report = found.save(directory)
    if as_json:
        show_json({**found.document, "directory": str(directory), "report": str(report)})
    else:
        show(found.table())
        show(str(report))
    if fail_on_collapse and found.verdict.status == "collapsed":
        say("uncollapse: collapsed; --fail-on-collapse was asked for, so the exit code is 3.")
        raise typer.Exit(COLLAPSED)


def _hash(real: str, fake: str, given: Mapping[str, Any]) -> str:
    places = [str(Path(side).expanduser().resolve()) if Path(side).exists() else side for side in (real, fake)]
    text = json.dumps([places, {key: str(value) for key, value in sorted(given.items())}])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _check_directory(directory: Path) -> None:
    """Refuses a place that holds a run, a comparison or a file, whose report would be overwritten."""
    if directory.exists() and not directory.is_dir():
        raise UserError(f"--out {clean(directory)} is a file; choose a folder.")
    for name in ("spec.json", "plan.lock.json", "comparison.json"):
        if (directory / name).exists():
            raise UserError(f"--out {clean(directory)} holds a run or a comparison; choose another folder.")


def _command(real: str, fake: str, metrics: str | None, given: Mapping[str, Any]) -> str:
    """What to type to do the same again."""
    words: list[str] = ["uncollapse", "evaluate", real, fake]
    if metrics is not None:
        words += ["--metrics", metrics]
    for key, value in given.items():
        option = {"plugins": "plugin", "cache": "cache"}.get(key, key).replace("_", "-")
        if key == "cache":
            continue
        values: Sequence[Any] = value if isinstance(value, tuple | list) else [value]
        for one in values:
            words += [f"--{option}"] if one is True else [f"--{option}", str(one)]
    if given.get("cache", False) is False:
        words.append("--no-cache")
    return shlex.join(words)
