"""Directory -> state: a comparison, a run, or a folder of runs, read a little at a time and never written to or locked.

One `WatchedDirectory` serves all viewers: `refresh` is called by one thread about once a second, whoever looks on.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from uncollapse.errors import UserError
from uncollapse.experiments.packing import LOCK
from uncollapse.text import clean
from uncollapse.watch.documents import Document, at, items, number, text, whole
from uncollapse.watch.pace import total_left
from uncollapse.watch.run import WatchedRun
from uncollapse.watch.shown import detail, row

MOST_RUNS = 5_000
BUDGET_SECONDS = 0.4  # of reading at a stretch, while there is a backlog
MOST_CELLS = 2_000


class WatchedDirectory:
    """What is known of a directory.

    Attributes:
        directory: The one that is watched.
        kind: "comparison", "run" or "folder" (of runs).
        version: Grows whenever a row, the summary or the results change.
        trouble: Why the last look failed as a whole; empty when it did not.
    """

    def __init__(
        self,
        directory: Path,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens it and looks at what can be known at once.

        Args:
            directory: What `uncollapse compare` or `uncollapse train` writes, or a folder of these runs.
            wall: The time of day in seconds.
            steady: A clock that never jumps, in seconds.

        Raises:
            UserError: It does not exist, or holds none of these.
        """
        self.directory = directory
        self._wall, self._steady = wall, steady
        self._lock = threading.RLock()
        self._plan, self._comparison = Document(directory / LOCK), Document(directory / "comparison.json")
        self._plan.refresh()
        self._comparison.refresh()
        self.kind = self._kind()
        self.version = 0
        self.trouble = ""
        self._runs: dict[str, WatchedRun] = {}
        self._rows: dict[str, tuple[int, dict[str, Any]]] = {}  # id -> the version at which it changed, and the row
        self._details: dict[str, tuple[int, bytes]] = {}
        self._next = 0
        self._summary_version = 0  # the version at which the plan or the results changed last
        self._find_runs()
        for run in self._runs.values():
            self._guarded(run, run.peek)
        self._publish(changed=True)

    def _kind(self) -> str:
        directory = self.directory
        if not directory.is_dir():
            raise UserError(f"There is no directory {directory} to watch; give a run's or a comparison's.")
        if self._plan.content is not None or self._comparison.content is not None:
            return "comparison"
        if (directory / "spec.json").is_file():
            return "run"
        if any(_run_folders(directory)):
            return "folder"
        raise UserError(
            f"{directory} holds no run to watch (no spec.json, no {LOCK}, no folder with a spec.json); give a "
            "directory that `uncollapse train` or `uncollapse compare` writes."
        )

    @property
    def weights(self) -> str:
        """Which generator a comparison's plan is about, "averaged" or "live"."""
        return "live" if at(self._plan.content, "plan", "weights") == "live" else "averaged"

    def _find_runs(self) -> bool:
        """Adds the runs that are planned or there and not known yet; returns whether there were any."""
        if self.kind == "run":
            found: dict[Path, Mapping[str, Any] | None] = {self.directory: None}
        else:
            home = self.directory / "runs" if self.kind == "comparison" else self.directory
            planned = [line for line in items(self._plan.content, "runs") if isinstance(line, Mapping)]
            # Only the last part of a name is used, so that no entry leads out of the directory.
            names = {Path(str(line.get("directory"))).name: line for line in planned}
            found = {home / name: line for name, line in names.items() if name not in ("", "..")}
            for path in sorted(_run_folders(home)):
                found.setdefault(path, None)
        known = {run.directory for run in self._runs.values()}
        new = [(path, line) for path, line in found.items() if path not in known][: MOST_RUNS - len(known)]
        for path, line in new:
            run = WatchedRun(path, planned=line, weights=self.weights)
            self._runs[run.id] = run
        return bool(new)

    def report(self, error: Exception | None) -> str:
        """Takes what ended a look as a whole, None for a look that came to its end; returns what is new to be told."""
        trouble = f"The directory cannot be read: {type(error).__name__}: {text(error)}" if error else ""
        with self._lock:
            if trouble == self.trouble:
                return ""
            self.trouble = trouble
            self.version += 1
        return trouble

    def refresh(self, budget: float = BUDGET_SECONDS) -> bool:
        """Looks at everything and reads what is new, for at most about `budget` seconds; returns whether more waits."""
        deadline = self._steady() + budget
        with self._lock:
            changed = self._plan.refresh() | self._comparison.refresh()
            if self.kind != "run":
                changed |= self._find_runs()
            runs = list(self._runs.values())
        begin = self._next % max(len(runs), 1)
        queue = deque(runs[begin:] + runs[:begin])
        # The lock is let go between two looks, so that no viewer waits for a backlog.
        while queue and self._steady() < deadline:
            self._next += 1
            run = queue.popleft()
            if self._look(run):
                queue.append(run)
        with self._lock:
            self._publish(changed=changed)
        return bool(queue)

    def _look(self, run: WatchedRun) -> bool:
        with self._lock:
            return self._guarded(run, run.refresh)

    def _guarded(self, run: WatchedRun, step: Callable[[], bool | None]) -> bool:
        """A run that cannot be read, for whatever reason, is a row with a sentence; the others go on."""
        try:
            more = step()
        except Exception as error:  # the boundary of a run: files of others may be wrong in any way
            trouble = f"This run cannot be read: {type(error).__name__}: {text(error)}"
            run.version += trouble != run.trouble
            run.trouble = trouble
            return False
        run.trouble = ""
        return bool(more)

    def _publish(self, *, changed: bool) -> None:
        """Makes the rows anew; those that differ, and only those, get a new version."""
        wall, steady = self._wall(), self._steady()
        rows = {}
        for run in self._runs.values():
            known = self._rows.get(run.id)
            if known and known[1]["status"] == "finished" and known[1]["version"] == run.version:
                continue
            try:
                rows[run.id] = row(run, wall=wall, steady=steady)
            except Exception as error:  # as in `_guarded`
                rows[run.id] = {**_bare_row(run), "trouble": f"{type(error).__name__}: {text(error)}"}
        different = [key for key, new in rows.items() if key not in self._rows or self._rows[key][1] != new]
        if different or changed:
            self.version += 1
            if changed:
                self._summary_version = self.version
            for key in different:
                self._rows[key] = (self.version, rows[key])

    # What viewers ask for --------------------------------------------------------------------------------------------

    def overview(self, since: int = 0) -> dict[str, Any]:
        """The summary, and the rows (and the results of a comparison) that changed after a version.

        Args:
            since: 0 = everything.
        """
        with self._lock:
            rows = [line for _, line in self._rows.values()]
            return {
                "version": self.version,
                "kind": self.kind,
                "title": self._title(rows),
                "folder": clean(self.directory.resolve().name),
                "description": text(at(self._plan.content, "plan", "description") or "", 1_000),
                "trouble": self.trouble,
                "left": None if (left := total_left(rows)) is None else round(left),
                "count": len(rows),
                "rows": [line for version, line in self._rows.values() if version > since],
                "results": self._results() if self._summary_version > since else None,
            }

    def detail(self, identifier: str) -> bytes | None:
        """All about one run as JSON bytes, made once a version however many viewers ask; None for an unknown one."""
        with self._lock:
            run = self._runs.get(identifier)
            if run is None:
                return None
            known = self._details.get(identifier)
            if known is None or known[0] != run.version:
                known = (run.version, encode(detail(run)))
                self._details[identifier] = known
            return known[1]

    def run_directory(self, identifier: str) -> tuple[Path, list[int]] | None:
        """Where a run is and its seeds; None for an unknown one."""
        with self._lock:
            run = self._runs.get(identifier)
            return None if run is None else (run.directory, run.seeds)

    def _title(self, rows: Sequence[Mapping[str, Any]]) -> str:
        if self.kind == "run" and rows:
            return f"{rows[0]['method']} on {rows[0]['task']}"
        return text(at(self._plan.content, "plan", "name") or self.directory.resolve().name)

    def _results(self) -> dict[str, Any] | None:
        """The cells of `comparison.json`, None before the first sitting has ended."""
        document = self._comparison.content
        cells = [cell for cell in items(document, "cells")[:MOST_CELLS] if isinstance(cell, Mapping)]
        if not cells:
            return None
        headline = text(at(document, "plan", "headline") or "modes_solid", 60)
        return {
            "status": text(at(document, "status") or ""),
            "headline": headline,
            "report": (self.directory / "report.html").is_file(),
            "cells": [_cell(cell, headline) for cell in cells],
        }


def _cell(cell: Mapping[str, Any], headline: str) -> dict[str, Any]:
    def interval(*path: str) -> list[float | None] | None:
        found = at(cell, *path)
        value = next((key for key in ("value", "mean") if number(at(found, key)) is not None), None)
        return None if value is None else [number(at(found, key)) for key in (value, "low", "high")]

    failed = [text(at(line, "error") or "") for line in items(cell, "failed")]
    return {
        "method": text(cell.get("method", "?")),
        "task": text(cell.get("task", "?")),
        "n": len(items(cell, "seeds")),
        "success": interval("success_rate"),
        "successes": whole(at(cell, "success_rate", "successes")),
        "headline": interval("measures", headline),
        "quality": interval("measures", "high_quality_share"),
        "diverged": len(items(cell, "diverged")),
        "unfinished": len(items(cell, "unfinished")),
        "failed": failed[:5],
    }


def _bare_row(run: WatchedRun) -> dict[str, Any]:
    """A row of a run of which nothing can be said."""
    names = {"id": run.id, "version": run.version, "folder": text(run.directory.name), "method": "?", "task": "?"}
    counts = {"n": 0, "update": 0, "updates": 0, "diverged": 0, "alarms": 0, "seeds": [], "status": "failed"}
    return {**names, **counts, **dict.fromkeys(("speed", "left", "silent", "modes", "solid", "behind"))}


def _run_folders(directory: Path) -> list[Path]:
    """The folders in a directory that hold a run."""
    try:
        with os.scandir(directory) as entries:
            folders = [Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
    return [folder for folder in folders[:MOST_RUNS] if (folder / "spec.json").is_file()]


def encode(document: object) -> bytes:
    """Strict, short JSON."""
    return json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
