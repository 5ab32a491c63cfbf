"""Asks a training to stop at its next update: after a signal, or when a time limit is over.

Used by `train` and `compare`; the loop polls the object, saves a checkpoint and raises `Stopped`. SIGUSR1 is what SLURM
is told to send before it takes a job away (``--signal=USR1@120``); systems without it have the other two.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from uncollapse.errors import UserError

SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that are started meanwhile never hear SIGUSR1, of which they would die; this one hears it afterwards.

    Job systems send it to all of a job's processes, and only the one that has a `Stop` knows what it asks for.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Stop:
    """True from the first of `SIGNALS` on, or once the time limit is over; a second signal exits at once.

    Handlers are installed in the main thread of the main process only, and put back on exit, so that a host program
    keeps its own; one that was not installed from Python could not be put back and is left alone.

    Args:
        minutes: Time limit, counted from the creation of the object; None = no limit.

    Attributes:
        signal: Number of the first signal, None while there was none.
    """

    def __init__(self, minutes: float | None = None) -> None:
        if minutes is not None and not minutes > 0:
            raise UserError(f"A time limit of {minutes:g} minutes leaves no time; give a number above 0.")
        self.signal: int | None = None
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether to stop now."""
        return self.signal is not None or self.out_of_time

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit is over."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def exit_code(self) -> int:
        """0, or 128 + n after signal n."""
        return 0 if self.signal is None else 128 + self.signal

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number

    def __enter__(self) -> Stop:
        """Installs the handlers."""
        if threading.current_thread() is threading.main_thread() and multiprocessing.parent_process() is None:
            for number in SIGNALS:
                if signal.getsignal(number) is not None:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Puts the previous handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
