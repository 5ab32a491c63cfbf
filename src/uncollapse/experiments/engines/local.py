"""The engine of this machine: worker processes that each train one run after the other.

One job at a time trains in this very process. Workers are spawned, die with their parent, and a worker that dies
fails only the run that it was training.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from uncollapse.experiments.engines import WORKER, Job, Outcome, perform
from uncollapse.experiments.stopping import SIGNALS

if TYPE_CHECKING:
    from uncollapse.experiments.progress import Board
    from uncollapse.run import Progress

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def default_jobs(threads: int) -> int:
    """Runs at a time on the CPU: as many as the usable cores allow at `threads` each, at least one."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // threads)


@dataclass
class _Worker:
    """One process and the job it is busy with."""

    process: BaseProcess
    connection: Connection
    job: Job | None = None
    told_to_stop: bool = field(default=False)


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """Trains `jobs` runs at a time on this machine, each with `threads` threads; the longest runs come first."""

    jobs: int = 1
    threads: int = 1

    def run(self, jobs: Sequence[Job], *, board: Board, stop: Callable[[], bool]) -> dict[str, Outcome]:
        """Trains the jobs; see `Engine.run`."""
        order = sorted(jobs, key=lambda job: -job.updates * len(job.seeds))
        if min(self.jobs, len(order)) <= 1:
            return _run_here(order, board, stop)
        workers: list[_Worker] = []
        try:
            return self._run_in_workers(order, workers, board, stop)
        finally:
            _dismiss(workers)

    def _run_in_workers(
        self, order: list[Job], workers: list[_Worker], board: Board, stop: Callable[[], bool]
    ) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        pending = list(order)
        while len(outcomes) < len(order):
            if stop():
                for job in pending:
                    _settle(outcomes, Outcome(name=job.name, status="stopped"), board)
                pending.clear()
                _tell_to_stop(workers)
            for worker in self._idle(workers, len(pending)):
                worker.job = pending.pop(0)
                board.started(worker.job.name)
                with suppress(BrokenPipeError):  # a worker that is dead already shows as the end of its pipe below
                    worker.connection.send(worker.job)
            for connection in wait([worker.connection for worker in workers], timeout=0.2):
                worker = next(item for item in workers if item.connection is connection)
                outcome = _listen(worker, board)
                if outcome:
                    _settle(outcomes, outcome, board)
                if not worker.process.is_alive():
                    worker.connection.close()
                    workers.remove(worker)
            board.tick()
        return outcomes

    def _idle(self, workers: list[_Worker], wanted: int) -> list[_Worker]:
        idle = [worker for worker in workers if worker.job is None][:wanted]
        while len(idle) < wanted and len(workers) < self.jobs:
            workers.append(_start(self.threads))
            idle.append(workers[-1])
        return idle


def _run_here(jobs: Sequence[Job], board: Board, stop: Callable[[], bool]) -> dict[str, Outcome]:
    """One job after the other in this process: no start-up, and objects that no other process can import."""
    outcomes: dict[str, Outcome] = {}
    for job in jobs:
        if stop():
            _settle(outcomes, Outcome(name=job.name, status="stopped"), board)
            continue
        board.started(job.name)

        def report(progress: Progress, name: str = job.name) -> None:
            board.progress(name, progress)
            board.tick()

        _settle(outcomes, perform(job, progress=report, stop=stop), board)
    return outcomes


def _settle(outcomes: dict[str, Outcome], outcome: Outcome, board: Board) -> None:
    outcomes[outcome.name] = outcome
    board.ended(outcome)


def _start(threads: int) -> _Worker:
    """A new worker; numerical libraries read their number of threads from the environment when they are loaded."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), name=WORKER, daemon=True)
    with _environment(dict.fromkeys(THREAD_VARIABLES, str(threads))):
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _listen(worker: _Worker, board: Board) -> Outcome | None:
    """Takes one message of a worker; an outcome frees it, the end of its pipe means that it is dead."""
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join(timeout=10)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        if worker.job is None:
            return None
        return Outcome(name=worker.job.name, status="failed", error=_obituary(worker.process.exitcode))
    if isinstance(message, Outcome):
        worker.job = None
        return message
    if worker.job is not None:
        board.progress(worker.job.name, message)
    return None


def _obituary(code: int | None) -> str:
    """One sentence on why a worker is gone."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        reason = ", most often because the machine ran out of memory" if -code == signal.SIGKILL else ""
        return (
            f"The worker process was killed by signal {-code} ({name}){reason}; the same command continues this run "
            "from its newest checkpoint, with fewer --jobs if memory is short."
        )
    return f"The worker process ended with exit code {code} before the run did; its own message is above."


def _tell_to_stop(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        if worker.job is not None and not worker.told_to_stop:
            worker.told_to_stop = True
            with suppress(BrokenPipeError):
                worker.connection.send("stop")


def _dismiss(workers: Sequence[_Worker]) -> None:
    """Idle workers end when their pipe does; a busy one is left only after an error here and is killed."""
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        if worker.job is not None:
            worker.process.kill()
        worker.process.join(timeout=10)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _serve(connection: Connection) -> None:
    """A worker's life: take a job, train it, send its outcome, until the pipe ends.

    Signals of the terminal and of SLURM reach the whole process group; only the parent acts on them, so that all stop
    together.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        if not isinstance(job, Job):
            continue  # a request to stop that crossed the outcome of the run it was meant for
        messenger = _Messenger(connection)
        connection.send(perform(job, progress=messenger.progress, stop=messenger.stop))


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
