"""What the monitor costs: seconds, and their share of the time since its first call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from uncollapse.text import duration


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What was spent.

    Attributes:
        seconds: In `update`, looks and calls between them.
        preparing: In preparing the reference, once.
        looks: Looks.
        wall: Seconds since the first call of `update`, of all sittings.
    """

    seconds: float
    preparing: float
    looks: int
    wall: float

    @property
    def share(self) -> float:
        """Part of the wall time that `update` took, in [0, 1]; 0 before anything was timed."""
        return min(1.0, self.seconds / self.wall) if self.wall > 0 else 0.0

    @property
    def per_look(self) -> float:
        """Seconds a look."""
        return self.seconds / self.looks if self.looks else 0.0

    def __str__(self) -> str:
        """For people."""
        return (
            f"{self.looks} looks took {self.seconds:.2g} s, {1000 * self.per_look:.3g} ms each, "
            f"{100 * self.share:.2g} % of {duration(self.wall)}; preparing the reference took {self.preparing:.2g} s"
        )


class Watch:
    """Adds up the seconds of `update`."""

    def __init__(self) -> None:
        """Starts at the first call, not now."""
        self.seconds, self.looks, self.earlier = 0.0, 0, 0.0
        self.preparing = 0.0
        self._started: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Times what is inside."""
        begin = time.perf_counter()
        if self._started is None:
            self._started = begin
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - begin

    @property
    def cost(self) -> Cost:
        """So far."""
        now = 0.0 if self._started is None else time.perf_counter() - self._started
        return Cost(seconds=self.seconds, preparing=self.preparing, looks=self.looks, wall=self.earlier + now)

    def restore(self, seconds: float, looks: int, wall: float) -> None:
        """Goes on from earlier sittings."""
        self.seconds, self.looks, self.earlier, self._started = seconds, looks, wall, None
