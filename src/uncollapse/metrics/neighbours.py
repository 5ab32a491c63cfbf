"""Nearest neighbours and who lies in whose ball, from the one walk over all pairs (`pairs.py`).

Tiles give approximate distances; whatever their rounding could decide is recomputed in float64 from the rows as given,
so that ties are ties. Distances here are squared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from uncollapse.metrics.bures import one_thread
from uncollapse.metrics.inputs import Features
from uncollapse.metrics.pairs import Pair, Side, Tile

# Neighbours kept beyond the k-th, so that rounding near the k-th rarely hides one.
SPARE = 3
# Pairs looked at together, and numbers held at a time in exact distances.
STRIP = NUMBERS = 2**20
BLOCK = 1_024
# Squared distances as alike as this are equal: sums of the same numbers in another order are.
TIE = 1 + 1e-12
# An error that matters to nobody, as a part of a squared distance.
NEGLIGIBLE = 1e-6
# Neighbouring pairs of which only the least is searched.
WIDE = 32
# Looking at one number of a block costs so many times what looking at all numbers in order does.
DENSE = 12
# Rows up to which one thread looks at a tile as fast as several.
FEW = 4_000


def rounding(dtype: torch.dtype, width: int) -> float:
    """Error of a tile's squared distance, relative to the sum of both squared norms; a generous bound."""
    return (16 + 2 * math.sqrt(width)) * torch.finfo(dtype).eps


def exact_squared(left: Features, i: Tensor, right: Features, j: Tensor) -> Tensor:
    """Squared distances of chosen pairs of ordered rows, by differences in float64: 0 for identical rows (pairs,)."""
    size = max(1, NUMBERS // left.width)
    result = torch.empty(len(i), dtype=torch.float64, device=left.x.device)
    for start in range(0, len(i), size):
        part = slice(start, start + size)
        result[part] = (left.exact(i[part]) - right.exact(j[part])).square_().sum(1)
    return result


def first_copies(side: Features) -> Tensor:
    """For each ordered row the index of the first row identical to it, int64 (n,)."""
    keys = side.keys[side.order]
    return torch.searchsorted(keys, keys)


class Nearest:
    """Visitor that keeps the nearest rows: of a side within itself (never a row itself), or of real for each fake.

    Attributes:
        sides: The one side it looks at.
        squared: Approximate squared distances kept (n, kept), inf where not yet filled.
        index: Ordered rows they belong to (n, kept).
    """

    def __init__(self, pair: Pair, side: Side, k: int) -> None:
        """Keeps k neighbours and a few spare ones.

        Args:
            pair: The sides.
            side: "real", "fake", or "cross" for the nearest real rows of each fake.
            k: The most distant neighbour that will be asked for.
        """
        self.pair, self.sides = pair, (side,)
        self.left = pair.real if side == "real" else pair.fake
        self.right = pair.fake if side == "fake" else pair.real
        self.least = len(self.right) - (side != "cross")
        shape, device = (len(self.left), min(k + SPARE, self.least)), self.left.x.device
        self.squared = torch.full(shape, math.inf, dtype=pair.dtype, device=device)
        self.index = torch.zeros(shape, dtype=torch.int64, device=device)
        self._found: dict[int, tuple[Tensor, Tensor]] = {}

    def visit(self, tile: Tile) -> None:
        """Takes one tile, both ways where it stands for two."""
        with one_thread(len(self.right) <= FEW):
            squared = tile.squared
            if tile.on_diagonal:
                squared = squared.clone().fill_diagonal_(math.inf)
            if tile.side != "cross":
                self._merge(squared, tile.rows, tile.columns.start, across=True)
            if not tile.on_diagonal:
                self._merge(squared, tile.columns, tile.rows.start, across=False)

    def _merge(self, squared: Tensor, rows: slice, first: int, *, across: bool) -> None:
        """Joins the nearest of a tile with those kept; `across`: the owners are the tile's rows, not its columns."""
        kept = self.squared[rows]
        few = _few(squared, kept.amax(1), kept.shape[1], across)
        if few is None:
            nearest = squared.topk(min(kept.shape[1], squared.shape[int(across)]), dim=int(across), largest=False)
            new, index = (nearest.values, nearest.indices) if across else (nearest.values.T, nearest.indices.T)
        else:
            owner, other, values, place = few
            shape = (len(kept), int(place.max()) + 1 if len(place) else 0)
            new = torch.full(shape, math.inf, dtype=kept.dtype, device=kept.device)
            index = torch.zeros(shape, dtype=torch.int64, device=kept.device)
            new[owner, place] = values
            index[owner, place] = other
        joined = torch.cat([kept, new], 1).topk(kept.shape[1], dim=1, largest=False)
        self.squared[rows] = joined.values
        self.index[rows] = torch.cat([self.index[rows], index + first], 1).gather(1, joined.indices)

    def exact(self, k: int) -> tuple[Tensor, Tensor]:
        """Squared distance to the k-th nearest row, float64 (n,), and which ordered row that is, int64 (n,)."""
        if k not in self._found:
            self._found[k] = self._settle(k)
        return self._found[k]

    def _settle(self, k: int) -> tuple[Tensor, Tensor]:
        norms = self._norms()
        tolerance = 2 * rounding(self.pair.dtype, self.left.width) * norms
        approximate = self.squared[:, k - 1 : k].double()
        # Those surely nearer need no look; those within rounding of the k-th are ranked by exact distance.
        open_ = (self.squared - approximate).abs() <= tolerance[:, None]
        nearer = ((self.squared < approximate) & ~open_).sum(1)
        distance = torch.full(self.squared.shape, math.inf, dtype=torch.float64, device=self.squared.device)
        row, place = open_.nonzero(as_tuple=True)
        distance[row, place] = exact_squared(self.left, row, self.right, self.index[row, place])
        result, which = _ranked(distance, self.index, k - 1 - nearer)
        doubtful = open_[:, -1] & (result > 0) & (self.squared.shape[1] < self.least)
        # Far from the centre, as when one row is an outlier by many orders, products are too coarse even in float64.
        coarse = 2 * rounding(torch.float64, self.left.width) * norms > NEGLIGIBLE * result
        again = {product_squared: doubtful & ~coarse, difference_squared: doubtful & coarse}
        if self.pair.dtype == torch.float64:
            del again[product_squared]
        for measure, chosen in again.items():
            rows = chosen.nonzero()[:, 0]
            if len(rows):
                result[rows], which[rows] = self._again(rows, k, measure)
        return result, which

    def _norms(self) -> Tensor:
        """Largest sum of squared norms of a row and its kept neighbours (n,)."""
        norms = self.pair.norms
        left, right = (norms["real" if side is self.pair.real else "fake"] for side in (self.left, self.right))
        return (left + right[self.index].amax(1)).double()

    def _again(self, rows: Tensor, k: int, measure: Measure) -> tuple[Tensor, Tensor]:
        """The k-th nearest of some rows among all, where many are as near as the walk's products could tell."""
        results = []
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            near = torch.full((len(some), self.squared.shape[1]), math.inf, dtype=torch.float64, device=rows.device)
            who = torch.zeros(near.shape, dtype=torch.int64, device=rows.device)
            for first in range(0, len(self.right), BLOCK):
                columns = torch.arange(first, min(first + BLOCK, len(self.right)), device=rows.device)
                squared = measure(self.pair, self.left, some, self.right, columns)
                if self.left is self.right:
                    squared.masked_fill_(some[:, None] == columns, math.inf)
                joined = torch.cat([near, squared], 1).topk(near.shape[1], dim=1, largest=False)
                who = torch.cat([who, columns.expand(len(some), -1)], 1).gather(1, joined.indices)
                near = joined.values
            repeated = some.repeat_interleave(near.shape[1])
            exact = exact_squared(self.left, repeated, self.right, who.flatten()).view(near.shape)
            results.append(_ranked(exact, who, torch.full_like(some, k - 1)))
        return torch.cat([distance for distance, _ in results]), torch.cat([which for _, which in results])


def product_squared(pair: Pair, left: Features, i: Tensor, right: Features, j: Tensor) -> Tensor:
    """Squared distances of all pairs of some rows from float64 products of the rows as given (i, j)."""
    centre = pair.real.mean
    one, other = left.exact(i) - centre, right.exact(j) - centre
    norms = (one * one).sum(1)[:, None] + (other * other).sum(1)
    return norms.sub_(one @ other.T, alpha=2).clamp_(min=0)


def difference_squared(pair: Pair, left: Features, i: Tensor, right: Features, j: Tensor) -> Tensor:
    """Squared distances of all pairs of some rows by differences in float64 (i, j): slow, and never coarse."""
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cdist(left.exact(i), right.exact(j), compute_mode=mode).square_()


Measure = Callable[[Pair, Features, Tensor, Features, Tensor], Tensor]


def block_minima(squared: Tensor, across: bool) -> Tensor:
    """Least value of each `WIDE` neighbouring columns of a row (or rows of a column), (owners, blocks).

    Searching these is several times faster than comparing every number, as what is searched for is rare.
    """
    dim = int(across)
    full, size = squared.shape[dim] // WIDE * WIDE, squared.shape[dim]
    shape = (len(squared), -1, WIDE) if across else (-1, WIDE, squared.shape[1])
    parts = [squared.narrow(dim, 0, full).view(shape).amin(dim + 1)] if full else []
    if full < size:
        parts.append(squared.narrow(dim, full, size - full).amin(dim, keepdim=True))
    minima = torch.cat(parts, dim)
    return minima if across else minima.T


def below(squared: Tensor, minima: Tensor, limit: Tensor, across: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Where values are below their owner's limit: owner (ascending), other, value; from the blocks' minima."""
    owner, block = places(minima < limit[:, None])
    if len(owner) * WIDE * DENSE > squared.numel():
        mine = squared if across else squared.T
        owner, other = places(mine < limit[:, None])
        return owner, other, mine[owner, other]
    size = squared.shape[int(across)]
    other = block[:, None] * WIDE + torch.arange(WIDE, device=block.device)
    owner = owner[:, None].expand_as(other)
    inside = other.clamp(max=size - 1)
    values = squared[owner, inside] if across else squared[inside, owner]
    found = (values < limit[owner]) & (other < size)
    return owner[found], other[found], values[found]


def places(flags: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every flag that is set, by rows."""
    if flags.device.type != "cpu":
        row, column = flags.nonzero(as_tuple=True)
        return row, column
    # NumPy finds the rare flags several times faster.
    found = torch.from_numpy(np.flatnonzero(flags.numpy()))
    row = found.div(flags.shape[1], rounding_mode="floor")
    return row, found - row * flags.shape[1]


def _few(squared: Tensor, limit: Tensor, count: int, across: bool) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """What may be among the nearest: owner, other, value, place within the owner; None where that is not rare."""
    if squared.shape[int(across)] < 4 * count * WIDE:
        return None
    minima = block_minima(squared, across)
    if not bool(torch.isfinite(limit).all()):
        # As many blocks as are kept hold a value this small, so nothing larger is among the nearest.
        least = minima.topk(count, dim=1, largest=False).values[:, -1]
        limit = torch.minimum(limit, _just_above(least))
    if int((minima < limit[:, None]).sum()) > 2 * count * len(limit):
        return None
    owner, other, values = below(squared, minima, limit, across)
    counts = torch.bincount(owner, minlength=len(limit))
    if int(counts.max()) > 32 * count:
        return None
    place = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
    return owner, other, values, place


def _just_above(values: Tensor) -> Tensor:
    return torch.nextafter(values, torch.full_like(values, math.inf))


def _ranked(distance: Tensor, index: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
    """The distance of that rank in each row and its index; of equal distances the lowest index comes first."""
    by_index = index.argsort(1)
    values, turn = distance.gather(1, by_index).sort(dim=1, stable=True)
    place = rank[:, None]
    return values.gather(1, place)[:, 0], index.gather(1, by_index).gather(1, turn).gather(1, place)[:, 0]


@dataclass
class Balls:
    """Visitor that finds who lies in the balls around one side's rows that reach to their k-th nearest other row.

    A point on the surface of a ball lies in it. The radii come from a `Nearest` that the same walk filled before.

    Attributes:
        pair: The sides.
        nearest: Radii, within the side that owns the balls.
        ks: The balls asked for.
        counts: For each k, how many balls each row of the other side lies in, int64.
        holding: For each k, whether each ball holds a row of the other side, bool.
    """

    pair: Pair
    nearest: Nearest
    ks: Sequence[int]
    sides: tuple[Side, ...] = ("cross",)
    counts: dict[int, Tensor] = field(init=False)
    holding: dict[int, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.own_real = self.nearest.left is self.pair.real
        owner, other = (self.pair.real, self.pair.fake) if self.own_real else (self.pair.fake, self.pair.real)
        self.counts = {k: torch.zeros(len(other), dtype=torch.int64, device=other.x.device) for k in self.ks}
        self.holding = {k: torch.zeros(len(owner), dtype=torch.bool, device=owner.x.device) for k in self.ks}

    @cached_property
    def copies(self) -> tuple[Tensor, Tensor]:
        """First copies of the real and of the fake rows: identical pairs are decided once."""
        return first_copies(self.pair.real), first_copies(self.pair.fake)

    def visit(self, tile: Tile) -> None:
        """Takes one tile in strips, because all pairs of a tile may lie in balls."""
        with one_thread(max(len(self.pair.real), len(self.pair.fake)) <= FEW):
            height = max(1, STRIP // tile.squared.shape[1])
            error = rounding(tile.squared.dtype, self.pair.real.width)
            radius = self.nearest.exact(max(self.ks))[0]
            norms = tile.row_norms.max() + tile.column_norms, tile.row_norms + tile.column_norms.max()
            reach = radius[tile.rows if self.own_real else tile.columns] + error * norms[int(self.own_real)].double()
            limit = _just_above(reach.to(tile.squared.dtype))
            for top in range(0, len(tile.squared), height):
                part = slice(top, min(top + height, len(tile.squared)))
                strip = tile.squared[part]
                reach = limit[part] if self.own_real else limit
                owner, other, values = below(strip, block_minima(strip, self.own_real), reach, self.own_real)
                row, column = (owner, other) if self.own_real else (other, owner)
                tolerance = error * (tile.row_norms[part][row] + tile.column_norms[column]).double()
                i, j = row + (tile.rows.start + top), column + tile.columns.start
                self._add(i, j, self._decided(i, j, values.double(), tolerance))

    def _near(self, owner: Tensor, values: Tensor, tolerance: Tensor) -> Tensor:
        """Whether some radius is within rounding of the distance."""
        return torch.stack([(values - self.nearest.exact(k)[0][owner]).abs() <= tolerance for k in self.ks]).any(0)

    def _decided(self, i: Tensor, j: Tensor, values: Tensor, tolerance: Tensor) -> Tensor:
        """The squared distances, exact where rounding could decide."""
        owner = i if self.own_real else j
        near = self._near(owner, values, tolerance).nonzero()[:, 0]
        real, fake = self.pair.real, self.pair.fake
        if len(near) > STRIP // 64 and self.pair.dtype != torch.float64:
            # So many at once are cheaper by products in float64, which leave only true ties open.
            rows, row = torch.unique(i[near], return_inverse=True)
            columns, column = torch.unique(j[near], return_inverse=True)
            values[near] = product_squared(self.pair, real, rows, fake, columns)[row, column]
            finer = tolerance[near] * (rounding(torch.float64, real.width) / rounding(self.pair.dtype, real.width))
            near = near[self._near(owner[near], values[near], finer)]
        if len(near):
            pairs = self.copies[0][i[near]] * len(fake) + self.copies[1][j[near]]
            pairs, turn = torch.unique(pairs, return_inverse=True)
            left, right = pairs.div(len(fake), rounding_mode="floor"), pairs % len(fake)
            values[near] = exact_squared(real, left, fake, right)[turn]
        return values

    def _add(self, i: Tensor, j: Tensor, values: Tensor) -> None:
        owner, other = (i, j) if self.own_real else (j, i)
        for k in self.ks:
            inside = values <= TIE * self.nearest.exact(k)[0][owner]
            self.counts[k] += torch.bincount(other[inside], minlength=len(self.counts[k]))
            self.holding[k][owner[inside]] = True
