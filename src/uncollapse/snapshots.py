"""What a run keeps of its samples while it trains and at the end, and how it judges them.

Between `sitting.py`, which decides when, and `metrics/modes.py`, which counts; `result.json` is put together here.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uncollapse.checkpoint import Measure
from uncollapse.files import write_atomic
from uncollapse.loop import Trainer
from uncollapse.metrics.modes import judged
from uncollapse.spec import RunSpec
from uncollapse.tasks.task import PLANAR
from uncollapse.versions import versions

# Shares of the budget at which samples are kept and judged; early ones are dense, because collapse starts early.
SNAPSHOTS = (0.0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
TRACKED = ("modes_solid", "modes_hit", "high_quality_share")


def kept(spec: RunSpec, *, final: bool) -> int:
    """Samples of a seed that are kept, at the end or at a snapshot."""
    planar = math.prod(spec.task.shape) <= PLANAR
    return (2_500 if final else 500) if planar else (1_000 if final else 200)


def write_samples(path: Path, spec: RunSpec, **arrays: Tensor) -> None:
    """Writes samples (seeds, n, *shape) by name as float32, with the labels that were asked for.

    Raises:
        OSError: For example when the disk is full; nothing is left then.
    """
    content = {name: value.cpu().numpy().astype(np.float32) for name, value in arrays.items()}
    if spec.method.labelled:
        first = next(iter(content.values()))
        labels = spec.task.balanced_labels(first.shape[1]).numpy()
        content["labels"] = np.tile(labels, (first.shape[0], 1))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def snapshot(trainer: Trainer, spec: RunSpec) -> dict[str, Any]:
    """The tracked measures and the shares of the modes of both generators of every lane, None for a frozen one."""
    averaged, live = (_tracked(trainer, spec, averaged=which) for which in (True, False))
    return {**averaged, **{f"{name}_live": value for name, value in live.items()}}


def worth(measures: Mapping[str, Sequence[float | None]]) -> Measure | None:
    """By what checkpoints are compared: the means of two measures over the seeds that live.

    Args:
        measures: One number a seed by name, None for a frozen seed.

    Returns:
        None where no seed lives, or where a task does not measure it.
    """
    means = []
    for key in ("modes_solid", "high_quality_share"):
        values = [value for value in measures[key] if value is not None]
        if not values:
            return None
        means.append(sum(values) / len(values))
    return means[0], means[1]


def _tracked(trainer: Trainer, spec: RunSpec, *, averaged: bool) -> dict[str, Any]:
    task, diverged = spec.task, trainer.diverged()
    measures: dict[str, list[float | None]] = {key: [] for key in TRACKED}
    shares: list[list[float] | None] = []
    for place, seed in enumerate(spec.seeds):
        found: dict[str, float | None] = {}
        share: list[float] | None = None
        if seed not in diverged:
            samples = trainer.lane_samples(place, task.snapshot_size, averaged=averaged).cpu()
            found, every, _ = judged(samples, task)
            share = [float(count) / len(samples) for count in every]
        for key in TRACKED:
            measures[key].append(found.get(key))
        shares.append(share)
    return {"measures": measures, "shares": shares}


def result(trainer: Trainer, spec: RunSpec, warnings: Sequence[str]) -> dict[str, Any]:
    """The content of `result.json`: the judgement of every lane, and what it cost."""
    size, diverged = spec.task.measure_size, trainer.diverged()
    lanes = [_lane(trainer, spec, place, diverged.get(seed)) for place, seed in enumerate(spec.seeds)]
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
        "cost": _cost(trainer),
        "versions": versions(),
        "warnings": list(warnings),
    }


def _lane(trainer: Trainer, spec: RunSpec, place: int, diverged_at: int | None) -> dict[str, Any]:
    """The judgement of one seed's samples, from the averaged and from the live generator."""
    size = spec.task.measure_size
    labels = spec.task.balanced_labels(size) if spec.method.labelled else None
    measured, counts = {}, {}
    for name in ("averaged", "live"):
        # One set at a time: 100,000 stacked images are a gigabyte.
        samples = trainer.lane_samples(place, size, averaged=name == "averaged").cpu()
        measures, every, fine = judged(samples, spec.task)
        further = {} if diverged_at is not None else spec.task.further_measures(samples, labels)
        measured[name] = measures | further
        counts[name] = {"all": every.tolist(), "high_quality": fine.tolist()}
    return {"seed": spec.seeds[place], "diverged_at": diverged_at, "measures": measured, "counts": counts}


def _cost(trainer: Trainer) -> dict[str, Any]:
    """What fairness compares: updates, real samples read, parameters, device."""
    return {
        "critic_updates": trainer.update,
        "generator_updates": trainer.generator_updates,
        "real_samples": trainer.real_samples(),
        "parameters": trainer.parameter_counts(),
        **placed(trainer),
    }


def placed(trainer: Trainer) -> dict[str, Any]:
    """Where a run is trained: the device, and how many processes where there are several."""
    return {"device": device_name(trainer.device)} | ({"ranks": trainer.ranks} if trainer.ranks > 1 else {})


def device_name(device: torch.device) -> str:
    """What the device is called in records."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
