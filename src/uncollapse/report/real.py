"""The real data of a task beside which generated samples are shown, and which seed stands for a method.

Held-out samples are drawn afresh from a fixed stream; a task that cannot be built here (a plugin, a moved file) leaves
the real panels out with the reason, and everything else of the page is unaffected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from uncollapse.errors import UserError
from uncollapse.report.raster import Frame
from uncollapse.report.records import Array, Cell, Lane, Record

if TYPE_CHECKING:
    from uncollapse.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Real:
    """What is known of one task's real data.

    Attributes:
        name: Name of the task.
        task: The task itself, None when it could not be built.
        samples: Held-out samples (n, *shape), None likewise.
        labels: Their labels (n,), None when the data carry none.
        shape: Shape of one sample, from the task or else from the generated samples.
        reason: Why there is no real data; empty otherwise.
    """

    name: str
    task: Task | None
    samples: Array | None
    labels: Array | None
    shape: tuple[int, ...]
    reason: str = ""

    @property
    def planar(self) -> bool:
        """Whether samples are points of the plane."""
        return self.shape == (2,)

    @property
    def labelled(self) -> bool:
        """Whether the modes of the task are the labels of its data."""
        return self.labels is not None and self.task is not None and self.task.classes == len(self.mode_names)

    @property
    def own_arrays(self) -> bool:
        """Whether the data are the user's own arrays."""
        from uncollapse.tasks import Arrays

        return isinstance(self.task, Arrays)

    @property
    def judge(self) -> str:
        """How the class of a sample is told, for captions."""
        if self.own_arrays:
            return "by the nearest training row"
        return "by the nearest true mode" if self.planar else "as the classifier sees them"

    @property
    def images(self) -> bool:
        """Whether samples are images, (h, w) or (channels, h, w)."""
        return len(self.shape) in (2, 3)

    @property
    def centres(self) -> Array | None:
        """True centres (K, 2) of a mixture in the plane, None when the task has none."""
        points = getattr(self.task, "centres", None)
        return np.array(points, float) if points is not None and self.planar else None

    @property
    def mode_names(self) -> tuple[str, ...]:
        """Names of the modes, empty when the task could not be built."""
        return self.task.modes.names if self.task is not None else ()

    def frame(self, fallback: Array) -> Frame:
        """The window around the real samples, or around other samples (n, 2) when there are none."""
        return Frame.around(fallback if self.samples is None else self.samples)

    def assign(self, samples: Array) -> Array | None:
        """The mode of each sample (n,), None when the task could not be built."""
        if self.task is None:
            return None
        import torch

        modes, _ = self.task.assign(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)))
        return modes.numpy()


def real_data(record: Record, name: str, n: int = 2500) -> Real:
    """The real data of one task of the record.

    Args:
        record: What is reported.
        name: Name of the task.
        n: Number of held-out samples to draw.
    """
    from uncollapse.draws import stream
    from uncollapse.tasks import from_spec

    runs = [run for cell in record.of(name) for run in cell.runs]
    shape = next((run.final["samples"].shape[2:] for run in runs if "samples" in run.final), ())
    spec = runs[0].spec.get("task") if runs else None
    try:
        own = runs[0].spec.get("own_task") if runs else None
        task = from_spec(spec if isinstance(spec, dict) else {"name": name}, own)
        samples, labels = task.held_out(n, stream(0, "report"))
    except UserError as error:
        return Real(name=name, task=None, samples=None, labels=None, shape=shape, reason=str(error))
    known = None if labels is None else labels.numpy()
    return Real(name=name, task=task, samples=samples.numpy(), labels=known, shape=tuple(task.shape))


def typical(cell: Cell, key: str = "modes_solid") -> Lane | None:
    """The seed that stands for a method: the (lower) median by `modes_solid` among the seeds that did not diverge.

    Before a result exists, the newest snapshot decides; without any number it is the first seed.
    """
    lanes = [lane for lane in cell.lanes if "samples" in lane.run.final]
    if not lanes:
        return None
    entry = cell.measures.get(key, {}).get("per_seed", ())
    recorded = dict(zip(cell.seeds, entry, strict=True)) if len(entry) == len(cell.seeds) else {}
    ranked = []
    for lane in lanes:
        values = lane.measured(key)[1]
        value = recorded.get(lane.seed, values[-1] if len(values) else None)
        if value is not None and np.isfinite(value) and lane.seed not in cell.diverged:
            ranked.append((float(value), lane.seed, lane))
    if not ranked:
        return lanes[0]
    return sorted(ranked, key=lambda item: item[:2])[(len(ranked) - 1) // 2][2]


def final_samples(lane: Lane, weights: str) -> Array:
    """A lane's last samples (n, *shape) from the wanted weights, non-finite ones dropped."""
    return finite(_last(lane, weights))


def final_labels(lane: Lane, weights: str) -> Array | None:
    """The labels (n,) that `final_samples` were drawn for, None for a method without labels."""
    labels = lane.run.final.get("labels")
    return None if labels is None else labels[lane.index][_sound(_last(lane, weights))]


def finite(samples: Array) -> Array:
    """The samples without those that hold a number that is not finite."""
    return samples[_sound(samples)]


def _last(lane: Lane, weights: str) -> Array:
    arrays = lane.run.final
    every: Array = arrays["live"] if weights == "live" and "live" in arrays else arrays["samples"]
    one: Array = every[lane.index]
    return one


def _sound(samples: Array) -> Array:
    """Which samples (n, ...) hold only finite numbers, bool (n,)."""
    sound: Array = np.asarray(np.isfinite(samples.reshape(len(samples), -1)).all(1))
    return sound
