"""Executes one run in one directory, which holds the whole truth of it: spec, history, samples, checkpoints, result.

`execute` continues what is there and returns at once when it is finished; `load` opens a directory to look at it.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uncollapse import checkpoint
from uncollapse.errors import UserError
from uncollapse.files import append_line, only_writer, read_lines, write_atomic, write_json
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.metrics.modes import mode_counts, mode_measures
from uncollapse.networks.mlp import MLP
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks.task import Task
from uncollapse.trees import flatten, restored
from uncollapse.versions import choose_device, versions

# Shares of the budget at which samples are kept and judged; early ones are dense, because collapse starts early.
SNAPSHOTS = (0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
LOSS_LINES = 200
# Rounds between looks at the clock and at a request to stop.
SLICE = 20
TRACKED = ("modes_solid", "modes_hit", "high_quality_share")


class Stopped(Exception):
    """Raised after a checkpoint when a run was asked to stop."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands, for whoever watches.

    Attributes:
        method: Name.
        task: Name.
        seeds: Its lanes.
        update: Critic updates done.
        updates: Critic updates wanted.
        updates_per_second: Updates of all lanes together in a second of this sitting.
        modes_solid: Of each lane at the last snapshot.
        modes: Modes of the task.
        diverged: Seeds that were frozen.
    """

    method: str
    task: str
    seeds: tuple[int, ...]
    update: int
    updates: int
    updates_per_second: float
    modes_solid: list[int] | None
    modes: int
    diverged: list[int]


class Run:
    """A run that was executed or loaded.

    Attributes:
        directory: Where it lives.
        spec: What it is.
    """

    def __init__(self, directory: Path, spec: RunSpec, *, device: torch.device) -> None:
        """Reads nothing yet."""
        self.directory, self.spec, self._device = directory, spec, device
        self._trainer: Trainer | None = None

    @property
    def status(self) -> str:
        """``"finished"`` or ``"unfinished"``."""
        return "finished" if (self.directory / "result.json").exists() else "unfinished"

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
        self, n: int, *, seed: int, weights: str = "averaged", labels: Tensor | None = None, draw: int = 0
    ) -> Tensor:
        """Samples of the generator that was trained with a seed.

        Args:
            n: How many.
            seed: One of the run's seeds.
            weights: ``"averaged"`` or ``"live"``.
            labels: (n,) int64 labels for a conditional method; by default balanced as the task's modes are.
            draw: Another number gives other latents.

        Returns:
            (n, *shape), on the CPU.
        """
        if seed not in self.spec.seeds:
            raise UserError(f"This run has no seed {seed}; it has {', '.join(map(str, self.spec.seeds))}.")
        if weights not in ("averaged", "live"):
            raise UserError(f"There are no {weights!r} weights; choose averaged or live.")
        if self._trainer is None:
            trainer = Trainer(self.spec, device=self._device)
            if not _resume(trainer, self.directory)[0]:
                raise UserError(f"{self.directory} holds no intact checkpoint to sample from; train it again.")
            self._trainer = trainer
        lane = self.spec.seeds.index(seed)
        return self._trainer.samples(n, averaged=weights == "averaged", labels=labels, draw=draw)[lane].cpu()


def execute(
    spec: RunSpec,
    directory: Path | None = None,
    *,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    fresh: bool = False,
    checkpoint_seconds: float = 30.0,
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

    Raises:
        UserError: The directory holds another run, or another process is writing there.
        Stopped: `stop` was true; the same call continues.
    """
    chosen = choose_device(device)
    temporary = directory is None
    directory = directory or Path(tempfile.mkdtemp(prefix="uncollapse-"))
    with only_writer(directory), _threads(spec.threads):
        _open(directory, spec, fresh)
        if not is_finished(directory, spec):
            _Execution(spec, directory, chosen, progress, stop, checkpoint_seconds).run()
    run = Run(directory, spec, device=chosen)
    if temporary:
        weakref.finalize(run, shutil.rmtree, directory, ignore_errors=True)
    return run


def train(
    method: str | Method,
    task: str | Task,
    *,
    seeds: Iterable[int] = range(8),
    updates: int | None = None,
    batch: int | None = None,
    networks: MLP | None = None,
    settings: Mapping[str, Any] | None = None,
    threads: int = 1,
    device: str = "auto",
    out: Path | str | None = None,
    fresh: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Trains all seeds of one method on one task together.

    Args:
        method: A method, as ``VANILLA.but(...)``, or its name.
        task: A task, as ``tasks.Arrays(x)``, or its name.
        seeds: One lane each.
        updates: Critic updates; by default the task's own budget.
        batch: Real samples in a critic update; by default the task's own.
        networks: Settings of the networks; by default the task's own.
        settings: Values by dotted path, as ``{"dynamics.lr_critic": 2e-4}``.
        threads: CPU threads; the number belongs to the run, because it changes the last bits.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        out: The run's directory; by default a temporary one that lives as long as the returned run.
        fresh: Throw away what is in `out`; otherwise an unfinished run is continued.
        progress: Called every few updates.

    Returns:
        The finished run: `.samples(n, seed=s)`, `.history`, `.metrics`.

    Raises:
        UserError: Anything unknown, impossible or in the way, in one sentence.
    """
    spec = make_spec(
        method, task, seeds=seeds, updates=updates, batch=batch, networks=networks, threads=threads, settings=settings
    )
    return execute(spec, None if out is None else Path(out), device=device, fresh=fresh, progress=progress)


def load(directory: Path | str, plugins: Sequence[object] = (), *, device: str = "auto") -> Run:
    """Opens a run's directory.

    Raises:
        UserError: It holds no run, or one that needs a plugin that was not given.
    """
    path = Path(directory)
    if not (path / "spec.json").is_file():
        raise UserError(f"{path} is not a run (no spec.json); give the folder that `uncollapse train` wrote.")
    return Run(path, RunSpec.from_json(_read_json(path / "spec.json"), plugins), device=choose_device(device))


def read_result(directory: Path) -> dict[str, Any] | None:
    """The result of a run, None while there is no whole one."""
    try:
        found: dict[str, Any] = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return found if found.get("status") == "finished" else None


def is_finished(directory: Path, spec: RunSpec) -> bool:
    """Whether a directory holds the result of this spec with at least its updates."""
    found = read_result(directory)
    return found is not None and found["hash"] == spec.hash and found["updates"] >= spec.updates


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore it, or train again with --fresh.") from error
    return found


def _open(directory: Path, spec: RunSpec, fresh: bool) -> None:
    """Makes a directory this run's own, or refuses one that is another's."""
    path = directory / "spec.json"
    there = _read_json(path) if path.exists() and not fresh else None
    if there is not None and there.get("hash") != spec.hash:
        raise UserError(
            f"{directory} holds another run ({there['method']['name']} on {there['task']['name']}, hash"
            f" {there.get('hash')}, not {spec.hash}); choose another --out, or --fresh to replace it."
        )
    if fresh:
        _clear(directory)
    command = " ".join(sys.argv[1:])
    kept = (
        {"versions": versions(), "command": command}
        if there is None
        else {"versions": there["versions"], "command": there["command"]}
    )
    write_json(path, {**spec.to_json(), **kept})


def _clear(directory: Path) -> None:
    """Removes what a run writes, and nothing else."""
    for name in ("result.json", "history.jsonl", "timing.jsonl", "spec.json", "error.log", "report.html"):
        (directory / name).unlink(missing_ok=True)
    for name in ("checkpoints", "samples"):
        shutil.rmtree(directory / name, ignore_errors=True)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _resume(trainer: Trainer, directory: Path) -> tuple[checkpoint.Checkpoint | None, list[str]]:
    """Puts a trainer where the newest intact checkpoint stood."""
    found, skipped = checkpoint.newest(directory / "checkpoints")
    if found is not None:
        trainer.lanes = restored(trainer.lanes, found.tensors)
        trainer.rounds = found.rounds
    return found, skipped


class _Execution:
    """One sitting of a run: the loop with its records."""

    def __init__(
        self,
        spec: RunSpec,
        directory: Path,
        device: torch.device,
        progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool],
        checkpoint_seconds: float,
    ) -> None:
        self.spec, self.directory, self.device = spec, directory, device
        self.progress, self.stop, self.checkpoint_seconds = progress, stop, checkpoint_seconds
        self.trainer = Trainer(spec, device=device)
        self.history, self.timing = directory / "history.jsonl", directory / "timing.jsonl"
        self.modes_solid: list[int] | None = None
        self.warnings: list[str] = []

    def run(self) -> None:
        """From the newest checkpoint, or the start, to the result."""
        (self.directory / "result.json").unlink(missing_ok=True)
        self._continue()
        started, first = time.monotonic(), self.trainer.update
        saved = started
        for point in self._points():
            while self.trainer.update < point:
                step = SLICE * self.spec.method.dynamics.critic_steps
                self.trainer.advance(min(point, self.trainer.update + step))
                self._tell(started, first)
                if self.trainer.update < point:
                    saved = self._look_up(started, first, saved)
            self._write(point)
            # Only now does the history hold all that a checkpoint at this update claims.
            if point < self.spec.updates:
                saved = self._look_up(started, first, saved)
        self._save(started, first)
        write_json(self.directory / "result.json", self._result())

    def _look_up(self, started: float, first: int, saved: float) -> float:
        """Saves when it is time, or when asked to stop; returns when the last checkpoint was saved."""
        asked = self.stop()
        if not asked and time.monotonic() - saved <= self.checkpoint_seconds:
            return saved
        self._save(started, first)
        if asked:
            raise Stopped(str(self.directory))
        return time.monotonic()

    def _continue(self) -> None:
        found, skipped = _resume(self.trainer, self.directory)
        self.warnings += skipped
        length = found.history_bytes if found else 0
        if self.history.exists():
            with self.history.open("rb+") as stream:
                stream.truncate(length)
        written = _read_json(self.directory / "spec.json")["versions"]
        for name, now in versions().items():
            if written.get(name) != now:
                self.warnings.append(
                    f"Started under {name} {written.get(name)}, continued under {now}: equal in law only."
                )
        self._done = self.trainer.update if found else -1

    def _points(self) -> list[int]:
        """Updates at which something is written, in order, after where this sitting starts."""
        steps = self.spec.method.dynamics.critic_steps
        wanted = {
            *self._snapshots(),
            *(math.ceil(k * self.spec.updates / LOSS_LINES) for k in range(1, LOSS_LINES + 1)),
        }
        points = sorted({math.ceil(point / steps) * steps for point in wanted})
        return [point for point in points if point > self._done]

    def _snapshots(self) -> set[int]:
        steps = self.spec.method.dynamics.critic_steps
        return {math.ceil(share * self.spec.updates / steps) * steps for share in SNAPSHOTS}

    def _write(self, point: int) -> None:
        """The history lines of one update."""
        if point > 0:
            append_line(self.history, {"update": point, "losses": _finite(self.trainer.losses())})
        if point in self._snapshots():
            append_line(self.history, self._snapshot(point))
        self._done = point

    def _snapshot(self, update: int) -> dict[str, Any]:
        """Keeps and judges samples of every lane."""
        task = self.spec.task
        kept = self._kept(final=False)
        samples = self.trainer.samples(kept)
        self._write_samples(self.directory / "samples" / f"step-{update:08d}.npz", samples=samples)
        judged = self.trainer.samples(min(task.measure_size, 2_500))
        measures = [mode_measures(lane, task) for lane in judged.cpu()]
        self.modes_solid = [int(one["modes_solid"] or 0) for one in measures]
        counts = [mode_counts(lane, task)[0] for lane in judged.cpu()]
        return {
            "update": update,
            "snapshot": True,
            "measures": {key: [one[key] for one in measures] for key in TRACKED},
            "shares": [[float(count) / judged.shape[1] for count in lane] for lane in counts],
        }

    def _kept(self, *, final: bool) -> int:
        flat = math.prod(self.spec.task.shape)
        return (2_500 if final else 500) if flat <= 16 else (1_000 if final else 200)

    def _write_samples(self, path: Path, **arrays: Tensor) -> None:
        import io

        content = {name: value.cpu().numpy().astype(np.float32) for name, value in arrays.items()}
        if self.spec.method.labelled:
            first = next(iter(content.values()))
            labels = self.spec.task.balanced_labels(first.shape[1]).numpy()
            content["labels"] = np.tile(labels, (first.shape[0], 1))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **content)  # type: ignore[arg-type]
        write_atomic(path, buffer.getvalue())

    def _save(self, started: float, first: int) -> None:
        """A checkpoint that covers the history as it is, and a line of clocks."""
        length = self.history.stat().st_size if self.history.exists() else 0
        trainer = self.trainer
        checkpoint.save(
            self.directory / "checkpoints",
            flatten(trainer.lanes),
            update=trainer.update,
            rounds=trainer.rounds,
            history_bytes=length,
        )
        seconds = time.monotonic() - started
        line = {"update": trainer.update, "from": first, "seconds": seconds, "device": _device_name(self.device)}
        append_line(self.timing, {**line, "updates_per_second": self._speed(started, first)})

    def _speed(self, started: float, first: int) -> float:
        """Updates of all lanes together in a second of this sitting."""
        return (self.trainer.update - first) * len(self.spec.seeds) / max(time.monotonic() - started, 1e-9)

    def _tell(self, started: float, first: int) -> None:
        if self.progress is None:
            return
        spec = self.spec
        self.progress(
            Progress(
                method=spec.method.name,
                task=spec.task.name,
                seeds=spec.seeds,
                update=self.trainer.update,
                updates=spec.updates,
                updates_per_second=self._speed(started, first),
                modes_solid=self.modes_solid,
                modes=len(spec.task.modes),
                diverged=list(self.trainer.diverged()) if self.device.type == "cpu" else [],
            )
        )

    def _result(self) -> dict[str, Any]:
        """The judgement of every lane, and what it cost."""
        spec, trainer = self.spec, self.trainer
        kept = self._kept(final=True)
        self._write_samples(
            self.directory / "samples" / "final.npz",
            samples=trainer.samples(kept),
            live=trainer.samples(kept, averaged=False),
        )
        size, diverged = spec.task.measure_size, trainer.diverged()
        judged = {name: trainer.samples(size, averaged=name == "averaged").cpu() for name in ("averaged", "live")}
        lanes = [
            {
                "seed": seed,
                "diverged_at": diverged.get(seed),
                "measures": {name: mode_measures(samples[lane], spec.task) for name, samples in judged.items()},
                "counts": {name: _counts(samples[lane], spec.task) for name, samples in judged.items()},
            }
            for lane, seed in enumerate(spec.seeds)
        ]
        modes = spec.task.modes
        return {
            "schema": 1,
            "status": "finished",
            "hash": spec.hash,
            "method": spec.method.name,
            "task": spec.task.name,
            "seeds": list(spec.seeds),
            "updates": trainer.update,
            "n_samples": size,
            "modes": {"names": list(modes.names), "weights": modes.weights.tolist()},
            "lanes": lanes,
            "cost": self._cost(),
            "versions": versions(),
            "warnings": self.warnings,
        }

    def _cost(self) -> dict[str, Any]:
        """What fairness compares: updates, real samples read, parameters, device."""
        trainer, method = self.trainer, self.spec.method
        reading = trainer.update + (trainer.generator_updates if method.generator_sees_real else 0)
        return {
            "critic_updates": trainer.update,
            "generator_updates": trainer.generator_updates,
            "real_samples": reading * self.spec.batch,
            "parameters": trainer.parameter_counts(),
            "device": _device_name(self.device),
        }


def _counts(samples: Tensor, task: Any) -> dict[str, list[int]]:
    every, fine = mode_counts(samples, task)
    return {"all": every.tolist(), "high_quality": fine.tolist()}


def _finite(losses: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
    """Losses that JSON can hold: None for what is not finite."""
    return {
        name: [value if value is not None and math.isfinite(value) else None for value in values]
        for name, values in losses.items()
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


__all__ = [
    "Progress",
    "Run",
    "RunSpec",
    "Stopped",
    "choose_device",
    "execute",
    "is_finished",
    "load",
    "make_spec",
    "read_result",
    "train",
    "versions",
]
