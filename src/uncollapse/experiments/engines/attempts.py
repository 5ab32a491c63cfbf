"""Which job is begun next, and what becomes of one that ended: settled, or tried again after a while.

Every engine asks it, so that all retry by the same rule: a run whose process was killed is tried again a few times, one
that another process is writing waits until that one has ended, and whatever a run itself raised is final.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
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
        self._total, self._limits, self._board, self._clock = len(jobs), limits, board, clock
        # Two heaps, so that a million jobs cost a logarithm each: what may begin, by its rank, and what waits, by time.
        self._ready = [(-job.updates * len(job.seeds), rank, job) for rank, job in enumerate(jobs)]
        heapify(self._ready)
        self._later: list[tuple[float, int, Job]] = []
        self._ranks = count(len(jobs))
        self._killed: dict[str, int] = {}
        self._looks: dict[str, int] = {}

    @property
    def settled(self) -> bool:
        """Whether every job has its outcome."""
        return len(self.outcomes) == self._total

    def due(self) -> int:
        """How many could be begun now."""
        while self._later and self._later[0][0] <= self._clock():
            _, rank, job = heappop(self._later)
            heappush(self._ready, (-job.updates * len(job.seeds), rank, job))
        return len(self._ready)

    def next(self) -> Job | None:
        """Takes the next one that is to be begun now; None where there is none."""
        if not self.due():
            return None
        job = heappop(self._ready)[2]
        self._board.started(job.name)
        return job

    def ended(self, job: Job, outcome: Outcome) -> None:
        """What a job that was begun has come to."""
        if outcome.cause == "busy":
            looks = self._looks[job.name] = self._looks.get(job.name, 0) + 1
            if looks == 1:
                self._board.noted(job.name, f"waits, because {outcome.error}")
            self._wait(job, min(BUSY_SECONDS[0] * 2 ** (looks - 1), BUSY_SECONDS[1]))
            return
        if outcome.cause == "killed":
            times = self._killed[job.name] = self._killed.get(job.name, 0) + 1
            if times <= self._limits.retries:
                wait = self._limits.retry_seconds * 2 ** (times - 1)
                self._board.noted(
                    job.name, f"is tried again in {wait:g} s ({times} of {self._limits.retries}): {outcome.error}"
                )
                self._wait(job, wait)
                return
        self._settle(outcome)

    def stop(self) -> None:
        """Begins no more: all that wait are settled as stopped."""
        for _, _, job in [*sorted(self._ready), *sorted(self._later)]:
            self._settle(Outcome(name=job.name, status="stopped"))
        self._ready.clear()
        self._later.clear()

    def _wait(self, job: Job, seconds: float) -> None:
        heappush(self._later, (self._clock() + seconds, next(self._ranks), job))

    def _settle(self, outcome: Outcome) -> None:
        times = self._killed.get(outcome.name, 0)
        if times > self._limits.retries > 0:
            tried = f" It was tried {times} times."
            outcome = Outcome(name=outcome.name, status=outcome.status, error=outcome.error + tried)
        self.outcomes[outcome.name] = outcome
        self._board.ended(outcome)
