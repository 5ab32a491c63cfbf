"""Engines: where the runs of a comparison are trained. The contract first; `local`, `ray` and `slurm` keep it.

An engine gets jobs, trains each in its own run directory and says how each ended; it never reads a result. A job may be
executed by any engine, any number of times and by two at once: the directory's lease and its `result.json` see to it
that it is trained once. Which job comes next and what is tried again is decided in `attempts.py`, for all alike.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from uncollapse.errors import UserError, unknown

if TYPE_CHECKING:
    from uncollapse.experiments.progress import Board
    from uncollapse.run import Progress

ENGINES = ("local", "ray", "slurm")
WORKER = "uncollapse worker"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to be trained, as values that travel to another process.

    Attributes:
        spec: The run's specification as JSON values.
        directory: The run's directory.
        method: The method's name in tables.
        task: The task's name.
        seeds: Seeds trained together.
        updates: Critic updates.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:0"``.
        plugins: ``module:attr`` references, or objects, that the specification needs.
        fresh: Begin again instead of continuing.
    """

    spec: dict[str, Any]
    directory: Path
    method: str
    task: str
    seeds: tuple[int, ...]
    updates: int
    device: str = "auto"
    plugins: tuple[object, ...] = ()
    fresh: bool = False

    @property
    def name(self) -> str:
        """The name of the run's directory, unique within a comparison."""
        return self.directory.name


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes:
        name: The job's.
        status: A failed one is a row of the comparison; a stopped one goes on with the next start.
        error: Of a failed one, one sentence.
        cause: Why a failed one may be worth another attempt: its process was ``"killed"`` from outside, or its
            directory is ``"busy"``, because another process writes it. Empty for what the run itself raised: final.
    """

    name: str
    status: Literal["finished", "stopped", "failed"]
    error: str = ""
    cause: Literal["", "killed", "busy"] = ""


class Engine(Protocol):
    """Trains jobs and says how each ended."""

    @property
    def jobs(self) -> int:
        """Runs at a time."""
        ...

    def run(self, jobs: Sequence[Job], *, board: Board, stop: Callable[[], bool]) -> dict[str, Outcome]:
        """Trains the jobs.

        Args:
            jobs: What to train, in any order.
            board: Told of progress and ends.
            stop: Once it is true, each run stops at an update boundary with a checkpoint.

        Returns:
            Job name -> outcome, one for each job.
        """
        ...


def find_engine(
    name: str, *, jobs: int | None, device: str, threads: int, options: Sequence[str] = (), address: str | None = None
) -> Engine:
    """The engine of that name.

    Args:
        name: One of `ENGINES`.
        jobs: Runs at a time; None = what the engine finds fitting, on this machine one a core or one a GPU.
        device: Device of the runs, which decides the default of `jobs`.
        threads: Threads of each run.
        options: ``NAME=VALUE`` each; see docs/engines.md.
        address: Of a Ray cluster; None = one of this process's own.

    Raises:
        UserError: There is no such engine, option or device, its package is missing, or `jobs` is below 1.
    """
    from uncollapse.experiments.engines.limits import Limits
    from uncollapse.experiments.engines.options import read_options

    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs {jobs} is not possible; give a whole number of at least 1.")
    if address is not None and name != "ray":
        raise UserError(f"--address {address} is of a Ray cluster, and the engine is {name}; add --engine ray.")
    if name == "ray":
        from uncollapse.experiments.engines.ray import RayEngine, RayOptions

        ray, limits = read_options(options, (RayOptions, Limits), name)
        return RayEngine(wanted=jobs, threads=threads, device=device, address=address, options=ray, limits=limits)
    if name == "slurm":
        from uncollapse.experiments.engines.slurm import SlurmEngine, SlurmOptions

        slurm, limits = read_options(options, (SlurmOptions, Limits), name)
        return SlurmEngine(wanted=jobs, threads=threads, device=device, options=slurm, limits=limits)
    from uncollapse.experiments.engines.local import LocalEngine, default_jobs, gpu_slots

    (limits,) = read_options(options, (Limits,), name)
    slots = gpu_slots(device)
    return LocalEngine(jobs=jobs or len(slots) or default_jobs(threads), threads=threads, slots=slots, limits=limits)


def perform(job: Job, *, progress: Callable[[Progress], None], stop: Callable[[], bool]) -> Outcome:
    """Trains one job in this process; whatever it raises becomes its outcome, with the trace in ``error.log``."""
    from uncollapse.lease import Busy, LeaseLost
    from uncollapse.run import RunSpec, Stopped, execute

    log = job.directory / "error.log"
    try:
        spec = RunSpec.from_json(job.spec, plugins=job.plugins)
        execute(spec, job.directory, device=job.device, progress=progress, stop=stop, fresh=job.fresh)
    except Stopped:
        return Outcome(name=job.name, status="stopped")
    except (Busy, LeaseLost) as error:  # the directory is another process's, so nothing is written there
        return Outcome(name=job.name, status="failed", error=str(error), cause="busy")
    except Exception as error:  # the boundary of a run: its failure is a row of the comparison, the others go on
        with suppress(OSError):  # the disk may be what failed, and the sentence is told anyway
            job.directory.mkdir(parents=True, exist_ok=True)
            log.write_text(traceback.format_exc(), encoding="utf-8")
        return Outcome(name=job.name, status="failed", error=f"{type(error).__name__}: {error}".strip())
    log.unlink(missing_ok=True)
    return Outcome(name=job.name, status="finished")
