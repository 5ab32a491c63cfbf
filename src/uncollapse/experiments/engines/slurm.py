"""The engine of a SLURM cluster, by submitit: each run is a task of a job array, and goes on after a preemption.

Where there is no SLURM, submitit's executor of this machine stands in for it. Jobs outlive a head that is killed; the
next start takes their desk away, at which they stop with a checkpoint, and submits what is left.
"""

from __future__ import annotations

import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Job, Outcome
from uncollapse.experiments.engines.attempts import Attempts
from uncollapse.experiments.engines.desk import Desk, Reader
from uncollapse.experiments.engines.limits import Limits
from uncollapse.experiments.engines.local import default_jobs
from uncollapse.experiments.engines.orders import Order, absolute, refuse_objects, understood
from uncollapse.experiments.engines.workers import LOOK_SECONDS, Worker, first_said
from uncollapse.experiments.stopping import deaf_children
from uncollapse.text import clean

if TYPE_CHECKING:
    from uncollapse.experiments.progress import Board

# A job that is over has its last word on the shared directory by then.
LAST_WORD_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What is asked of SLURM for one run; an empty text leaves it to the cluster.

    Attributes:
        partition: Where it runs.
        account: Who pays.
        qos: Quality of service.
        constraint: Features of its machine.
        gpus: GPUs of one run; None = one where the device is ``cuda``, else none.
        minutes: Length of one allocation; a run that needs more is requeued and continues.
        requeues: How often that may happen for want of time; preemptions are not counted.
        memory: GB of memory of its job; 0 = the cluster's default.
        warning_seconds: How long before the end of an allocation the run is told to stop with a checkpoint.
        executor: ``"slurm"``, ``"local"`` (this machine) or ``"auto"``: SLURM where there is one.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    gpus: int | None = None
    minutes: int = 24 * 60
    requeues: int = 100
    memory: float = 0.0
    warning_seconds: int = 120
    executor: str = "auto"

    def __post_init__(self) -> None:
        """Refuses what SLURM would."""
        if self.executor not in ("auto", "slurm", "local"):
            raise UserError(f"executor = {self.executor!r} is not possible; give auto, slurm or local.")
        if self.minutes < 1 or self.warning_seconds < 1 or 60 * self.minutes <= self.warning_seconds:
            raise UserError(
                f"minutes = {self.minutes} with warning_seconds = {self.warning_seconds} leaves no time to train; give "
                "an allocation that is longer than its warning."
            )

    @property
    def kind(self) -> Literal["slurm", "local"]:
        """Which of submitit's executors it is."""
        if self.executor == "auto":
            return "slurm" if shutil.which("sbatch") else "local"
        return "slurm" if self.executor == "slurm" else "local"

    def parameters(self, threads: int, device: str, at_once: int | None) -> dict[str, Any]:
        """The parameters of submitit's executor of this kind."""
        gpus = int(device.startswith("cuda")) if self.gpus is None else self.gpus
        found: dict[str, Any] = {"signal_delay_s": self.warning_seconds}
        found |= {"gpus_per_node": gpus} if gpus else {}
        if self.kind == "local":
            return found | {"timeout_min": self.minutes, "tasks_per_node": 1, "nodes": 1}
        found |= {"time": self.minutes, "ntasks_per_node": 1, "nodes": 1, "cpus_per_task": threads}
        named = {"partition": self.partition, "account": self.account, "qos": self.qos, "constraint": self.constraint}
        found |= {key: value for key, value in named.items() if value} | {"job_name": "uncollapse"}
        found |= {"mem": f"{math.ceil(1000 * self.memory)}M"} if self.memory else {}
        return found | ({"array_parallelism": at_once} if at_once else {})


class Unit:
    """What a SLURM job calls: trains one run in a process of its own, and knows how to be interrupted.

    Args:
        order: The run, its desk and its limits.
        patience: Seconds that a run may take to stop once it is warned.
    """

    def __init__(self, order: Order, patience: float) -> None:
        self.order, self.patience = order, patience
        self._worker: Worker | None = None

    def __call__(self) -> None:
        """Trains the run; its outcome goes to the desk."""
        outcome = self.order.stopped
        if outcome is None:
            self._worker = self.order.worker()
            outcome = self.order.carry_out(self._worker)
        self.order.desk.close_book(self.order.job.name, outcome)

    def checkpoint(self) -> Any:
        """Called by submitit from a signal handler, wherever the call above stands: stops the run at an update.

        Nothing is read from the worker, because the interrupted code may be in the middle of a message; that its
        process has ended says that its checkpoint is written and its lease is free.

        Returns:
            What is to be submitted again.
        """
        from submitit.helpers import DelayedSubmission

        if self._worker is not None:
            self._worker.tell_to_stop()
            self._worker.process.join(timeout=self.patience)
        return DelayedSubmission(Unit(self.order, self.patience))


@dataclass(frozen=True, kw_only=True)
class SlurmEngine:
    """Submits runs to SLURM and waits for them.

    Attributes:
        wanted: Runs at a time; None = as many as SLURM lets run, or one a core where this machine stands in.
        threads: Threads, and so CPUs, of each run.
        device: Device of the runs.
        options: What is asked of SLURM.
        limits: What a run may take, and how often it is tried again.
    """

    wanted: int | None = None
    threads: int = 1
    device: str = "auto"
    options: SlurmOptions = field(default_factory=SlurmOptions)
    limits: Limits = field(default_factory=Limits)

    @property
    def jobs(self) -> int:
        """Runs at a time as far as is known without the cluster."""
        return self.wanted or default_jobs(self.threads)

    def run(self, jobs: Sequence[Job], *, board: Board, stop: Callable[[], bool]) -> dict[str, Outcome]:
        """Trains the jobs; see `Engine.run`.

        Raises:
            UserError: submitit is missing, SLURM refuses the jobs, or a plugin is an object.
        """
        refuse_objects(jobs, "slurm")
        submitit = _import_submitit()
        attempts = Attempts([absolute(job) for job in jobs], self.limits, board)
        with Desk.opened(jobs[0].directory.resolve().parent) as desk:
            queue = _Queue(self, submitit, desk)
            try:
                self._train(queue, desk, attempts, board, stop)
            finally:
                queue.cancel()
        return attempts.outcomes

    def _train(self, queue: _Queue, desk: Desk, attempts: Attempts, board: Board, stop: Callable[[], bool]) -> None:
        reader, asked = Reader(desk), False
        while not attempts.settled:
            if stop():
                attempts.stop()
                if not asked:
                    asked = True
                    desk.ask_to_stop()
                for job in queue.withdraw():
                    attempts.ended(job, Outcome(name=job.name, status="stopped"))
            queue.submit(attempts)
            for job, outcome in queue.over():
                attempts.ended(job, understood(outcome, desk, "slurm", asked=asked))
            for name, progress in reader.news(queue.names):
                board.progress(name, progress)
            board.tick()
            first_said([], LOOK_SECONDS)


class _Queue:
    """The jobs that are submitted and not over.

    Args:
        engine: Whose they are.
        submitit: The package.
        desk: Where they are heard.
    """

    def __init__(self, engine: SlurmEngine, submitit: Any, desk: Desk) -> None:
        self._engine, self._desk, self._submitit = engine, desk, submitit
        options = engine.options
        kind = submitit.SlurmExecutor if options.kind == "slurm" else submitit.LocalExecutor
        try:
            self._executor = kind(desk.folder / "submitit", max_num_timeout=options.requeues)
            self._executor.update_parameters(**options.parameters(engine.threads, engine.device, engine.wanted))
        except (RuntimeError, ValueError, FileNotFoundError) as error:
            raise UserError(
                f"SLURM cannot be used here ({clean(error)}); give executor=local to try a plan."
            ) from error
        self._room = None if options.kind == "slurm" else engine.jobs
        self._there: dict[str, tuple[Job, Any]] = {}
        self._silent: dict[str, float] = {}

    @property
    def names(self) -> list[str]:
        """Of the runs whose jobs are not over."""
        return list(self._there)

    def submit(self, attempts: Attempts) -> None:
        """Submits all that is due as one array, or as much as this machine has room for.

        Raises:
            UserError: SLURM refuses.
        """
        jobs: list[Job] = []
        while (self._room is None or len(self._there) + len(jobs) < self._room) and (job := attempts.next()):
            self._desk.clear(job.name)
            jobs.append(job)
        if not jobs:
            return
        engine = self._engine
        orders = [Order(job, self._desk, engine.limits, engine.threads, Path.cwd()) for job in jobs]
        units = [Unit(order, 0.8 * engine.options.warning_seconds) for order in orders]
        try:
            with _deaf_to_the_terminal(self._room is not None), deaf_children():
                submitted = self._executor.submit_array(units)
        except self._submitit.core.utils.FailedSubmissionError as error:
            raise UserError(f"SLURM refused the jobs ({clean(_last_line(str(error)))}).") from error
        self._there |= {job.name: (job, there) for job, there in zip(jobs, submitted, strict=True)}

    def over(self) -> list[tuple[Job, Outcome]]:
        """The runs whose jobs have ended since the last look."""
        found = []
        for name, (job, there) in list(self._there.items()):
            if not there.done():
                continue
            outcome = self._desk.outcome(name)
            began = self._silent.setdefault(name, time.monotonic())
            if outcome is None and time.monotonic() - began < self._patience:
                continue  # a shared directory may show its last word a little later
            del self._there[name], self._silent[name]
            found.append((job, outcome or self._lost(job, there)))
        return found

    @property
    def _patience(self) -> float:
        return LAST_WORD_SECONDS if self._room is None else 0.5

    def _lost(self, job: Job, there: Any) -> Outcome:
        """What became of a job that ended without a word."""
        log = there.stderr() or ""
        what = f" ({clean(_last_line(log))})" if _last_line(log) else ""
        if there.paths.result_pickle.exists():  # submitit itself gave up, as after too many requeues
            return Outcome(name=job.name, status="failed", error=f"Its SLURM job {there.job_id} gave up{what}.")
        sign = "" if self._desk.begun(job.name) else f" and left no sign in {self._desk.folder.parent}; is it shared"
        error = f"Its SLURM job {there.job_id} ended ({there.state}) without a word{sign}{what}."
        return Outcome(name=job.name, status="failed", error=error, cause="killed")

    def withdraw(self) -> list[Job]:
        """Cancels the jobs that no machine has begun."""
        waiting = [name for name in self._there if not self._desk.begun(name)] if self._room is None else []
        return [self._cancelled(name) for name in waiting]

    def cancel(self) -> None:
        """Cancels all that is left, after an error here."""
        for name in self.names:
            self._cancelled(name)

    def _cancelled(self, name: str) -> Job:
        job, there = self._there.pop(name)
        there.cancel(check=False)
        return job


@contextmanager
def _deaf_to_the_terminal(wanted: bool) -> Iterator[None]:
    """Processes that are started meanwhile do not hear Ctrl+C, which is this process's to answer."""
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def _import_submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "The engine slurm needs submitit, which is not installed; pip install 'uncollapse[slurm]'."
        ) from error
    return submitit
