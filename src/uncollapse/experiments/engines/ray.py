"""The engine of a Ray cluster, one's own or another's: each run is a task that has a worker process train it.

Ray Core only. The tasks are not retried by Ray but by `attempts.py`, progress and the request to stop go through the
`Desk` in the shared directory, and a run that is begun again anywhere continues from its own checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Job, Outcome
from uncollapse.experiments.engines.attempts import Attempts
from uncollapse.experiments.engines.desk import Desk, Reader, not_shared
from uncollapse.experiments.engines.limits import Limits
from uncollapse.experiments.engines.local import default_jobs
from uncollapse.experiments.engines.orders import Order, absolute, refuse_objects, understood
from uncollapse.experiments.engines.ray_cluster import joined
from uncollapse.experiments.engines.workers import LOOK_SECONDS, first_said
from uncollapse.text import clean

if TYPE_CHECKING:
    from uncollapse.experiments.progress import Board

PROBE_TASK_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """What is asked of the cluster for one run.

    Attributes:
        gpus: GPUs of one run, a share of one allowed; None = one where there are any and the device is not the CPU.
    """

    gpus: float | None = None

    def __post_init__(self) -> None:
        """Refuses what Ray would."""
        if self.gpus is not None and not self.gpus >= 0:
            raise UserError(f"gpus = {self.gpus:g} is not possible; give a number of at least 0.")


@dataclass(frozen=True, kw_only=True)
class RayEngine:
    """Trains runs on a Ray cluster.

    Attributes:
        wanted: Runs at a time; None = as many as the cluster has room for.
        threads: Threads, and so Ray's CPUs, of each run.
        device: Device of the runs.
        address: Of a cluster; None = one that lives as long as the comparison, on this machine.
        options: What a run gets.
        limits: What a run may take, and how often it is tried again.
    """

    wanted: int | None = None
    threads: int = 1
    device: str = "auto"
    address: str | None = None
    options: RayOptions = field(default_factory=RayOptions)
    limits: Limits = field(default_factory=Limits)

    @property
    def jobs(self) -> int:
        """Runs at a time as far as is known without the cluster."""
        return self.wanted or default_jobs(self.threads)

    def run(self, jobs: Sequence[Job], *, board: Board, stop: Callable[[], bool]) -> dict[str, Outcome]:
        """Trains the jobs; see `Engine.run`.

        Raises:
            UserError: Ray is missing, the cluster does not answer or does not share the directory, or a plugin is an
                object.
        """
        refuse_objects(jobs, "ray")
        attempts = Attempts([absolute(job) for job in jobs], self.limits, board)
        with ExitStack() as stack:
            ray = stack.enter_context(joined(self.address, cpus=(self.wanted or 1) * self.threads))
            desk = stack.enter_context(Desk.opened(jobs[0].directory.resolve().parent))
            _probe(ray, desk)
            self._train(ray, desk, attempts, board, stop)
        return attempts.outcomes

    def _train(self, ray: Any, desk: Desk, attempts: Attempts, board: Board, stop: Callable[[], bool]) -> None:
        task = ray.remote(max_retries=0, num_cpus=self.threads, num_gpus=self._gpus(ray))(_train)
        running: dict[Any, Job] = {}
        reader, asked = Reader(desk), False
        while not attempts.settled:
            if stop():
                attempts.stop()
                if not asked:
                    asked = True
                    desk.ask_to_stop()
                _withdraw(ray, desk, running)
            while len(running) < (self.wanted or self._room(ray)) and (job := attempts.next()):
                desk.clear(job.name)
                order = Order(job, desk, self.limits, self.threads, Path.cwd())
                running[task.remote(order)] = job
            if running:
                for ref in ray.wait(list(running), timeout=LOOK_SECONDS)[0]:
                    job = running.pop(ref)
                    attempts.ended(job, understood(_outcome(ray, ref, job), desk, "ray", asked=asked))
            else:
                first_said([], LOOK_SECONDS)
            for name, progress in reader.news([job.name for job in running.values()]):
                board.progress(name, progress)
            board.tick()

    def _gpus(self, ray: Any) -> float:
        if self.options.gpus is not None:
            return self.options.gpus
        return 1.0 if self.device != "cpu" and ray.cluster_resources().get("GPU", 0) else 0.0

    def _room(self, ray: Any) -> int:
        """Runs that the cluster has room for now; it may grow and shrink."""
        there, gpus = ray.cluster_resources(), self._gpus(ray)
        room = there.get("CPU", 0.0) // self.threads
        return max(1, int(min(room, there.get("GPU", 0.0) // gpus) if gpus else room))


def _probe(ray: Any, desk: Desk) -> None:
    """Has every machine of the cluster write into the shared directory, and looks for it here.

    Raises:
        UserError: One does not share it.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    mark = ray.remote(num_cpus=0, max_retries=0)(_mark)
    sent = {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("CPU", 0):
            place = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            where = f"the machine {node['NodeManagerAddress']}"
            sent[mark.options(scheduling_strategy=place).remote(desk, node["NodeID"])] = (node["NodeID"], where)
    for ref, (identifier, where) in sent.items():
        try:
            ray.get(ref, timeout=PROBE_TASK_SECONDS)
        except ray.exceptions.RayTaskError as error:
            raise _unusable(error, desk, where) from error
        except ray.exceptions.RayError:  # a machine that went away or has no room now is asked again by each run
            continue
        desk.expect_mark(identifier, where, "ray")


def _unusable(error: Any, desk: Desk, where: str) -> UserError:
    cause = getattr(error, "cause", None)
    if isinstance(cause, OSError):
        return not_shared(desk.folder.parent, where, "ray")
    what = (str(cause or error).strip().splitlines() or [""])[-1]
    return UserError(f"A worker on {where} could not start ({clean(what)}); install uncollapse there too.")


def _mark(desk: Desk, mark: str) -> None:
    """A task: proves that this machine sees the folder that the head has made."""
    if desk.asked():
        raise FileNotFoundError(desk.folder)
    desk.leave_mark(mark)


def _train(order: Order) -> Outcome:
    """A task: trains one run in a process of its own, so that its limits and its death are seen from outside."""
    return order.stopped or order.carry_out(order.worker())


def _outcome(ray: Any, ref: Any, job: Job) -> Outcome:
    """What a task returned, or what became of it."""
    try:
        outcome: Outcome = ray.get(ref)
    except ray.exceptions.TaskCancelledError:
        return Outcome(name=job.name, status="stopped")
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", error)
        return Outcome(name=job.name, status="failed", error=f"{type(cause).__name__}: {cause}".strip())
    except ray.exceptions.RayError as error:
        error_text = (str(error).strip().splitlines() or [""])[0]
        sentence = f"The machine or process that trained it is gone ({type(error).__name__}: {clean(error_text)})."
        return Outcome(name=job.name, status="failed", error=sentence, cause="killed")
    return outcome


def _withdraw(ray: Any, desk: Desk, running: dict[Any, Job]) -> None:
    """Takes tasks back that no machine has begun."""
    for ref, job in running.items():
        if not desk.begun(job.name):
            with suppress(ray.exceptions.RayError):
                ray.cancel(ref, recursive=False)
