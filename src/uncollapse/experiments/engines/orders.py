"""What a head tells another machine about one run, and how it is carried out there; shared by `ray` and `slurm`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Job, Outcome
from uncollapse.experiments.engines.desk import Desk, Reporter, not_shared
from uncollapse.experiments.engines.limits import Limits
from uncollapse.experiments.engines.workers import Worker, supervise, without_main_file


@dataclass(frozen=True)
class Order:
    """All that a machine has to know to train one run.

    Attributes:
        job: The run.
        desk: Where its head is heard.
        limits: What it may take.
        threads: Its threads.
        folder: Where the head works, for plugins and data that are named relative to it.
    """

    job: Job
    desk: Desk
    limits: Limits
    threads: int
    folder: Path

    @property
    def stopped(self) -> Outcome | None:
        """The outcome of an order that is not to be carried out any more, None of one that is."""
        return Outcome(name=self.job.name, status="stopped") if self.desk.asked() else None

    def worker(self) -> Worker:
        """A new process for it, that ends after it; the head is told that it has begun."""
        self.desk.tell(self.job.name, None)
        with without_main_file():
            return Worker(self.threads, once=True, folder=self.folder)

    def carry_out(self, worker: Worker) -> Outcome:
        """Trains the run in that process, so that its limits and its death are seen from outside."""
        reporter = Reporter(self.desk, self.job.name)
        return supervise(self.job, worker, limits=self.limits, told=reporter.progress, stop=reporter.stop)


def refuse_objects(jobs: Sequence[Job], engine: str) -> None:
    """Refuses plugins that exist in this process only.

    Raises:
        UserError: There is one.
    """
    if any(not isinstance(plugin, str) for job in jobs for plugin in job.plugins):
        raise UserError(
            f"The engine {engine} trains on other machines, which cannot get a plugin that is an object; give it as "
            '"module:attr" of a module that they can import.'
        )


def absolute(job: Job) -> Job:
    """The job with a directory that means the same wherever it is trained."""
    return replace(job, directory=job.directory.resolve())


def understood(outcome: Outcome, desk: Desk, engine: str, *, asked: bool) -> Outcome:
    """The outcome, unless a worker stopped that nobody had asked: it did not see the desk."""
    if outcome.status != "stopped" or asked:
        return outcome
    sentence = str(not_shared(desk.folder.parent, "the machine that was to train it", engine))
    return Outcome(name=outcome.name, status="failed", error=sentence)
