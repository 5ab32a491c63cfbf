"""What one run may take, and how often it is tried again; the same for every engine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from uncollapse.errors import UserError
from uncollapse.text import size

GRACE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of each run. A run that reaches one is a failed row of the comparison; its batch is never changed.

    Attributes:
        run_minutes: Minutes of one attempt; it is then stopped with a checkpoint. None = no limit.
        run_memory: Resident memory of the process that trains it, in GB (1e9 bytes); more and it is killed. None = no
            limit.
        retries: How often a run is tried again whose process was killed from outside.
        retry_seconds: Seconds before the first of these; each further one waits twice as long.
    """

    run_minutes: float | None = None
    run_memory: float | None = None
    retries: int = 2
    retry_seconds: float = 2.0

    def __post_init__(self) -> None:
        """Refuses what limits nothing."""
        for name in ("run_minutes", "run_memory"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name} = {value:g} leaves nothing to a run; give a number above 0.")
        if self.retries < 0:
            raise UserError(f"retries = {self.retries} is not possible; give a whole number of at least 0.")
        if not self.retry_seconds >= 0:
            raise UserError(f"retry_seconds = {self.retry_seconds:g} is not possible; give a number of at least 0.")

    @property
    def bounded(self) -> bool:
        """Whether a run needs a process of its own, because it may have to be stopped from outside."""
        return self.run_minutes is not None or self.run_memory is not None

    def too_large(self, pid: int) -> str:
        """The sentence of a run whose process has more memory than it may, empty while it has not."""
        taken = 0 if self.run_memory is None else resident(pid)
        if self.run_memory is None or taken <= self.run_memory * 1e9:
            return ""
        return (
            f"The run took {size(taken)} of memory, more than its limit of {self.run_memory:g} GB (run_memory), and "
            "was killed; give it more, or fewer seeds or a smaller batch."
        )

    def too_long(self, seconds: float) -> str:
        """The sentence of a run that has trained longer than it may, empty while it has not."""
        if self.run_minutes is None or seconds <= 60 * self.run_minutes:
            return ""
        return (
            f"The run reached its limit of {self.run_minutes:g} minutes (run_minutes); the same command continues it "
            "from its newest checkpoint."
        )

    def too_late(self, seconds: float) -> bool:
        """Whether a run that was asked to stop at its limit of time has had time enough to do so."""
        return self.run_minutes is not None and seconds > 60 * self.run_minutes + GRACE_SECONDS


def resident(pid: int) -> int:
    """Bytes of memory that a process has, 0 where it has ended or the system does not tell (it does on Linux)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
