"""The kernels of `kernels`, as functions of a tile of the walk over all pairs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.inputs import Features, chunks
from uncollapse.metrics.pairs import Pair, Tile


class CubicKernel:
    """k(x, y) = (x'y / d + 1)^3 from the dot products of rows centred at mu.

    x'y = (x - mu)'(y - mu) + (x - mu)'mu + (y - mu)'mu + mu'mu: the walk's product plus numbers of the row and of the
    column. Values are k less its value at mu, which cancels in every discrepancy and would cost digits, and divided
    by the largest possible value, so that nothing overflows.

    Attributes:
        unit: What values must be multiplied by.
    """

    def __init__(self, pair: Pair) -> None:
        """Finds the additions.

        Raises:
            UserError: Features so large that the kernel overflows.
        """
        width, mean = pair.real.width, pair.real.mean
        along = {name: _along(rows, mean) for name, rows in pair.centred.items()}
        squares = [float(squared_lengths(side.x).max()) for side in (pair.real, pair.fake)]
        bound = 1 + max(squares) / width
        self.unit = bound**3 if bound < 1e50 else math.inf
        if not math.isfinite(self.unit):
            raise UserError(
                "The features are so large that their cubic kernel overflows; divide all features of both sides by "
                "one common number."
            )
        self._each = 1 / (width * bound)
        self._along = {name: (values * self._each).to(pair.dtype) for name, values in along.items()}
        self._centre = (1 + float(mean @ mean) / width) / bound

    def itself(self, side: Features) -> float:
        """Average value of a row of one side with itself."""
        away = (1 + squared_lengths(side.x) / side.width) * self._each * side.width - self._centre
        return float((away * (away * (away + 3 * self._centre) + 3 * self._centre**2)).mean())

    def __call__(self, tile: Tile) -> Tensor:
        """Values of a tile."""
        rows = self._along["real" if tile.side == "cross" else tile.side][tile.rows]
        columns = self._along["fake" if tile.side == "cross" else tile.side][tile.columns]
        return self._values(tile.products, rows, columns)

    def between(self, one: tuple[str, Tensor, Tensor], other: tuple[str, Tensor, Tensor]) -> Tensor:
        """Values between some rows of one side and some of another, each as (side, centred rows, their indices)."""
        (name, x, index), (other_name, y, other_index) = one, other
        return self._values(x @ y.T, self._along[name][index], self._along[other_name][other_index])

    def _values(self, products: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        # (c + v)^3 - c^3 = v (v (v + 3 c) + 3 c^2).
        away = torch.add(rows[:, None], products, alpha=self._each).add_(columns)
        values = away + 3 * self._centre
        return values.mul_(away).add_(3 * self._centre**2).mul_(away)


class GaussianKernel:
    """k(x, y) - 1 for k = exp(-|x/|x| - y/|y||^2 / (2 sigma^2)), the Gaussian kernel on unit rows.

    |x/|x| - y/|y||^2 = (|x - y|^2 - (|x| - |y|)^2) / (|x| |y|): the walk's distances less numbers of the row and of
    the column. The 1 cancels in every discrepancy; without it kernels close to 1 keep their digits.
    """

    def __init__(self, pair: Pair, sigma: float) -> None:
        """Finds the lengths of the rows.

        Raises:
            UserError: A row is 0.
        """
        self._sides = pair.sides
        self._exact = {name: unit_lengths(side) for name, side in self._sides.items()}
        self._lengths = {name: lengths.to(pair.dtype) for name, lengths in self._exact.items()}
        self._inverse = {name: (1 / lengths).to(pair.dtype) for name, lengths in self._exact.items()}
        self._factor = -1 / (2 * sigma**2)

    def __call__(self, tile: Tile) -> Tensor:
        """Values of a tile."""
        left, right = ("real", "fake") if tile.side == "cross" else (tile.side, tile.side)
        gap = self._lengths[left][tile.rows][:, None] - self._lengths[right][tile.columns]
        values = torch.addcmul(tile.squared, gap, gap, value=-1)
        values *= self._inverse[left][tile.rows][:, None] * self._factor
        return values.mul_(self._inverse[right][tile.columns]).expm1_()

    def between_means(self) -> float:
        """Squared distance between the means of real and fake unit rows."""
        means = []
        for name, side in self._sides.items():
            lengths = self._exact[name]
            index = torch.arange(len(side), device=lengths.device)
            parts = [side.exact(index[part]) / lengths[part, None] for part in chunks(len(side), side.width)]
            means.append(torch.stack([part.sum(0) for part in parts]).sum(0) / len(side))
        return float((means[0] - means[1]).square().sum())


def unit_lengths(side: Features) -> Tensor:
    """Euclidean length of each ordered row in float64 (n,).

    Raises:
        UserError: A row is 0 and cannot be scaled to unit length.
    """
    lengths = squared_lengths(side.x).sqrt()[side.order]
    zero = int((lengths == 0).sum())
    if zero:
        raise UserError(
            f"{side.name} has {zero} {'row' if zero == 1 else 'rows'} of zeros only, which cannot be scaled to unit "
            "length; leave them out, or use a metric of plain distances."
        )
    return lengths


def squared_lengths(x: Tensor) -> Tensor:
    """Squared Euclidean length of each row in float64 (n,)."""
    found = torch.empty(len(x), dtype=torch.float64, device=x.device)
    for part in chunks(*x.shape):
        found[part] = x[part].double().square().sum(1)
    return found


def _along(rows: Tensor, mean: Tensor) -> Tensor:
    found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    for part in chunks(*rows.shape):
        found[part] = rows[part].double() @ mean
    return found
