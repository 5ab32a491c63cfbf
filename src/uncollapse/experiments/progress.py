"""What a person sees while runs train: a live table on a terminal, otherwise one plain line every few seconds.

Everything goes to stderr, so that stdout holds results only. `NO_COLOR` is respected.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from uncollapse.text import clean, duration, seed_text

if TYPE_CHECKING:
    from rich.table import Table

    from uncollapse.experiments.engines import Job, Outcome
    from uncollapse.run import Progress


# What is said of a run whose newest checkpoint could not be saved; its log says why.
UNSAVED = "checkpoints cannot be saved"


class Board(Protocol):
    """Is told what the runs do; `tick` is called often and decides itself when to draw."""

    def started(self, name: str) -> None:
        """A run begins."""

    def progress(self, name: str, progress: Progress) -> None:
        """A run has advanced."""

    def ended(self, outcome: Outcome) -> None:
        """A run has ended."""

    def noted(self, name: str, text: str) -> None:
        """A run waits or is tried again; the text says why."""

    def tick(self) -> None:
        """Time passes."""

    def __enter__(self) -> Board:
        """The display opens."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The display closes."""


@dataclass
class _Row:
    """One run as the display knows it."""

    job: Job
    status: str = "waiting"
    at: Progress | None = None

    @property
    def speed(self) -> float:
        """Replica-updates per second, 0 while unknown."""
        return self.at.updates_per_second if self.at else 0.0

    @property
    def left(self) -> int:
        """Replica-updates still to be done."""
        done = self.at.update if self.at else 0
        return max(0, self.job.updates - done) * len(self.job.seeds)  # the last round may end beyond the budget

    @property
    def modes(self) -> str:
        """Solid modes so far over the seeds, such as ``3-7 of 8``."""
        if not self.at or not self.at.modes_solid:
            return ""
        low, high = min(self.at.modes_solid), max(self.at.modes_solid)
        return f"{low if low == high else f'{low}-{high}'} of {self.at.modes}"

    @property
    def degraded(self) -> bool:
        """Whether its checkpoints cannot be saved at present."""
        return self.status == "training" and self.at is not None and bool(self.at.degraded)

    @property
    def trouble(self) -> str:
        """What went wrong so far: seeds that diverged, seeds that a monitor calls collapsed, no checkpoints."""
        if not self.at:
            return ""
        counts = (("diverged", len(self.at.diverged)), ("collapsed", len(self.at.collapsed)))
        return ", ".join([f"{n} {what}" for what, n in counts if n] + ([UNSAVED] if self.degraded else []))

    @property
    def seconds_left(self) -> float | None:
        """Seconds this run still needs, None while its speed is unknown."""
        return self.left / self.speed if self.speed > 0 else None


class PlainBoard:
    """One line every `every` seconds and one at the end of each run; for logs and pipes."""

    def __init__(self, jobs: Iterable[Job], *, stream: TextIO | None = None, every: float = 5.0) -> None:
        self._rows = {job.name: _Row(job) for job in jobs}
        self._stream = stream or sys.stderr
        self._every = every
        self._next = time.monotonic() + every

    def started(self, name: str) -> None:
        """Marks the run as training."""
        self._rows[name].status = "training"

    def progress(self, name: str, progress: Progress) -> None:
        """Keeps the newest state."""
        self._rows[name].at = progress

    def ended(self, outcome: Outcome) -> None:
        """Writes the line of the run's end."""
        row = self._rows[outcome.name]
        row.status = outcome.status
        found = ", ".join(filter(None, (row.modes and f"{row.modes} modes", row.trouble)))
        modes = f": {found}" if row.modes and outcome.status == "finished" else ""
        error = f": {clean(outcome.error)}" if outcome.error else modes
        self._write(f"{outcome.status} {row.job.method} on {row.job.task}, {seed_text(row.job.seeds)}{error}")

    def noted(self, name: str, text: str) -> None:
        """Writes the line at once."""
        row = self._rows[name]
        row.status = "waiting"
        self._write(f"{row.job.method} on {row.job.task}, {seed_text(row.job.seeds)}: {clean(text)}")

    def tick(self) -> None:
        """Writes a line when it is time for one."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            self._write(self.line())

    def line(self) -> str:
        """The state of all runs in one line."""
        rows = self._rows.values()
        ended = sum(row.status not in ("waiting", "training") for row in rows)
        parts = [f"{ended} of {len(self._rows)} runs done"]
        parts += [_training_text(row) for row in rows if row.status == "training"]
        left = time_left(list(rows))
        return " | ".join(parts + ([f"about {duration(left)} left"] if left is not None else []))

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def __enter__(self) -> PlainBoard:
        """Nothing opens."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing closes."""


def _training_text(row: _Row) -> str:
    if not row.at:
        return f"{row.job.method} on {row.job.task} is starting"
    modes, trouble = f", {row.modes} modes" if row.modes else "", f", {row.trouble}" if row.trouble else ""
    return (
        f"{row.job.method} on {row.job.task} {row.at.update:,} of {row.job.updates:,} updates, "
        f"{row.speed:,.0f} updates/s{modes}{trouble}"
    )


def time_left(rows: Sequence[_Row]) -> float | None:
    """Seconds until all rows are done at the present speed, None while nothing has a speed."""
    busy = [row for row in rows if row.status == "training"]
    speed = sum(row.speed for row in busy)
    if speed <= 0:
        return None
    work = sum(row.left for row in rows if row.status in ("waiting", "training"))
    slowest = max(row.seconds_left or 0.0 for row in busy)
    return max(work / speed, slowest)


class LiveBoard(PlainBoard):
    """A table that redraws itself on a terminal; for many runs it shows those at work and counts the rest."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        super().__init__(jobs)
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._next = 0.0

    def noted(self, name: str, text: str) -> None:
        """Writes it above the table, where it stays."""
        from rich.text import Text

        row = self._rows[name]
        row.status = "waiting"
        line = f"{row.job.method} on {row.job.task}, {seed_text(row.job.seeds)}: {text}"
        self._console.print(Text(clean(line)))

    def tick(self) -> None:
        """Draws at most four times a second."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.25
            self._live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """The state of the runs."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, caption=self.line().split(" | ")[0], caption_justify="left")
        for column in ("method", "task", "seeds", "updates", "updates/s", "left", "modes so far"):
            table.add_column(column, justify="right" if column in ("updates", "updates/s", "left") else "left")
        for row in self._shown():
            at = f"{row.at.update if row.at else 0:,}/{row.job.updates:,}"
            left = duration(row.seconds_left) if row.status == "training" and row.seconds_left is not None else ""
            speed = f"{row.speed:,.0f}" if row.status == "training" and row.speed else row.status
            so_far = ", ".join(filter(None, (row.modes, row.trouble)))
            cells = (row.job.method, row.job.task, seed_text(row.job.seeds, ""), at, speed, left, so_far)
            style = _STYLES["degraded"] if row.degraded else _STYLES.get(row.status, "")
            table.add_row(*(Text(clean(cell)) for cell in cells), style=style)
        left_over = time_left(list(self._rows.values()))
        if left_over is not None:
            table.caption = f"{table.caption}, about {duration(left_over)} left"
        return table

    def _shown(self) -> list[_Row]:
        rows = list(self._rows.values())
        room = max(self._console.size.height - 4, 3)
        if len(rows) <= room:
            return rows
        first = [row for row in rows if row.status in ("training", "failed")]
        return (first + [row for row in rows if row.status == "waiting"])[:room]

    def _write(self, line: str) -> None:
        """Ends of runs show in the table itself."""

    def __enter__(self) -> LiveBoard:
        """Starts drawing."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draws a last time."""
        self._live.update(self.table(), refresh=True)
        self._live.stop()


_STYLES = {"waiting": "dim", "failed": "red", "finished": "green", "degraded": "yellow"}


class SilentBoard(PlainBoard):
    """Says nothing."""

    def _write(self, line: str) -> None:
        """Drops the line."""


def make_board(jobs: Sequence[Job], *, show: bool = True) -> Board:
    """The display that fits stderr: a live table on a terminal, plain lines elsewhere, nothing when `show` is false."""
    if not show:
        return SilentBoard(jobs)
    from rich.console import Console

    console = Console(stderr=True)
    return LiveBoard(jobs) if console.is_terminal and not console.is_dumb_terminal else PlainBoard(jobs)
