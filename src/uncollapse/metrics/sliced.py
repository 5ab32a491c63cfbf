"""Sliced Wasserstein distance: squared optimal transport along many directions, freed of its bias."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.metrics.bures import side_by_side
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.frechet_spread import Scatter
from uncollapse.metrics.inputs import Features, Rows, both, check_count, check_level, chunks, seeded, squares_fit
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.pair_sums import NO_SPREAD, identical
from uncollapse.metrics.pairs import EXACT_WORK, full_precision

# Random halvings of the rows.
HALVINGS = 8
# Blocks of directions whose means tell the spread over directions; with fewer, single directions do.
ENOUGH_BLOCKS = 10
# Positions held at a time, and looked at together.
HELD_NUMBERS, STRIP_NUMBERS = 2**24, 2**16

# Float64, or float32 where there is much work.
Array = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]


def sliced_wasserstein(
    *,
    real: Rows,
    fake: Rows,
    projections: int = 1000,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Sliced squared Wasserstein distance of the populations, in the normalisation of MIND.

    3 d mean_u [W(u'X, u'Y) - V(u'X) - V(u'Y)] over unit directions u, with W the squared 2-Wasserstein distance on the
    line and V(x) = W(x1, x2) / 2 - W(x3, x4) / 8 what finite rows add to it: 1, 2 are random halves of a side and 3, 4
    quarters of it. Directions come in orthogonal blocks, which cancels much of
    their noise. Two Gaussians that differ by a shift D are 3 |D|^2 apart. The value may fall below 0 at equality.
    Reference: Bonneel et al. 2015 (sliced); 2026, arXiv:2605.06797 (MIND: the factor 3 d).

    Args:
        real: (n, d) feature rows.
        fake: (m, d) feature rows; n and m may differ.
        projections: Number of directions, rounded up to whole blocks of d where there are several.
        level: Nominal coverage; None for no interval.
        generator: Source of directions and halves; a fresh one of seed 0 when None.

    Returns:
        Squared feature units; 0 for equal distributions.

    Raises:
        UserError: Fewer than four rows a side, no projections, unequal widths, or rows that are not finite.
    """
    check_level(level)
    check_projections(projections)
    sides = both(real, fake, least=4)
    draws = seeded(generator)
    slices = _Slices(sides, draws, wanted=level is not None)
    directions = orthogonal(sides[0].width, projections, draws)
    slices.add(torch.cat(directions))
    value, ends = slices.finish(level, block=len(directions[0]))
    constant = level is not None and all(identical(side) for side in sides)
    return find_metric("sliced_wasserstein").estimate(
        value,
        (None, None) if constant else ends,
        level=level,
        reason=NO_SPREAD if constant else None,
        n_real=len(sides[0]),
        n_fake=len(sides[1]),
        details={"projections": sum(len(block) for block in directions)},
    )


def check_projections(projections: int) -> None:
    """Refuses what is no number of directions.

    Raises:
        UserError: It is no whole number of 1 or more.
    """
    check_count(projections, "projections", more=", for example 1000")


def orthogonal(width: int, count: int, draws: torch.Generator) -> list[Tensor]:
    """At least `count` uniform unit directions in blocks (k, d) of orthonormal rows, k = min(d, count)."""
    # A line has one direction.
    count = 1 if width == 1 else count
    size = min(width, count)
    drawn = [torch.randn(width, size, generator=draws, dtype=torch.float64) for _ in range(math.ceil(count / size))]
    return side_by_side([partial(_orthonormal, columns) for columns in drawn])


def _orthonormal(columns: Tensor) -> Tensor:
    q, r = torch.linalg.qr(columns)
    # The signs of R make the block uniform over all rotations.
    block: Tensor = (q * torch.where(r.diagonal() < 0, -1.0, 1.0)).T.contiguous()
    return block


def quantile_gaps(n: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where the two step quantile functions of n and m sorted numbers are constant together.

    Returns:
        Index into the n, index into the m, and width of every stretch of (0, 1).
    """
    ends = torch.unique(torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]))
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    return starts // m, starts // n, (ends - starts).double() / (n * m)


@dataclass(frozen=True)
class _Seen:
    """What some directions showed.

    Attributes:
        values: Squared distance less what finite samples add to it, (k,).
        variances: Of the real rows' positions, (k,).
        apart: Sum over directions of a quarter of the squared distance of two halves, (halvings, 2 sides).
        moved: For each side, the sum over directions of what each row does to the distance (n,); empty if not wanted.
    """

    values: Array
    variances: Array
    apart: Array
    moved: tuple[Array, ...]


@dataclass(eq=False)
class _Slices:
    """Looks along directions: the products are made where the rows are, the sorting is done on the CPU."""

    sides: tuple[Features, Features]
    draws: torch.Generator
    wanted: bool
    seen: list[_Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        work = float(max(len(side) for side in self.sides)) * self.sides[0].width
        exact = work * 1000 <= EXACT_WORK or any(
            side.x.dtype == torch.float64 or not squares_fit(side.x) for side in self.sides
        )
        self.dtype = torch.float64 if exact else torch.float32
        one, other, widths = (item.numpy() for item in quantile_gaps(*(len(side) for side in self.sides)))
        self.stretches, self.widths = (one, other), widths
        self.starts = [
            np.searchsorted(index, np.arange(len(side))) for index, side in zip((one, other), self.sides, strict=True)
        ]
        self.codes = [_halvings(side, self.draws) for side in self.sides]
        self.moved = [np.zeros(len(side)) for side in self.sides]

    def add(self, directions: Tensor) -> None:
        """Looks along some directions (k, d)."""
        total = sum(len(side) for side in self.sides)
        # Strips small enough for a processor's cache; NumPy lets other threads run meanwhile.
        few = max(1, STRIP_NUMBERS // total)
        for some in torch.split(directions.to(self.sides[0].x.device), max(1, HELD_NUMBERS // total)):
            real, fake = (self._project(side, some) for side in self.sides)
            parts = [slice(start, start + few) for start in range(0, len(some), few)]
            for seen in side_by_side([partial(self._along, real[part], fake[part]) for part in parts]):
                # Kept as sums: one number a row and strip would take more memory than the rows.
                for so_far, moved in zip(self.moved, seen.moved, strict=False):
                    so_far += moved
                self.seen.append(replace(seen, moved=()))

    def _project(self, side: Features, directions: Tensor) -> Array:
        """Positions along directions, (k, n), from the middle of the real rows."""
        directions = directions.to(self.dtype)
        result = directions.new_empty(len(directions), len(side))
        with full_precision():
            for part in chunks(len(side), side.width):
                x = (side.x[part].double() - self.sides[0].mean).to(self.dtype)
                result[:, part] = directions @ x.T
        return result.cpu().numpy()

    def _along(self, *positions: Array) -> _Seen:
        orders = [rows.argsort(1) for rows in positions]
        x, y = (np.take_along_axis(rows, order, 1) for rows, order in zip(positions, orders, strict=True))
        gaps = x[:, self.stretches[0]] - y[:, self.stretches[1]]
        values = np.einsum("kn,kn,n->k", gaps, gaps, self.widths, dtype=np.float64)
        apart = np.zeros((HALVINGS, 2))
        for which, (rows, order) in enumerate(zip((x, y), orders, strict=True)):
            noise, apart[:, which] = _noise(rows, order, self.codes[which])
            values -= noise
        moved: tuple[Array, ...] = ()
        if self.wanted:
            moved = self._moved(0, x, y, orders[0]), self._moved(1, y, x, orders[1])
        return _Seen(values, x.var(1, ddof=1, dtype=np.float64), apart, moved)

    def _moved(self, which: int, mine: Array, other: Array, order: Indices) -> Array:
        """What each row of a side does to the distance: the potential of the optimal transport on the line."""
        n = mine.shape[1]
        target = other[:, self.stretches[1 - which]] * self.widths
        step = mine - n * np.add.reduceat(target, self.starts[which], axis=1)
        pieces = (step[:, 1:] + step[:, :-1]) * (mine[:, 1:] - mine[:, :-1])
        potential = np.zeros_like(step)
        pieces.cumsum(1, out=potential[:, 1:])
        potential -= potential.mean(1, keepdims=True)
        return np.bincount(order.ravel(), potential.ravel(), minlength=n).astype(np.float64, copy=False)

    def finish(self, level: float | None, *, block: int) -> tuple[float, tuple[float, float]]:
        """The number and its interval; directions came in orthogonal blocks of so many."""
        values = np.concatenate([seen.values for seen in self.seen])
        scale, count = 3 * self.sides[0].width, len(values)
        value = scale * float(values.mean())
        if level is None:
            return value, (value, value)
        sizes = [len(side) for side in self.sides]
        moved = [total * (scale / count) for total in self.moved]
        linear = sum(float(one.var(ddof=1)) / n for one, n in zip(moved, sizes, strict=True))
        apart = np.sum([seen.apart for seen in self.seen], 0) * (scale / count)
        own = float(apart.var(0, ddof=1).sum())
        # The halvings show the second order of each side alone; (1/n + 1/m)^2 adds that of pairs across.
        curved = own * sum(1 / n for n in sizes) ** 2 / sum(1 / n**2 for n in sizes)
        # Going on from quarters to halves doubles the noise of the halvings.
        chance = 4 * own / HALVINGS + scale**2 * _mean_noise(values, block)
        linear, curved = linear + chance, curved + chance
        near = Scatter(linear=linear, curved=curved, bias=0.0, slope=0.0, freedom=self._freedom())
        # The upper end does not take the second order off the first: a small number may be one of far populations,
        # where that part, mass that crosses gaps between modes, is not in what the first order shows.
        far = replace(near, linear=linear + 2 * curved)
        (low, _), (_, high) = near.around(value, level), far.around(value, level)
        # The population value is never below 0: the interval need not reach there.
        return value, (max(low, 0.0), max(high, 0.0))

    def _freedom(self) -> float:
        """How many equal squares the number is like at equality: three on a line, more in many even directions.

        The effective number of features, (tr S)^2 / tr S^2, shows in how the variance differs between directions.
        """
        variances, d = np.concatenate([seen.variances for seen in self.seen]), self.sides[0].width
        middle = float(variances.mean())
        uneven = float(variances.var(ddof=1)) / middle**2 if len(variances) > 1 and middle > 0 else 0.0
        return 1 + 1.5 * d / (1 + uneven * (d + 2) / 2)


def _mean_noise(values: Array, block: int) -> float:
    """Variance of the mean over directions: between blocks where there are many, else as if all were independent."""
    groups = values.reshape(-1, block).mean(1) if len(values) >= ENOUGH_BLOCKS * block else values
    return float(groups.var(ddof=1)) / len(groups) if len(groups) > 1 else 0.0


def _noise(rows: Array, order: Indices, codes: NDArray[np.uint8]) -> tuple[Array, Array]:
    """What finite samples of a side add to the squared distance, from sorted rows (k, n) and where they came from.

    For halves a quarter of their squared distance. That times n still grows like log log n, so the step from
    quarters to halves is taken once more. The parts need no sorting: they keep the order of the whole.

    Returns:
        That for each direction (k,), and for each halving the sum over directions of the halves' part.
    """
    total, apart = np.zeros(len(rows)), np.zeros(len(codes))
    for k, code in enumerate(codes):
        group = code[order]
        halves, quarters = [], []
        for first, second in ((1, 2), (3, 4)):
            half, own = _picked((group == first) | (group == second), rows, group)
            halves.append(half)
            quarters.append(_gap(_picked(own == first, half)[0], _picked(own == second, half)[0]))
        gap = _gap(*halves) / 4
        total += 2 * gap - (quarters[0] + quarters[1]) / 16
        apart[k] = gap.sum()
    # Rows left over make the parts a little smaller than a half and a quarter.
    return total / len(codes) * (4 * (rows.shape[1] // 4) / rows.shape[1]), apart


def _picked(flags: NDArray[np.bool_], *tables: NDArray[Any]) -> list[NDArray[Any]]:
    """The flagged entries of each row of tables (k, n), equally many in all rows: (k, flagged) each."""
    # Taking by indices, and finding these, costs a fraction of taking by flags.
    index = np.flatnonzero(flags)
    return [table.ravel()[index].reshape(len(table), -1) for table in tables]


def _gap(first: Array, second: Array) -> Array:
    """Squared distance of equally many sorted numbers, per direction."""
    apart = first - second
    found: Array = np.einsum("kn,kn->k", apart, apart, dtype=np.float64) / apart.shape[1]
    return found


def _halvings(side: Features, draws: torch.Generator) -> NDArray[np.uint8]:
    """Random quarters of the rows for each halving, 1 to 4, 0 for left out (halvings, n).

    Quarters 1 and 2 are one half and 3 and 4 the other.
    """
    codes = torch.zeros(HALVINGS, len(side), dtype=torch.uint8)
    for code in codes:
        quarters = torch.randperm(len(side), generator=draws)[: 4 * (len(side) // 4)].view(4, -1)
        for group, chosen in enumerate(quarters, start=1):
            code[chosen] = group
    placed = torch.empty_like(codes)
    placed[:, side.order.cpu()] = codes
    return placed.numpy()
