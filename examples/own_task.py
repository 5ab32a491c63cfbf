"""Data of one's own with modes of its own: ``python examples/own_task.py``.

As a plugin: ``PYTHONPATH=examples uncollapse train r1 moons --plugin own_task:MOONS``.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

import uncollapse as uc
from uncollapse.draws import Draw, stream
from uncollapse.tasks import Modes, Task
from uncollapse.tasks.task import Batch, Source, rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Moons(Task):
    """Two half circles of radius 1 that reach into each other, about which points scatter by `sigma`; one mode each."""

    name: str = "moons"
    sigma: float = 0.05
    shape = (2,)
    classes = 2
    modes = Modes(names=("upper", "lower"), weights=torch.tensor([0.5, 0.5], dtype=torch.float64))

    def sample(self, n: int, draw: Draw) -> Batch:
        """n fresh points (n, 2) and their moons (n,)."""
        moon, angle = draw.integers(2, n), math.pi * draw.uniform(n)
        x = torch.stack([angle.cos(), angle.sin()], dim=1)
        lower = torch.tensor([1.0, 0.5], dtype=draw.dtype, device=draw.device) - x
        return torch.where(moon[:, None] == 0, x, lower) + self.sigma * draw.normal(n, 2), moon

    held_out = sample  # all points are fresh

    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        """Fresh points in every batch, or `train_size` that are drawn once for each seed."""
        if self.train_size is None:
            return self.sample
        return rows(*self.sample(self.train_size, stream(seed, "train set", dtype=dtype)), device=device, dtype=dtype)

    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The nearer moon of each point, and whether it lies within 3 sigma of it."""
        points = x.flatten(1).double()
        distances = torch.stack([to_arc(points), to_arc(torch.tensor([1.0, 0.5]) - points)]).nan_to_num(math.inf)
        (least, moon), finite = distances.min(0), points.isfinite().all(1)
        return torch.where(finite, moon, -1), finite & (least <= 3 * self.sigma)


def to_arc(points: Tensor) -> Tensor:
    """Distance of points (n, 2) to the upper half of the unit circle: below it, to the nearer end."""
    x, y = points.unbind(1)
    return torch.where(y >= 0, (points.norm(dim=1) - 1).abs(), torch.hypot(x.abs() - 1, y))


MOONS = Moons()
if __name__ == "__main__":
    run = uc.train("r1", MOONS, seeds=range(2), updates=300, batch=64)
    print("share of points on a moon:", [lane["measures"]["averaged"]["high_quality_share"] for lane in run.metrics])
