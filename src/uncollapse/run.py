"""Executes one run in one directory, which holds the whole truth of it: spec, history, samples, checkpoints, result.

`execute` continues what is there and returns at once when it is finished; `load` opens a directory to look at it.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from uncollapse.distributed import Team, train_together
from uncollapse.documents import read_spec
from uncollapse.errors import UserError
from uncollapse.files import read_lines
from uncollapse.generation import checked_labels
from uncollapse.lanes import dtype_of
from uncollapse.lease import only_writer
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.monitor.choices import MonitorChoice, as_count
from uncollapse.networks.network import Networks
from uncollapse.networks.sources import Network, Pair
from uncollapse.ranks import Ranks, ranks_of_environment
from uncollapse.resuming import trained
from uncollapse.room import check_room
from uncollapse.run_files import check_claim, claim, is_finished, read_result
from uncollapse.sitting import Progress, Sitting, Stopped, StoppedByAlarm
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks.task import Task
from uncollapse.tasks.trial import try_task
from uncollapse.threads import threads
from uncollapse.versions import choose_device, versions

if TYPE_CHECKING:
    from uncollapse.loggers import Logger


class Run:
    """A run that was executed or loaded.

    Attributes:
        directory: Where it lives.
        spec: What it is.
    """

    def __init__(self, directory: Path, spec: RunSpec, *, device: torch.device) -> None:
        """Reads nothing yet."""
        self.directory, self.spec, self._device = directory, spec, device
        self._trainers: dict[bool, Trainer] = {}

    def __repr__(self) -> str:
        """What was trained, and where."""
        seeds = f"{len(self.spec.seeds)} seed{'s' * (len(self.spec.seeds) != 1)}"
        told = (
            f"{self.spec.method.name} on {self.spec.task.name}, {seeds}, {self.spec.updates:,} updates, {self.status}"
        )
        return f"Run({told}, {str(self.directory)!r})"

    @property
    def status(self) -> str:
        """``"finished"`` or ``"unfinished"``."""
        return "unfinished" if read_result(self.directory) is None else "finished"

    @property
    def history(self) -> list[dict[str, Any]]:
        """Losses and snapshot measures in the order of updates."""
        return read_lines(self.directory / "history.jsonl")

    @property
    def result(self) -> dict[str, Any]:
        """The content of `result.json`.

        Raises:
            UserError: The run is not finished.
        """
        found = read_result(self.directory)
        if found is None:
            raise UserError(f"{self.directory} is not finished; run the same command again to continue it.")
        return found

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One entry a seed: its measures for averaged and live weights, and whether it diverged."""
        lanes: list[dict[str, Any]] = self.result["lanes"]
        return lanes

    def samples(
        self, n: int, *, seed: int, weights: str = "averaged", labels: ArrayLike | None = None, draw: int = 0
    ) -> Tensor:
        """Samples of the generator that was trained with a seed.

        Args:
            n: How many.
            seed: One of the run's seeds.
            weights: ``"averaged"`` or ``"live"`` of the newest checkpoint; ``"best"``: the averaged ones of the
                checkpoint whose samples were worth most.
            labels: (n,) int64 labels for a conditional method; by default balanced as the task's modes are.
            draw: Another number gives other latents.

        Returns:
            (n, *shape), on the CPU, in the units of the data: those of `tasks.Arrays` are no longer standardised.
        """
        n, draw = as_count(n, name="n", least=0), as_count(draw, name="draw", least=0)
        if seed not in self.spec.seeds:
            raise UserError(f"This run has no seed {seed!r}; it has {', '.join(map(str, self.spec.seeds))}.")
        if weights not in ("averaged", "live", "best"):
            raise UserError(f"There are no {weights!r} weights; choose averaged, live or best.")
        labels = None if labels is None else checked_labels(labels, n, self.spec)
        best, lane = weights == "best", self.spec.seeds.index(seed)
        if best not in self._trainers:
            self._trainers[best] = trained(self.spec, self.directory, self._device, best=best)
        averaged = weights != "live"
        drawn = self._trainers[best].lane_samples(lane, n, averaged=averaged, labels=labels, draw=draw).cpu()
        return self.spec.task.to_original(drawn)


def execute(
    spec: RunSpec,
    directory: Path | None = None,
    *,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    fresh: bool = False,
    checkpoint_seconds: float = 30.0,
    ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    loggers: Sequence[Logger | str] = (),
) -> Run:
    """Trains a run, or what is missing of it.

    Args:
        spec: What to train.
        directory: Where; None for a temporary directory that lives as long as the returned run.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        progress: Called every few updates.
        stop: Asked every few updates; when true, a checkpoint is saved and `Stopped` is raised.
        fresh: Throw away what is there.
        checkpoint_seconds: Time between checkpoints; results do not depend on it.
        ranks: The place of this process among those that train the run together and all call this.
        loggers: Are given each line of the history; objects, or names as "tensorboard".

    Raises:
        UserError: The directory holds another run, another process is writing there, or a user's own task is no task.
        CannotWrite: There is no room on the disk; says what is safe, and the same call continues.
        Stopped: `stop` was true, or a seed collapsed and its monitor is to stop; the same call continues.
    """
    chosen = ranks.own(choose_device(device))
    temporary = directory is None
    if temporary and ranks.size > 1:
        raise UserError("Several processes need one folder for their run; give it, as out=.")
    if directory is not None and directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file, and a run is a directory; choose another --out.")
    directory = directory or Path(tempfile.mkdtemp(prefix="uncollapse-"))
    run = Run(directory, spec, device=chosen)
    if temporary:
        weakref.finalize(run, shutil.rmtree, directory, ignore_errors=True)
    logger = _joined(loggers) if ranks.leads else None

    def sit(team: Team | None = None) -> None:
        if fresh or not is_finished(directory, spec):
            check_room(directory, spec, fresh=fresh)
        with only_writer(directory) as lease:
            check_claim(directory, spec, fresh)
            if fresh or not is_finished(directory, spec):
                asked = stop if team is None else lambda: stop() or team.asked
                watched = lease.watched(asked)
                sitting = Sitting(spec, directory, chosen, progress, watched, checkpoint_seconds, team, logger)
                sitting.trainer.try_out()  # before anything that is there is replaced
                claim(directory, spec, fresh)
                sitting.run()

    with threads(spec.threads):
        if fresh or not is_finished(directory, spec):  # in every process, before any builds a trainer of the task
            labelled = spec.method.labelled
            try_task(spec.task, seed=spec.seeds[0], device=chosen, dtype=dtype_of(spec), labelled=labelled)
        if ranks.size == 1:
            sit()
        else:
            train_together(spec, ranks, chosen, lead=sit, stop=stop, stopped=Stopped)
    return run


def train(
    method: str | Method,
    task: str | Task,
    *,
    seeds: Iterable[int] = range(8),
    updates: int | None = None,
    batch: int | None = None,
    networks: Networks | None = None,
    generator: Network | None = None,
    critic: Network | None = None,
    settings: Mapping[str, Any] | None = None,
    threads: int = 1,
    dtype: str = "float32",
    accumulate: int = 1,
    device: str = "auto",
    out: Path | str | None = None,
    fresh: bool = False,
    progress: Callable[[Progress], None] | None = None,
    monitor: int | MonitorChoice | None = None,
    rollback: bool = False,
    loggers: Sequence[Logger | str] = (),
) -> Run:
    """Trains all seeds of one method on one task together.

    Args:
        method: A method, as ``VANILLA.but(...)``, or its name.
        task: A task, as ``tasks.Arrays(x)``, or its name.
        seeds: One lane each.
        updates: Critic updates; by default the task's own budget.
        batch: Real samples (or packs) in a critic update; by default the task's own.
        networks: Settings of the networks; by default the task's own.
        generator: Your own: a class or function that makes a module, called once a seed (with the `Sizes` if it takes
            one argument), or a module whose weights every seed starts from; see docs/own-networks.md.
        critic: Your own, likewise; what you leave out comes from `networks`.
        settings: Values by dotted path, as ``{"dynamics.lr_critic": 2e-4}``.
        threads: CPU threads; the number belongs to the run, because it changes the last bits.
        dtype: ``"float32"``, ``"float64"``, or ``"bfloat16"`` for weights in float32 and layers in bfloat16.
        accumulate: Shares of the batch in which an update is made, one after the other: less memory, same numbers.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``; under torchrun each process takes the GPU of its LOCAL_RANK.
        out: The run's directory; by default a temporary one that lives as long as the returned run.
        fresh: Throw away what is in `out`; otherwise an unfinished run is continued.
        progress: Called every few updates.
        monitor: Judge each seed's generator every so many critic updates, or as a `monitor.MonitorChoice` says; see
            docs/monitor.md.
        rollback: On an alarm put that seed, once, back to the last look that proved health.
        loggers: Are given each line of the history; objects, or names as "tensorboard".

    Returns:
        The finished run: `.samples(n, seed=s)`, `.history`, `.metrics`.

    Raises:
        UserError: Anything unknown, impossible or in the way, in one sentence.
        Stopped: A seed collapsed under ``on_alarm="stop"``; the same call continues.
    """
    if not isinstance(fresh, bool | np.bool_):  # any text would count as true, and throw a run away
        raise UserError(f"fresh must be True or False, not {fresh!r}.")
    spec = make_spec(
        method, task, seeds=seeds, updates=updates, batch=batch, networks=networks, threads=threads, dtype=dtype,
        accumulate=accumulate, settings=settings, own=Pair.of(generator, critic),
        monitor=MonitorChoice.of(monitor, rollback=rollback),
    )  # fmt: skip
    where, ranks = None if out is None else Path(out), ranks_of_environment()
    return execute(spec, where, device=device, fresh=fresh, progress=progress, ranks=ranks, loggers=loggers)


def load(
    directory: Path | str,
    plugins: Sequence[object] = (),
    *,
    device: str = "auto",
    generator: Network | None = None,
    critic: Network | None = None,
) -> Run:
    """Opens a run's directory.

    Args:
        directory: What `train` wrote.
        plugins: Your own methods, parts and tasks that it was trained with.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        generator: Your own generator that it was trained with, as it was given to `train`.
        critic: Likewise.

    Raises:
        UserError: It holds no run, or one that needs a plugin or networks that were not given.
    """
    if not isinstance(directory, str | PathLike):
        raise UserError(f"directory must be the folder of a run, not {type(directory).__name__}; give its path.")
    path = Path(directory)
    if not (path / "spec.json").is_file():
        raise UserError(f"{path} is not a run (no spec.json); give the folder that `uncollapse train` wrote.")
    spec = RunSpec.from_json(read_spec(path / "spec.json"), plugins, Pair.of(generator, critic))
    return Run(path, spec, device=choose_device(device))


def _joined(loggers: Sequence[Logger | str]) -> Logger | None:
    """All of them as one that never fails; None for none.

    Raises:
        UserError: There is no logger of a name, or what it needs is not installed.
    """
    if not loggers:
        return None
    from uncollapse.loggers import Guarded, find_loggers

    if isinstance(loggers, str) or not isinstance(loggers, Sequence):
        raise UserError(f"loggers must be a list of loggers, as [{loggers!r}].")

    found = [find_loggers([one]) if isinstance(one, str) else (one,) for one in loggers]
    return Guarded([one for several in found for one in several])


__all__ = [
    "Progress",
    "Run",
    "RunSpec",
    "Stopped",
    "StoppedByAlarm",
    "choose_device",
    "execute",
    "is_finished",
    "load",
    "make_spec",
    "read_result",
    "train",
    "versions",
]
