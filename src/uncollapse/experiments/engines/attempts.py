"""Which job is begun next, and what becomes of one that ended: settled, or tried again after a while.

Every engine asks it, so that all retry by the same rule: a run whose process was killed is tried again a few times, one
that another process is writing waits until that one has ended, and whatever a run itself raised is final.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from uncollapse.experiments.engines import Job, Outcome
from uncollapse.experiments.engines.limits import Limits

if TYPE_CHECKING:
    from uncollapse.experiments.progress import Board

# Seconds between looks whether another process has ended: first, and at most.
BUSY_SECONDS = (1.0, 15.0)


class Attempts:
    """The jobs of one call of an engine, the longest first.

    Args:
        jobs: What to train.
        limits: How often to try.
        board: Told of beginnings, ends and of what is tried again.
        clock: Seconds of a clock that never jumps.

    Attributes:
        outcomes: Of the jobs that are settled, by name.
    """

    def __init__(
        self, jobs: Sequence[Job], limits: Limits, board: Board, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._waiting = sorted(jobs, key=lambda job: -job.updates * len(job.seeds))
        self._total, self._limits, self._board, self._clock = len(self._waiting), limits, board, clock
        self._not_before: dict[str, float] = {}
        self._killed: dict[str, int] = {}
        self._looks: dict[str, int] = {}

    @property
    def settled(self) -> bool:
        """Whether every job has its outcome."""
        return len(self.outcomes) == self._total

    def due(self) -> int:
        """How many could be begun now."""
        now = self._clock()
        return sum(self._not_before.get(job.name, now) <= now for job in self._waiting)

    def next(self) -> Job | None:
        """Takes the next one that is to be begun now; None where there is none."""
        now = self._clock()
        for job in self._waiting:
            if self._not_before.get(job.name, now) <= now:
                self._waiting.remove(job)
                self._board.started(job.name)
                return job
        return None

    def ended(self, job: Job, outcome: Outcome) -> None:
        """What a job that was begun has come to."""
        if outcome.cause == "busy":
            looks = self._looks[job.name] = self._looks.get(job.name, 0) + 1
            if looks == 1:
                self._board.noted(job.name, f"waits, because {outcome.error}")
            self._later(job, min(BUSY_SECONDS[0] * 2 ** (looks - 1), BUSY_SECONDS[1]))
            return
        if outcome.cause == "killed":
            times = self._killed[job.name] = self._killed.get(job.name, 0) + 1
            if times <= self._limits.retries:
                wait = self._limits.retry_seconds * 2 ** (times - 1)
                self._board.noted(
                    job.name, f"is tried again in {wait:g} s ({times} of {self._limits.retries}): {outcome.error}"
                )
                self._later(job, wait)
                return
        self._settle(outcome)

    def stop(self) -> None:
        """Begins no more: all that wait are settled as stopped."""
        for job in self._waiting:
            self._settle(Outcome(name=job.name, status="stopped"))
        self._waiting.clear()

    def _later(self, job: Job, seconds: float) -> None:
        self._not_before[job.name] = self._clock() + seconds
        self._waiting.append(job)

    def _settle(self, outcome: Outcome) -> None:
        times = self._killed.get(outcome.name, 0)
        if times > self._limits.retries > 0:
            tried = f" It was tried {times} times."
            outcome = Outcome(name=outcome.name, status=outcome.status, error=outcome.error + tried)
        self.outcomes[outcome.name] = outcome
        self._board.ended(outcome)
