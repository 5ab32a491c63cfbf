"""What a run is doing, judged by what it wrote and when: training, judging, stalled, failed, finished; and time left.

Clocks are those of `timing.jsonl` (a line about every 30 s of training) and the dates of the files; nobody is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Without a sign of life for so long a run counts as stalled; a slow one gets several times its own distance of writes.
QUIET_SECONDS = 180.0
PATIENCE = 5.0
LOOKS = 200  # lines of losses in a run's budget
SLICE = 20  # rounds between two looks at the clock

STATUSES = ("waiting", "training", "judging", "stalled", "failed", "finished")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a run is.

    Attributes:
        updates_per_second: Critic updates of one seed in a second (all seeds advance together); None when unknown.
        lanes: Seeds.
    """

    updates_per_second: float | None
    lanes: int

    @property
    def speed(self) -> float | None:
        """Updates of all lanes together in a second, as every other display of the package counts them."""
        return None if self.updates_per_second is None else self.updates_per_second * self.lanes

    def seconds_left(self, update: int, updates: int) -> float | None:
        """Seconds that the rest takes at this pace; None when the pace is unknown."""
        if not self.updates_per_second:
            return None
        return max(0, updates - update) / self.updates_per_second

    def patience(self, updates: int, critic_steps: int) -> float:
        """Seconds of silence that are still normal."""
        if not self.updates_per_second:
            return QUIET_SECONDS
        between = max(updates / LOOKS, SLICE * critic_steps) / self.updates_per_second
        return max(QUIET_SECONDS, PATIENCE * between)


def pace(timing: Sequence[Mapping[str, Any]], lanes: int, *, update: int, elapsed: float | None) -> Pace:
    """The pace by the newest clock that tells one, or by the files' times before the first clock.

    Args:
        timing: Lines of `timing.jsonl`.
        lanes: Number of seeds.
        update: Updates done.
        elapsed: Seconds from the start of the run to its newest line, by the files; None when unknown.
    """
    for line in reversed(timing):
        seconds, done = line.get("seconds"), line.get("update")
        begun = line.get("from", 0)
        if not all(isinstance(value, int | float) for value in (seconds, done, begun)):
            continue
        if 0 < seconds < float("inf") and done > begun:
            return Pace(updates_per_second=(done - begun) / seconds, lanes=lanes)
    if not timing and elapsed is not None and elapsed >= 2 and update > 0:
        return Pace(updates_per_second=update / elapsed, lanes=lanes)
    return Pace(updates_per_second=None, lanes=lanes)


class Silence:
    """How long nothing has been written, also where the clock of the file system is not ours.

    What was seen to change is timed by our own clock; only what was old when the watching began is taken by its date.
    """

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._newest: float | None = None
        self._seen: float | None = None

    def seconds(self, newest: float | None, *, wall: float, steady: float) -> float:
        """Seconds since the newest writing.

        Args:
            newest: Its time by the file system; None when there is none.
            wall: The time of day in seconds.
            steady: A clock that never jumps, in seconds.
        """
        if newest is None:
            return 0.0
        if self._newest is not None and newest != self._newest:
            self._seen = steady
        self._newest = newest
        by_date = max(0.0, wall - newest)
        return by_date if self._seen is None else min(by_date, steady - self._seen)


def status(*, started: bool, finished: bool, failed: bool, done: bool, silent: float, patience: float) -> str:
    """One of `STATUSES`.

    Args:
        started: Whether the run has a specification.
        finished: Whether it has its result.
        failed: Whether an error was written after everything else.
        done: Whether all updates are done, so that only the judgement is missing.
        silent: Seconds since the newest writing.
        patience: Seconds of silence that are still normal.
    """
    if finished:
        return "finished"
    if failed:
        return "failed"
    if not started:
        return "waiting"
    # Judging tens of thousands of samples of every seed writes nothing until it is over.
    if silent > (PATIENCE * patience if done else patience):
        return "stalled"
    return "judging" if done else "training"


def total_left(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds until all runs are finished at the present pace; None while none has one.

    Args:
        rows: Of each run ``status``, ``update``, ``updates``, ``n`` seeds, ``speed`` and ``left``.
    """
    busy = [row for row in rows if row["status"] == "training" and row["speed"]]
    speed = sum(row["speed"] for row in busy)
    if not speed:
        return None
    work = sum(
        max(0, row["updates"] - row["update"]) * row["n"] for row in rows if row["status"] in ("waiting", "training")
    )
    return max([float(work / speed), *(float(row["left"] or 0.0) for row in busy)])
