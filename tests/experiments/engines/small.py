"""What the engines' tests share: a board that remembers, small jobs, and what of a run may depend on nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from uncollapse.experiments.engines import Job, Outcome, perform
from uncollapse.run import make_spec

if TYPE_CHECKING:
    from uncollapse.run import Progress


class Recorder:
    """A board that remembers what it was told.

    Args:
        on_progress: Called whenever a run has advanced.
        on_tick: Called whenever time passes.
    """

    def __init__(
        self, on_progress: Callable[[], None] = lambda: None, on_tick: Callable[[], None] = lambda: None
    ) -> None:
        self.begun: list[str] = []
        self.seen: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self.outcomes: list[Outcome] = []
        self._on_progress, self._on_tick = on_progress, on_tick

    def started(self, name: str) -> None:
        self.begun.append(name)

    def progress(self, name: str, progress: Progress) -> None:
        self.seen.append(name)
        self._on_progress()

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def noted(self, name: str, text: str) -> None:
        self.notes.append((name, text))

    def tick(self) -> None:
        self._on_tick()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def job(folder: Path, method: str, updates: int, width: int = 4, **changes: Any) -> Job:
    """A small run on four blobs."""
    settings = {"networks.width": width, "networks.depth": 1}
    spec = make_spec(method, "blobs-4", seeds=(0, 1), updates=updates, batch=8, settings=settings)
    known = {"spec": spec.to_json(), "directory": folder / method, "method": method, "task": "blobs-4"}
    return Job(**{**known, "seeds": (0, 1), "updates": updates, "device": "cpu", **changes})


def perform_pair(folder: Path, updates: int) -> None:
    """Two runs in this process, which nothing disturbs."""
    for method in ("vanilla", "lsgan"):
        outcome = perform(job(folder, method, updates), progress=lambda _: None, stop=never)
        assert outcome.status == "finished", outcome


def poisoned(folder: Path) -> Job:
    """A run that no worker can train."""
    broken = job(folder, "r3gan", 20)
    broken.spec["method"]["loss"] = {"part": "Nowhere"}
    return broken


def never() -> bool:
    """No request to stop."""
    return False


def content(directory: Path) -> dict[str, Any]:
    """All of a finished run that may depend on nothing but its spec: no clocks, no warnings."""
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    arrays = {}
    for path in sorted((directory / "samples").iterdir()):
        with np.load(path) as stored:
            arrays |= {f"{path.name}/{key}": value.tobytes() for key, value in stored.items()}
    kept = {key: value for key, value in result.items() if key != "warnings"}
    return {"result": kept, "history": (directory / "history.jsonl").read_bytes(), "samples": arrays}


def sittings(directory: Path) -> list[int]:
    """The updates at which something took a run up, in order, each once."""
    lines = (directory / "timing.jsonl").read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(json.loads(line)["from"] for line in lines))


def alive(pid: int) -> bool:
    """Whether a process is there and not merely unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(pid: int | None = None) -> dict[int, str]:
    """The living processes that a process has started, and those that these have: number -> command."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] not in "ZX":
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: dict[int, str] = {}
    waiting = [os.getpid() if pid is None else pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            waiting.append(child)
    return found
