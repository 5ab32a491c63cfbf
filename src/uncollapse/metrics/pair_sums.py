"""Sums of a function over all pairs of rows, and the variance of the averages: what kernels and mean distances share.

An average over pairs is a U-statistic. Its variance has a part of each row (how far the row's own average lies from the
whole) and a part of the pairs alone; the second is all there is when real and fake are alike, so both are estimated.
Reference: Hoeffding 1948, Annals of Mathematical Statistics 19; Serfling 1980, Approximation Theorems, chapter 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

from uncollapse.metrics.bures import one_thread
from uncollapse.metrics.inputs import Features
from uncollapse.metrics.pairs import Pair, Side, Tile

# A strip of a tile small enough to stay in a processor's cache through all passes.
STRIP_NUMBERS = 2**17
# Fewest rows of a side for the variance of the pairs alone.
LEAST_FOR_SPREAD = 4

TileFunction = Callable[[Tile], Tensor]


@dataclass(frozen=True)
class Within:
    """Averages over the pairs of different rows of one side.

    Attributes:
        mean: Average over all pairs.
        rows: Each row's average over the others (n,), float64.
        rest: Variance over pairs of what neither the average nor the two rows explain; NaN below 4 rows.
    """

    mean: float
    rows: Tensor
    rest: float

    @property
    def variance(self) -> float:
        """Variance of `mean` over fresh samples."""
        n = len(self.rows)
        pairs = 2 * self.rest / (n * (n - 1))
        return total_variance(4 * float(self.rows.var()) / n, pairs)


@dataclass(frozen=True)
class Across:
    """Averages over all pairs of a real and a fake row; attributes as in `Within`.

    Attributes:
        mean: Average over all pairs.
        rows: Each real row's average over the fakes (n,).
        columns: Each fake row's average over the reals (m,).
        rest: Variance over pairs of what neither the average nor the two rows explain.
    """

    mean: float
    rows: Tensor
    columns: Tensor
    rest: float


def total_variance(naive: float, pairs: float) -> float:
    """Variance of a U-statistic from the spread of its row averages and the part of the pairs alone.

    The row averages are themselves averages, so their spread holds the part of the pairs twice; once is right.
    """
    return max(naive - 2 * pairs, 0.0) + pairs


def student(value: float, variance: float, n: int, level: float) -> tuple[float, float]:
    """Student's interval with n - 1 degrees of freedom."""
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * math.sqrt(variance)
    return value - half, value + half


# Why constant sides have no interval.
NO_SPREAD = "all rows of each side are identical, so that no spread was seen"


def identical(side: Features) -> bool:
    """Whether all rows of a side are the same."""
    return bool((side.keys == side.keys[0]).all())


class PairSums:
    """A visitor that sums a symmetric function of pairs: by row, by column, and its square; O(n) memory.

    Attributes:
        sides: Which sides it sums over.
    """

    def __init__(self, pair: Pair, sides: Collection[Side], function: TileFunction, *, spread: bool = True) -> None:
        """Starts at zero.

        Args:
            pair: What will be walked.
            sides: Which sides to sum over.
            function: Tile -> a fresh tensor of values (rows, columns), which may be changed.
            spread: Whether to sum squares too, for variances.
        """
        self.sides, self._function, self._spread = sides, function, spread
        sizes = {"real": (len(pair.real),) * 2, "fake": (len(pair.fake),) * 2}
        sizes["cross"] = (len(pair.real), len(pair.fake))
        device = pair.real.x.device
        self._rows = {side: torch.zeros(sizes[side][0], dtype=torch.float64, device=device) for side in sides}
        self._columns = {side: torch.zeros(sizes[side][1], dtype=torch.float64, device=device) for side in sides}
        self._squares = {side: torch.zeros((), dtype=torch.float64, device=device) for side in sides}

    def visit(self, tile: Tile) -> None:
        """Adds one tile."""
        # A strip is too little work to share out.
        with one_thread(not tile.products.is_cuda):
            self._add(tile)

    def _add(self, tile: Tile) -> None:
        for strip in _strips(tile):
            values = self._function(strip)
            if tile.on_diagonal:
                values.diagonal(strip.rows.start - tile.rows.start).zero_()
            # Products with ones are several times faster than sums along an axis.
            self._rows[tile.side][strip.rows] += values @ values.new_ones(values.shape[1])
            # The tile below the diagonal never comes: the columns' sums are its rows' sums.
            if not tile.on_diagonal:
                self._columns[tile.side][strip.columns] += values.T @ values.new_ones(values.shape[0])
            if self._spread:
                times = 1 if tile.side == "cross" or tile.on_diagonal else 2
                flat = values.flatten()
                self._squares[tile.side] += times * torch.dot(flat, flat).double()

    def within(self, side: Side) -> Within:
        """The averages of "real" or "fake"."""
        sums = self._rows[side] + self._columns[side]
        n, mean = len(sums), float(sums.sum()) / (len(sums) * (len(sums) - 1))
        rows, rest = sums / (n - 1), math.nan
        if n >= LEAST_FOR_SPREAD:
            explained = 2 * (n - 1) ** 2 / (n - 2) * float((rows - mean).square().sum())
            left = float(self._squares[side]) - n * (n - 1) * mean**2 - explained
            rest = max(left, 0.0) / (n * (n - 3))
        return Within(mean, rows, rest)

    def across(self) -> Across:
        """The averages of "cross"."""
        (n,), (m,) = self._rows["cross"].shape, self._columns["cross"].shape
        rows, columns = self._rows["cross"] / m, self._columns["cross"] / n
        mean, rest = float(rows.mean()), math.nan
        if min(n, m) > 1:
            explained = m * float((rows - mean).square().sum()) + n * float((columns - mean).square().sum())
            left = float(self._squares["cross"]) - n * m * mean**2 - explained
            rest = max(left, 0.0) / ((n - 1) * (m - 1))
        return Across(mean, rows, columns, rest)


@dataclass(frozen=True)
class Discrepancy:
    """A squared maximum mean discrepancy and what its interval needs.

    Attributes:
        value: The unbiased U-statistic.
        biased: The V-statistic, never negative: what a row has with itself taken along (less a constant kernel part).
        naive: Variance from the spread of the rows' averages alone.
        pairs: Variance of the pairs alone, which is all there is when real and fake are alike.
        freedom: Degrees of freedom of Student's quantile.
    """

    value: float
    biased: float
    naive: float
    pairs: float
    freedom: int

    @property
    def error(self) -> float:
        """Standard error."""
        return math.sqrt(total_variance(self.naive, self.pairs))

    def ends(self, level: float, extra: float = 0.0) -> tuple[float, float]:
        """Interval of the population value t: all t with (value - t)^2 <= z^2 (c t + pairs), c t = 0 below t = 0.

        Close to 0 a squared distance varies the more the larger it is, in proportion to itself, so that the variance
        must be taken at t and not at the value; far from 0 the ends are nearly those of the standard error. c is
        the rows' part of the variance over the value, or naive / biased where that is larger. No end lies below 0, as
        no population value does.
        Reference: Wilson 1927, JASA 22, for the same step with a share.

        Args:
            level: Nominal coverage.
            extra: A variance to add, such as that of a draw of subsets.
        """
        z = float(stdtrit(self.freedom, 0.5 + level / 2))
        alone = self.pairs + extra
        reach = z * math.sqrt(alone)
        # By chance, or for copies of real rows, the V-statistic is smaller than equal sides give it on average.
        least = max(self.biased, self.biased - self.value)
        slope = self.naive / least if least > 0 else 0.0
        if self.value > 0:
            far = max(self.naive - 2 * self.pairs, 0.0) / max(self.value, reach)
            slope = max(slope, far)
        middle = self.value + z * z * slope / 2
        half = z * math.sqrt(max(0.0, slope * self.value + z * z * slope**2 / 4 + alone))
        low = self.value - reach if self.value <= reach else middle - half
        # What equal sides leave open is never excluded, however far below 0 copies of real rows bring the value.
        return max(low, 0.0), max(middle + half, reach)


def discrepancy(real: Within, fake: Within, cross: Across, itself: tuple[float, float]) -> Discrepancy:
    """Unbiased squared maximum mean discrepancy from the averages over pairs.

    U = mean k(x, x') + mean k(y, y') - 2 mean k(x, y), over pairs of different rows. Reference: Gretton, Borgwardt,
    Rasch, Schölkopf, Smola 2012, JMLR 13; the variance keeps both of Hoeffding's terms at any n and m.

    Args:
        real: Averages over the pairs of real rows.
        fake: Averages over the pairs of fake rows.
        cross: Averages over the pairs of a real and a fake row.
        itself: Average of k(x, x) over the real rows, and over the fake rows.
    """
    n, m = len(real.rows), len(fake.rows)
    value = real.mean + fake.mean - 2 * cross.mean
    biased = value + (itself[0] - real.mean) / n + (itself[1] - fake.mean) / m
    naive = float((2 * (real.rows - cross.rows)).var()) / n + float((2 * (fake.rows - cross.columns)).var()) / m
    pairs = 2 * real.rest / (n * (n - 1)) + 2 * fake.rest / (m * (m - 1)) + 4 * cross.rest / (n * m)
    return Discrepancy(value, biased, naive, pairs, min(n, m) - 1)


def _strips(tile: Tile) -> Iterator[Tile]:
    count, width = tile.products.shape
    size = count if tile.products.is_cuda else max(1, STRIP_NUMBERS // max(1, width))
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        rows = slice(tile.rows.start + part.start, tile.rows.start + part.stop)
        strip = Tile(tile.side, rows, tile.columns, tile.products[part], tile.row_norms[part], tile.column_norms)
        if "squared" in tile.__dict__:
            strip.__dict__["squared"] = tile.squared[part]
        yield strip
