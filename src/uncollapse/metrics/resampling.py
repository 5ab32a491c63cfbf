"""Intervals by disjoint subsamples: for numbers whose own sampling spread has no simple formula.

The same number is computed on two disjoint subsamples, many times; their differences tell how much it varies at that
size, and hence at the whole size. Reference: Politis and Romano 1994 (subsampling), Annals of Statistics 22.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from uncollapse.metrics.bures import side_by_side
from uncollapse.metrics.neighbours import rounding
from uncollapse.metrics.pairs import Pair, full_precision

SPLITS = 20
MOST = 1_000
# Fewest rows of a side in one subsample, where it has twice as many.
LEAST = 10
# Rows whose neighbours are ranked at a time.
RANKED_ROWS = 256

# Sizes beyond which fewer subsamples do, as they cost as much as the number itself.
MANY, FEW_SPLITS = 4_000, 8

Subsample = tuple[Tensor, ...]
# What some real and fake rows, or their indices, give.
PartNumbers = Callable[[Tensor, Tensor], list[float]]


@dataclass(frozen=True)
class Spread:
    """What subsampling found.

    Attributes:
        error: Standard error of the whole number.
        freedom: Degrees of freedom behind it.
    """

    error: float
    freedom: int

    def around(self, value: float, level: float) -> tuple[float, float]:
        """Student's interval around a value."""
        half = float(stdtrit(self.freedom, 0.5 + level / 2)) * self.error
        return value - half, value + half


def fraction(sizes: Sequence[int], *, most: int = MOST) -> float:
    """Share of the larger side in one subsample: a half, or less where that would be more than `most` rows."""
    return min(0.5, most / max(sizes))


def scale(sizes: Sequence[int], *, most: int = MOST) -> float:
    """By which part a variance on subsamples is that of the whole: the largest share of a side in one.

    It is `fraction`, or more where a side is so much smaller that `LEAST` of its rows are a larger share of it; such a
    side has the far larger part in the variance, and the other's part is then overestimated.
    """
    return max(fraction(sizes, most=most), *(n / size for n, size in zip(_counts(sizes, most), sizes, strict=True)))


def _counts(sizes: Sequence[int], most: int) -> list[int]:
    share = fraction(sizes, most=most)
    return [min(size // 2, max(LEAST, int(size * share))) for size in sizes]


def subsamples(
    sizes: Sequence[int], *, generator: torch.Generator, splits: int = SPLITS, most: int = MOST
) -> Iterator[tuple[Subsample, Subsample]]:
    """Pairs of disjoint subsamples that keep the proportion of the sides, as far as `LEAST` rows allow.

    Args:
        sizes: Rows of each side; at least 4 each.
        generator: Source of the draws.
        splits: Number of pairs.
        most: Most rows of one side in one subsample.

    Yields:
        Two tuples, each with an int64 index tensor a side.
    """
    counts = _counts(sizes, most)
    for _ in range(splits):
        orders = [torch.randperm(size, generator=generator) for size in sizes]
        first = tuple(order[:count] for order, count in zip(orders, counts, strict=True))
        second = tuple(order[count : 2 * count] for order, count in zip(orders, counts, strict=True))
        yield first, second


def cut(some: Subsample, parts: int) -> list[Subsample]:
    """A subsample cut into so many disjoint parts of equal size, which keep the proportion of its sides."""
    counts = [len(side) // parts for side in some]
    return [
        tuple(side[k * count : (k + 1) * count] for side, count in zip(some, counts, strict=True)) for k in range(parts)
    ]


def splits_for(sizes: tuple[int, int]) -> int:
    """How many splits into subsamples do."""
    return SPLITS if max(sizes) <= MANY else FEW_SPLITS


def directly(pair: Pair, numbers: PartNumbers, i: Tensor, j: Tensor) -> list[float]:
    """Numbers of some ordered real and fake rows, from these rows themselves."""
    real, fake = pair.centred["real"], pair.centred["fake"]
    return numbers(real[i.to(real.device)], fake[j.to(fake.device)])


def on_subsamples(pair: Pair, numbers: PartNumbers, generator: torch.Generator) -> Tensor:
    """Numbers of real and fake rows on pairs of disjoint subsamples (splits, 2, numbers), float64."""
    sizes = len(pair.real), len(pair.fake)
    pairs = list(subsamples(sizes, generator=generator, splits=splits_for(sizes)))
    values = side_by_side([partial(directly, pair, numbers, *some) for split in pairs for some in split])
    return torch.tensor(values, dtype=torch.float64).view(len(pairs), 2, -1)


def on_parts(numbers: Mapping[int, PartNumbers], splits: Sequence[tuple[Subsample, Subsample]]) -> dict[int, Tensor]:
    """Numbers on parts of subsamples, float64; the more parts, the fewer splits.

    Args:
        numbers: Number of parts of a subsample -> what to compute on each.
        splits: Pairs of disjoint subsamples.

    Returns:
        Number of parts -> the numbers on all parts of some splits (splits, 2 x parts, numbers).
    """
    found = {}
    for parts, look in numbers.items():
        some = splits[: max(1, len(splits) // parts)]
        pieces = [piece for split in some for whole in split for piece in cut(whole, parts)]
        values = side_by_side([partial(look, *piece) for piece in pieces])
        found[parts] = torch.tensor(values, dtype=torch.float64).view(len(some), 2 * parts, -1)
    return found


def spread(first: Tensor, second: Tensor, share: float) -> Spread:
    """Standard error of the whole number from its values on pairs of disjoint subsamples.

    A number of variance v / n has variance v / (n share) on a subsample, and the difference of two disjoint ones twice
    that: error^2 = share * mean (first - second)^2 / 2.

    Args:
        first: Values on the first subsamples (splits,).
        second: Values on the second (splits,).
        share: Share of the rows in one subsample.
    """
    gap = (first.double() - second.double()).square().mean()
    return Spread(error=math.sqrt(share * float(gap) / 2), freedom=len(first))


def enough_neighbours(k: int, share: float) -> int:
    """How many of a row's neighbours nearly always hold k of a subsample: six deviations more than the mean."""
    return math.ceil((k + 6 * math.sqrt(k) + 10) / share)


class Ranks:
    """Who lies in the balls of any subsample, from one look at all distances.

    The k-th neighbour of a row in a subsample is some neighbour of that row among all rows, so that a row of the other
    side lies in the ball exactly when no more than so many of all neighbours are nearer: small whole numbers, compared.

    Attributes:
        index: The nearest other rows of each ordered row of the side, in order (n, kept).
        rank: How many of these are nearer than each row of the other side (n, m); within rounding counts as no nearer.
        short: Whether some subsample held fewer than k of a row's kept neighbours, so that more must be kept.
    """

    def __init__(self, pair: Pair, side: Literal["real", "fake"], kept: int) -> None:
        """Looks at all distances.

        Args:
            pair: The sides.
            side: Whose balls.
            kept: Neighbours of each row.
        """
        self._own, self._other = pair.centred[side], pair.centred["fake" if side == "real" else "real"]
        self._norms = pair.norms[side], pair.norms["fake" if side == "real" else "real"]
        n = len(self._own)
        self.kept, self.most, self.short = min(kept, n - 1), n - 1, False
        with full_precision():
            parts = side_by_side([partial(self._ranked, start) for start in range(0, n, RANKED_ROWS)])
        self.index, self.rank = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def _ranked(self, start: int) -> tuple[NDArray[np.int64], NDArray[np.uint8 | np.int32]]:
        part = slice(start, start + RANKED_ROWS)
        own, norms = self._own[part], self._norms[0][part, None]
        within = (norms + self._norms[0]).sub_(own @ self._own.T, alpha=2).clamp_(min=0)
        within.diagonal(start).fill_(math.inf)
        nearest = within.topk(self.kept, dim=1, largest=False)
        across = norms + self._norms[1]
        slack = rounding(own.dtype, own.shape[1]) * across
        across = across.sub_(own @ self._other.T, alpha=2).sub_(slack)
        rank = torch.searchsorted(nearest.values, across, out_int32=True)
        # One byte holds what is compared many times.
        return nearest.indices.cpu().numpy(), rank.to(torch.uint8 if self.kept < 256 else torch.int32).cpu().numpy()

    def inside(self, rows: Tensor, others: Tensor, ks: Sequence[int]) -> dict[int, NDArray[np.bool_]]:
        """Who lies in the balls of a subsample.

        Args:
            rows: Its ordered rows of the side (r,).
            others: Its ordered rows of the other side (s,).
            ks: To which neighbour the balls reach.

        Returns:
            k -> whether each other row lies in the ball of each row (r, s).
        """
        chosen = np.zeros(len(self.index), dtype=np.bool_)
        chosen[rows.numpy()] = True
        nearest = chosen[self.index[rows.numpy()]].cumsum(1)
        rank = self.rank[rows.numpy()][:, others.numpy()]
        result = {}
        for k in ks:
            place = (nearest < k).sum(1)
            if self.kept < self.most and bool((place == self.kept).any()):
                self.short = True
            result[k] = rank <= place.astype(rank.dtype)[:, None]
        return result
