"""One sitting of a run: the loop with its records, from the newest checkpoint to the result or to a stop.

`run.py` decides whether a sitting is needed and owns the directory; this file writes what is in it.
"""

from __future__ import annotations

import io
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uncollapse import checkpoint
from uncollapse.errors import UserError
from uncollapse.files import append_line, read_lines, write_atomic, write_json
from uncollapse.loop import Trainer
from uncollapse.metrics.modes import judged
from uncollapse.spec import RunSpec
from uncollapse.tasks.task import PLANAR
from uncollapse.trees import flatten, restored
from uncollapse.versions import versions

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


def read_json(path: Path) -> dict[str, Any]:
    """One JSON document, with a sentence for a damaged one."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore it, or train again with --fresh.") from error
    return found


def resume(
    trainer: Trainer, spec: RunSpec, directory: Path, history: int | None = None
) -> tuple[checkpoint.Checkpoint | None, list[str]]:
    """Puts a trainer where the newest intact checkpoint of its run stood that needs no more history than there is.

    Args:
        trainer: A trainer of `spec`.
        spec: The run.
        directory: Its directory.
        history: Bytes of its history; None: do not look.

    Returns:
        The checkpoint, None if there is none, and a sentence for each newer one that was skipped.

    Raises:
        UserError: The checkpoint does not fit, because another version of the code wrote it.
    """
    found, skipped = checkpoint.newest(directory / "checkpoints", spec=spec.hash, history=history)
    if found is not None:
        try:
            trainer.lanes = restored(trainer.lanes, found.tensors)
        except (KeyError, ValueError) as error:
            raise UserError(
                f"The checkpoint in {directory} does not fit this version ({error}); train again with --fresh."
            ) from error
        trainer.rounds = found.rounds
    return found, skipped


class Sitting:
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
        there = self.history.stat().st_size if self.history.exists() else 0
        found, skipped = resume(self.trainer, self.spec, self.directory, there)
        self.warnings += skipped
        length = found.history_bytes if found else 0
        if self.history.exists():
            with self.history.open("rb+") as stream:
                stream.truncate(length)
        if found is not None:
            self.warnings += self._changes()
        self._done = self.trainer.update if found else -1

    def _changes(self) -> list[str]:
        """What is not as it was when the run began, so that it continues with numbers that are equal in law only."""
        began = read_json(self.directory / "spec.json")["versions"]
        sittings = read_lines(self.timing)
        if sittings:
            began = {**began, "device": sittings[0].get("device")}
        now = {**versions(), "device": _device_name(self.device)}
        return [
            f"Started under {name} {began[name]}, continued under {now[name]}: equal in law only."
            for name in now
            if name in began and began[name] != now[name]
        ]

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
            state = self.trainer.loss_state()
            line = {"update": point, "losses": _finite(self.trainer.losses())}
            append_line(self.history, line | ({"state": _finite(state)} if state else {}))
        if point in self._snapshots():
            append_line(self.history, self._snapshot(point))
        self._done = point

    def _snapshot(self, update: int) -> dict[str, Any]:
        """Keeps samples of every lane and judges both of its generators; a frozen lane is judged no more."""
        samples = self.trainer.samples(self._kept(final=False))
        self._write_samples(self.directory / "samples" / f"step-{update:08d}.npz", samples=samples)
        averaged, live = (self._judged(averaged=which) for which in (True, False))
        self.modes_solid = [int(value or 0) for value in averaged["measures"]["modes_solid"]]
        both = {**averaged, **{f"{name}_live": value for name, value in live.items()}}
        return {"update": update, "snapshot": True, **both}

    def _judged(self, *, averaged: bool) -> dict[str, Any]:
        """The tracked measures and the shares of the modes of every lane, None for a frozen one."""
        task, diverged = self.spec.task, self.trainer.diverged()
        samples = self.trainer.samples(task.snapshot_size, averaged=averaged).cpu()
        measures: dict[str, list[float | None]] = {key: [] for key in TRACKED}
        shares: list[list[float] | None] = []
        for seed, lane in zip(self.spec.seeds, samples, strict=True):
            found: dict[str, float | None] = {}
            share: list[float] | None = None
            if seed not in diverged:
                found, every, _ = judged(lane, task)
                share = [float(count) / len(lane) for count in every]
            for key in TRACKED:
                measures[key].append(found.get(key))
            shares.append(share)
        return {"measures": measures, "shares": shares}

    def _kept(self, *, final: bool) -> int:
        planar = math.prod(self.spec.task.shape) <= PLANAR
        return (2_500 if final else 500) if planar else (1_000 if final else 200)

    def _write_samples(self, path: Path, **arrays: Tensor) -> None:
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
        with self.history.open("ab") as stream:
            os.fsync(stream.fileno())  # the lines must be on the disk before a checkpoint builds on them
            length = stream.tell()
        trainer = self.trainer
        checkpoint.save(
            self.directory / "checkpoints",
            flatten(trainer.lanes),
            spec=self.spec.hash,
            update=trainer.update,
            rounds=trainer.rounds,
            history_bytes=length,
        )
        seconds = time.monotonic() - started
        line = {"update": trainer.update, "from": first, "seconds": seconds, "device": _device_name(self.device)}
        said = {"warnings": self.warnings} if self.warnings else {}
        append_line(self.timing, {**line, "updates_per_second": self._speed(started, first), **said})

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
        drawn = {name: trainer.samples(size, averaged=name == "averaged").cpu() for name in ("averaged", "live")}
        lanes = []
        labels = spec.task.balanced_labels(size) if spec.method.labelled else None
        for lane, seed in enumerate(spec.seeds):
            found = {name: judged(samples[lane], spec.task) for name, samples in drawn.items()}
            further = {
                name: {} if seed in diverged else spec.task.further_measures(samples[lane], labels)
                for name, samples in drawn.items()
            }
            lanes.append(
                {
                    "seed": seed,
                    "diverged_at": diverged.get(seed),
                    "measures": {name: measures | further[name] for name, (measures, _, _) in found.items()},
                    "counts": {
                        name: {"all": every.tolist(), "high_quality": fine.tolist()}
                        for name, (_, every, fine) in found.items()
                    },
                }
            )
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
            "warnings": self._said(),
        }

    def _said(self) -> list[str]:
        """The warnings of all sittings, each once."""
        return list(dict.fromkeys(text for line in read_lines(self.timing) for text in line.get("warnings", ())))

    def _cost(self) -> dict[str, Any]:
        """What fairness compares: updates, real samples read, parameters, device."""
        trainer = self.trainer
        return {
            "critic_updates": trainer.update,
            "generator_updates": trainer.generator_updates,
            "real_samples": trainer.real_samples(),
            "parameters": trainer.parameter_counts(),
            "device": _device_name(self.device),
        }


def _finite(losses: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
    """Losses that JSON can hold: None for what is not finite."""
    return {
        name: [value if value is not None and math.isfinite(value) else None for value in values]
        for name, values in losses.items()
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
