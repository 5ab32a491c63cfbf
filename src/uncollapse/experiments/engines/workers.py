"""Worker processes of this machine: each trains what it is given, is watched from outside, and dies with its parent.

The `local` engine keeps some of them, one a slot; `ray` and `slurm` have one made for each run where it is trained.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from uncollapse.errors import UserError
from uncollapse.experiments.engines import WORKER, Job, Outcome, perform
from uncollapse.experiments.engines.limits import Limits
from uncollapse.experiments.stopping import SIGNALS, deaf_children

if TYPE_CHECKING:
    from uncollapse.run import Progress

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Most seconds between two looks at the workers.
LOOK_SECONDS = 0.2
# SLURM's own word of warning, as submitit has it sent; only the process that started the worker acts on it.
FOREIGN_SIGNALS = tuple(getattr(signal, name) for name in ("SIGUSR2",) if hasattr(signal, name))


class Worker:
    """A process that trains one job after the other.

    Args:
        threads: Of each job; numerical libraries read their number from the environment when they are loaded.
        environment: Further variables of the process, as CUDA_VISIBLE_DEVICES.
        once: Whether it ends after its first job.
        folder: Where it works; None = where this process does.

    Attributes:
        job: What it is busy with.
        connection: Where it is heard.
        slot: Which of the engine's places it has.
    """

    def __init__(
        self,
        threads: int,
        environment: Mapping[str, str] | None = None,
        *,
        once: bool = False,
        folder: Path | None = None,
        slot: int = 0,
    ) -> None:
        """Starts the process."""
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, once, folder), name=WORKER, daemon=True)
        variables = {**dict.fromkeys(THREAD_VARIABLES, str(threads)), **(environment or {})}
        with changed_environment(variables), deaf_children():
            self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.slot = slot
        self._told_to_stop, self._verdict, self._begun = False, "", 0.0

    def give(self, job: Job) -> None:
        """Has it train a job.

        Raises:
            UserError: The job holds an object that no other process can import.
        """
        self.job, self._told_to_stop, self._verdict, self._begun = job, False, "", time.monotonic()
        try:
            self.connection.send(job)
        except BrokenPipeError:  # a worker that is dead already shows as the end of its pipe
            pass
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self.job = None
            raise UserError(
                f"A plugin cannot be sent to another process ({error}); define it in a module, or give --jobs 1."
            ) from error

    def tell_to_stop(self) -> None:
        """Asks its job, if any, to stop at the next update, with a checkpoint; once."""
        if self.job is not None and not self._told_to_stop:
            self._told_to_stop = True
            with suppress(BrokenPipeError):
                self.connection.send("stop")

    def guard(self, limits: Limits) -> None:
        """Kills it, or asks it to stop, when its job takes more than it may."""
        if self.job is None or self.process.pid is None or not limits.bounded:
            return
        seconds = time.monotonic() - self._begun
        large, long = limits.too_large(self.process.pid), limits.too_long(seconds)
        self._verdict = self._verdict or large or long
        if large or limits.too_late(seconds):
            self.process.kill()
        elif long:
            self.tell_to_stop()

    def listen(self, told: Callable[[Progress], None]) -> Outcome | None:
        """Takes one message; an outcome frees the worker, the end of its pipe means that it is dead."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self._bury()
            return None if self.job is None else self._judged(self._obituary(self.job))
        if isinstance(message, Outcome):
            outcome, self.job = self._judged(message), None
            return outcome
        if self.job is not None:
            told(message)
        return None

    @property
    def alive(self) -> bool:
        """Whether the process is there and can be given a job."""
        return self.process.is_alive()

    def dismiss(self) -> None:
        """Ends it: an idle one ends when its pipe does, a busy one is killed."""
        self.connection.close()
        if self.job is not None:
            self.process.kill()
        self._bury()

    def _bury(self) -> None:
        self.process.join(timeout=10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _judged(self, outcome: Outcome) -> Outcome:
        """What a run that reached a limit has come to: failed, unless it was finished all the same."""
        if not self._verdict or outcome.status == "finished":
            return outcome
        return Outcome(name=outcome.name, status="failed", error=self._verdict)

    def _obituary(self, job: Job) -> Outcome:
        """Why a worker is gone."""
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            reason = ", most often because the machine ran out of memory" if -code == signal.SIGKILL else ""
            error = (
                f"The worker process was killed by signal {-code} ({name}){reason}; the same command continues this run"
                " from its newest checkpoint, with fewer --jobs if memory is short."
            )
            return Outcome(name=job.name, status="failed", error=error, cause="killed")
        error = f"The worker process ended with exit code {code} before the run did; its own message is above."
        return Outcome(name=job.name, status="failed", error=error)


def supervise(
    job: Job,
    worker: Worker,
    *,
    limits: Limits,
    told: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> Outcome:
    """Trains one job in a worker of its own, and ends the worker.

    Args:
        job: What to train.
        worker: A new one.
        limits: What it may take.
        told: Called with its progress.
        stop: Once it is true, the job stops at an update boundary with a checkpoint.
    """
    try:
        worker.give(job)
        while True:
            if stop():
                worker.tell_to_stop()
            worker.guard(limits)
            if wait([worker.connection], timeout=LOOK_SECONDS):
                outcome = worker.listen(told)
                if outcome is not None:
                    return outcome
    finally:
        worker.dismiss()


@contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """The environment with other values, and as it was before afterwards."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@contextmanager
def without_main_file() -> Iterator[None]:
    """Workers that are started meanwhile do not load this process's main file again, which is an engine's own."""
    main = vars(sys.modules["__main__"])
    kept: dict[str, object] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(kept)


def _serve(connection: Connection, once: bool, folder: Path | None) -> None:
    """A worker's life: take a job, train it, send its outcome, until the pipe ends.

    Signals of the terminal and of SLURM reach the whole process group; only the parent acts on them, so that all stop
    together.
    """
    for number in (*SIGNALS, *FOREIGN_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if folder is not None and folder.is_dir():
        os.chdir(folder)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        if not isinstance(job, Job):
            continue  # a request to stop that crossed the outcome of the run it was meant for
        messenger = _Messenger(connection)
        connection.send(perform(job, progress=messenger.progress, stop=messenger.stop))
        if once:
            return


def _die_with_parent() -> None:
    """Two writers in one run directory would spoil it, so no worker outlives a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Messenger:
    """Sends progress and looks for a request to stop, each at most every tenth of a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sent = self._looked = 0.0
        self._stop = False

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._sent > 0.1 or progress.update == progress.updates:
            self._sent = now
            self._connection.send(progress)

    def stop(self) -> bool:
        now = time.monotonic()
        if not self._stop and now - self._looked > 0.1:
            self._looked = now
            if self._connection.poll():
                self._connection.recv()
                self._stop = True
        return self._stop


def first_said(connections: Sequence[Connection], seconds: float) -> list[Connection]:
    """Those of several workers that have something to say, after at most so many seconds."""
    if not connections:
        time.sleep(seconds)
        return []
    return [one for one in wait(connections, timeout=seconds) if isinstance(one, Connection)]
