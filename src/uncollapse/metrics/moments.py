"""Mean and scatter of feature rows, streamed and merged: all that the Fréchet distance needs of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.inputs import Features, Rows, as_features, chunks, squares_fit
from uncollapse.metrics.pairs import EXACT_WORK

# Rows that are widened to float64 together.
STRIP = 64


@dataclass(eq=False)
class Moments:
    """Count, mean and scatter of rows, in float64.

    Batches may come in any number, size and order, on several machines: `update` adds rows, `merge` joins two. With
    D = mean_b - mean_a the merged scatter is M_a + M_b + D D' n_a n_b / (n_a + n_b), so that nothing large is
    subtracted from something large. Reference: Chan, Golub and LeVeque 1983, The American Statistician 37.

    Attributes:
        n: Rows so far.
        mean: Their mean, float64 (d,); (0,) before the first row.
        scatter: Sum of (x - mean)(x - mean)', float64 (d, d).
    """

    n: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    scatter: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))

    @classmethod
    def of(cls, rows: Rows | Features) -> Moments:
        """The moments of rows (n, d).

        Raises:
            UserError: As `update`.
        """
        return cls().update(rows)

    @classmethod
    def of_some(cls, side: Features, rows: Tensor) -> Moments:
        """The moments of some rows of a side, to the bit those of a copy of them, which would take memory.

        Args:
            side: (n, d).
            rows: Which of its rows as given, int64 (m,).
        """
        total = cls()
        for part in chunks(len(rows), side.width, least=2 * side.width):
            total = total.merge(_of_chunk(side.x[rows[part]]))
        return total

    def update(self, rows: Rows | Features) -> Moments:
        """Adds rows, in place.

        Args:
            rows: (n, d) numbers, NumPy or torch; at least one.

        Returns:
            The same object.

        Raises:
            UserError: Not a matrix of finite numbers, of another width than before, or too large to be squared.
        """
        features = as_features(rows, name="rows", least=1)
        for part in chunks(len(features), features.width, least=2 * features.width):
            total = self.merge(_of_chunk(features.x[part]))
            self.n, self.mean, self.scatter = total.n, total.mean, total.scatter
        return self

    def merge(self, other: Moments) -> Moments:
        """The moments of the rows of both, a new object; neither is changed.

        Raises:
            UserError: They differ in width.
        """
        if not self.n or not other.n:
            kept = other if other.n else self
            return Moments(kept.n, kept.mean, kept.scatter)
        if self.width != other.width:
            raise UserError(
                f"Moments of {self.width} and of {other.width} features cannot be joined; use one extractor for all."
            )
        n = self.n + other.n
        shift = other.mean.to(self.mean.device) - self.mean
        scatter = self.scatter + other.scatter.to(self.mean.device)
        scatter.addr_(shift, shift, alpha=self.n * other.n / n)
        return Moments(n, self.mean + shift * (other.n / n), scatter)

    @property
    def width(self) -> int:
        """Number of features d; 0 before the first row."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance, scatter / (n - 1), float64 (d, d).

        Raises:
            UserError: There are fewer than two rows.
        """
        if self.n < 2:
            raise UserError(f"A covariance needs at least 2 rows, not {self.n}; add more with update.")
        return self.scatter / (self.n - 1)


def _of_chunk(rows: Tensor) -> Moments:
    """Moments of rows that fit in memory as float64.

    Where the product is heavy, float32 rows are multiplied in float32 once their mean is gone. Its sums of squares
    would all be off the same way, so these are summed in float64.
    """
    heavy = rows.dtype == torch.float32 and float(len(rows)) * rows.shape[1] ** 2 > EXACT_WORK and squares_fit(rows)
    mean, scatter = _heavy(rows) if heavy else _light(rows)
    if not bool(torch.isfinite(scatter.diagonal()).all() & torch.isfinite(mean).all()):
        raise UserError("The rows hold numbers too large to be squared; divide all features by one constant first.")
    return Moments(len(rows), mean, scatter)


def _light(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scatter in float64 throughout."""
    x = rows.double()
    mean = x.mean(0)
    x = x - mean
    return mean, x.T @ x


def _heavy(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scatter of float32 rows, whose float64 copies stay in a processor's cache."""
    strips = [slice(start, start + STRIP) for start in range(0, len(rows), STRIP)]
    mean = torch.stack([rows[part].double().sum(0) for part in strips]).sum(0) / len(rows)
    centred, squares = torch.empty_like(rows), torch.zeros_like(mean)
    for part in strips:
        x = rows[part].double().sub_(mean)
        centred[part] = x
        squares += x.square_().sum(0)
    scatter = square(centred).double()
    scatter.diagonal().copy_(squares)
    return mean, scatter


def square(x: Tensor) -> Tensor:
    """x' x (d, d); on the CPU through NumPy, which sees that the product is symmetric and computes half of it."""
    if x.device.type != "cpu":
        return x.T @ x
    array = x.numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        return torch.from_numpy(array.T @ array)
