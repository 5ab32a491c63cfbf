"""One run directory as the live page knows it: every line of its files is taken once, in bounded memory.

Between the files (`tail`, `documents`, `history`) and what is shown of them (`shown`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.watch.documents import Document, at, items, modified, text, whole
from uncollapse.watch.history import History
from uncollapse.watch.pace import Pace, Silence, pace, status
from uncollapse.watch.tail import Tail

MOST_LANES = 4_096
MOST_CLOCKS = 400
MOST_NAMES = 100_000
WRITTEN = ("spec.json", "history.jsonl", "timing.jsonl", "samples", "checkpoints")


class WatchedRun:
    """One run directory.

    Attributes:
        directory: Where it is.
        id: What the page calls it; made from the name, so that it is the same after a restart.
        version: Grows whenever something changed.
        weights: Which generator the measures are taken of, "averaged" or "live".
        seeds: Of the lanes, as far as they are known.
        history: What was read of its history.
        clocks: The newest lines of `timing.jsonl`.
        trouble: Why it could not be read at the last look; empty when it could.
    """

    def __init__(self, directory: Path, *, planned: Mapping[str, Any] | None = None, weights: str = "averaged") -> None:
        """Reads nothing yet.

        Args:
            directory: Where it is, or will be.
            planned: What the comparison's lock says of it: method, task, seeds, updates.
            weights: "averaged" or "live".
        """
        self.directory, self.weights = directory, weights
        self.id = hashlib.sha256(directory.name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        self.version = 0
        self.trouble = ""
        self.clocks: list[dict[str, Any]] = []
        self._planned = planned or {}
        self._spec, self._result = Document(directory / "spec.json"), Document(directory / "result.json")
        self._lines, self._timing = Tail(directory / "history.jsonl"), Tail(directory / "timing.jsonl")
        self._silence = Silence()
        self._peeked = 0
        self._settled = False
        self.seeds = self._seeds()
        self.history = History(len(self.seeds), weights=weights)

    def _seeds(self) -> list[int]:
        given = items(self._spec.content or self._planned, "seeds")[:MOST_LANES]
        return [seed for value in given if (seed := whole(value)) is not None]

    def peek(self) -> None:
        """What can be known at once, however long the files are."""
        self._result.refresh()
        self._look_at_spec()
        self._look_at_clocks()
        self._peeked = self._lines.newest_update()
        self.version += 1

    def refresh(self) -> bool:
        """Looks at all files, reading at most one chunk of the history; returns whether more is waiting."""
        changed = self._result.refresh() | self._look_at_spec()
        if self._settled and not changed:
            return False  # nothing is written after the result until somebody continues the run
        changed |= self._look_at_clocks()
        news = self._lines.read()
        if news.restarted:
            self._begin()
        if news.restarted or not news.more:
            self._peeked = 0
        for line in news.lines:
            self.history.take(line)
        self._settled = self.result is not None and not (changed or news.lines or news.restarted or news.more)
        self.version += changed or news.restarted or bool(news.lines)
        return news.more

    def _begin(self) -> None:
        self.history = History(len(self.seeds), weights=self.weights)

    def _look_at_spec(self) -> bool:
        changed = self._spec.refresh()
        seeds = self._seeds()
        if seeds != self.seeds:  # what was read belongs to other lanes
            self.seeds = seeds
            self._lines = Tail(self._lines.path)
            self._begin()
        return changed

    def _look_at_clocks(self) -> bool:
        news = self._timing.read()
        if news.restarted:
            self.clocks = []
        self.clocks = [*self.clocks, *news.lines][-MOST_CLOCKS:]
        return bool(news.lines) or news.restarted

    @property
    def spec(self) -> Mapping[str, Any]:
        """The content of `spec.json`, empty while there is none."""
        return self._spec.content or {}

    @property
    def result(self) -> Mapping[str, Any] | None:
        """The content of `result.json`, None until the run is finished."""
        return self._result.content if at(self._result.content, "status") == "finished" else None

    @property
    def update(self) -> int:
        """Critic updates done, by the newest line there is."""
        return max(self.history.update, self._peeked)

    @property
    def updates(self) -> int:
        """Critic updates wanted, 0 when unknown."""
        return whole(self.spec.get("updates")) or whole(self._planned.get("updates")) or 0

    @property
    def behind(self) -> float | None:
        """Share of the history that is still to be read; None when it is only what came since the last look."""
        lines = self._lines
        share = lines.behind / max(lines.size, 1)
        return round(share, 2) if share > 0.01 and lines.behind > 65_536 else None

    @property
    def damaged(self) -> int:
        """Lines of the history that are left out."""
        return self._lines.damaged + self.history.odd

    def name(self, key: str) -> str:
        """The name of its "method" or "task" as the comparison's lock has it, else as the specification has it."""
        named = self._planned.get(key) or self.spec.get(key) or "?"
        return text(named.get("name", "?") if isinstance(named, Mapping) else named)

    def pace(self) -> Pace:
        """How fast it is."""
        begun, newest = modified(self.directory / "spec.json"), modified(self._lines.path)
        elapsed = None if begun is None or newest is None else newest - begun
        return pace(self.clocks, len(self.seeds), update=self.update, elapsed=elapsed)

    def status(self, *, wall: float, steady: float) -> tuple[str, float]:
        """What it is doing (one of `pace.STATUSES`), and for how many seconds nothing has been written.

        Args:
            wall: The time of day in seconds.
            steady: A clock that never jumps, in seconds.
        """
        newest = max((t for name in WRITTEN if (t := modified(self.directory / name)) is not None), default=None)
        silent = self._silence.seconds(newest, wall=wall, steady=steady)
        error = modified(self.directory / "error.log")
        steps = whole(at(self.spec, "method", "dynamics", "critic_steps")) or 1
        state = status(
            started=bool(self.spec),
            finished=self.result is not None,
            failed=error is not None and error >= (newest or 0.0),
            done=0 < self.updates <= self.update,
            silent=silent,
            patience=self.pace().patience(self.updates, steps),
        )
        return state, silent

    def diverged(self) -> dict[int, int]:
        """Seed -> update from which its losses were not finite; exact once there is a result."""
        found = {self.seeds[lane]: update for lane, update in self.history.diverged.items()}
        for seed, lane in self.outcomes().items():
            when = whole(lane.get("diverged_at"))
            if when is not None:
                found[seed] = when
        return dict(sorted(found.items()))

    def outcomes(self) -> dict[int, Mapping[str, Any]]:
        """Seed -> its entry of the result, empty until the run is finished."""
        lanes = [lane for lane in items(self.result, "lanes") if isinstance(lane, Mapping)]
        return {seed: lane for lane in lanes if (seed := whole(lane.get("seed"))) in self.seeds and seed is not None}

    @property
    def mode_names(self) -> list[str] | None:
        """Names of the modes where the result or the specification tells them."""
        for document in (self._result.content, self._spec.content):
            names = items(document, "modes", "names")[:MOST_NAMES]
            if names:
                return [text(name, 80) for name in names]
        return None

    @property
    def mode_weights(self) -> NDArray[np.float64] | None:
        """Fair shares (K,) of the modes where the result or the specification tells them."""
        for document in (self._result.content, self._spec.content):
            try:
                weights = np.array(items(document, "modes", "weights"), np.float64)
            except (TypeError, ValueError, OverflowError):
                continue
            if len(weights) and weights.shape == (self.history.lives.modes,) and ((weights > 0) & (weights <= 1)).all():
                return weights
        return None
