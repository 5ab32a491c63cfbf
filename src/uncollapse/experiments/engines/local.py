"""The engine of this machine: worker processes that each train one run after the other.

One job at a time trains in this very process, unless a limit asks for one that can be stopped from outside. Workers are
spawned, die with their parent, and a worker that dies costs only the run that it was training one attempt.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Job, Outcome, perform
from uncollapse.experiments.engines.attempts import Attempts
from uncollapse.experiments.engines.limits import Limits
from uncollapse.experiments.engines.workers import LOOK_SECONDS, Worker, first_said
from uncollapse.plugins import bound_to_this_process

if TYPE_CHECKING:
    from uncollapse.experiments.progress import Board
    from uncollapse.run import Progress

VISIBLE = "CUDA_VISIBLE_DEVICES"


def default_jobs(threads: int) -> int:
    """Runs at a time on the CPU: as many as the usable cores allow at `threads` each, at least one."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // threads)


def gpu_slots(device: str) -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES is for each GPU that runs may share out among them; none where they use the CPU.

    A device with a number, ``cuda:1``, is one slot that needs no variable.

    Raises:
        UserError: There is no such device.
    """
    from uncollapse.versions import choose_device

    chosen = choose_device(device)
    if chosen.type == "cpu":
        return ()
    import torch

    if chosen.type != "cuda" or ":" in device or torch.cuda.device_count() < 2:
        return ("",)
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return tuple(named or map(str, range(torch.cuda.device_count())))


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """Trains `jobs` runs at a time on this machine; the longest runs come first.

    Attributes:
        jobs: Runs at a time.
        threads: Threads of each.
        slots: CUDA_VISIBLE_DEVICES of the workers in turn; an empty text leaves it as it is.
        limits: What a run may take, and how often it is tried again.
    """

    jobs: int = 1
    threads: int = 1
    slots: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def run(self, jobs: Sequence[Job], *, board: Board, stop: Callable[[], bool]) -> dict[str, Outcome]:
        """Trains the jobs; see `Engine.run`."""
        attempts = Attempts(jobs, self.limits, board)
        if min(self.jobs, len(jobs)) <= 1 and not self.limits.bounded:
            return _run_here(attempts, board, stop)
        if any(bound_to_this_process(job.plugins) for job in jobs):
            raise UserError(
                "Limits of memory or time need a process of their own for each run, and plugins that were defined in a "
                "notebook or at a prompt cannot reach it; define them in a module, or leave the limits out."
            )
        workers: list[Worker] = []
        try:
            while not attempts.settled:
                if stop():
                    attempts.stop()
                    for worker in workers:
                        worker.tell_to_stop()
                self._begin(attempts, workers)
                self._look(attempts, workers, board)
                board.tick()
        finally:
            for worker in workers:
                worker.dismiss()
        return attempts.outcomes

    def _begin(self, attempts: Attempts, workers: list[Worker]) -> None:
        """Gives jobs that are due to idle workers, and to new ones where there is room."""
        for _ in range(attempts.due()):
            idle = next((worker for worker in workers if worker.job is None), None)
            if idle is None:
                if len(workers) >= self.jobs:
                    return
                idle = self._hire(workers)
            job = attempts.next()
            if job is not None:
                idle.give(job)

    def _hire(self, workers: list[Worker]) -> Worker:
        slot = next(number for number in range(self.jobs) if number not in {worker.slot for worker in workers})
        visible = self.slots[slot % len(self.slots)] if self.slots else ""
        workers.append(Worker(self.threads, {VISIBLE: visible} if visible else None, slot=slot))
        return workers[-1]

    def _look(self, attempts: Attempts, workers: list[Worker], board: Board) -> None:
        """Hears what workers say, and sends away those that are dead or have served."""
        for worker in workers:
            worker.guard(self.limits)
        for connection in first_said([worker.connection for worker in workers], LOOK_SECONDS):
            worker = next(item for item in workers if item.connection is connection)
            job = worker.job
            outcome = worker.listen(partial(board.progress, job.name if job is not None else ""))
            if outcome is not None and job is not None:
                attempts.ended(job, outcome)
            # Memory of the run before must not count against the next one's limit.
            served = outcome is not None and self.limits.run_memory is not None
            # What a dead worker said last is heard to the end of its pipe, which is where its run ends.
            ended = not worker.alive and (outcome is not None or worker.job is None)
            if served or ended:
                worker.dismiss()
                workers.remove(worker)


def _run_here(attempts: Attempts, board: Board, stop: Callable[[], bool]) -> dict[str, Outcome]:
    """One job after the other in this process: no start-up, and objects that no other process can import."""
    while not attempts.settled:
        if stop():
            attempts.stop()
            continue
        job = attempts.next()
        if job is None:  # all that are left wait for other processes
            first_said([], LOOK_SECONDS)
            board.tick()
            continue

        def report(progress: Progress, name: str = job.name) -> None:
            board.progress(name, progress)
            board.tick()

        attempts.ended(job, perform(job, progress=report, stop=stop))
    return attempts.outcomes
