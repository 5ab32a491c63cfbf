"""Intervals by disjoint subsamples: for numbers whose own sampling spread has no simple formula.

The same number is computed on two disjoint subsamples, many times; their differences tell how much it varies at that
size, and hence at the whole size. Reference: Politis and Romano 1994 (subsampling), Annals of Statistics 22.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

SPLITS = 20
MOST = 1_000

Subsample = tuple[Tensor, ...]


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
    """Share of each side in one subsample: a half, or less when the larger side would give more than `most` rows."""
    return min(0.5, most / max(sizes))


def subsamples(
    sizes: Sequence[int], *, generator: torch.Generator, splits: int = SPLITS, most: int = MOST
) -> Iterator[tuple[Subsample, Subsample]]:
    """Pairs of disjoint subsamples that keep the proportion of the sides.

    Args:
        sizes: Rows of each side; at least 4 each.
        generator: Source of the draws.
        splits: Number of pairs.
        most: Most rows of one side in one subsample.

    Yields:
        Two tuples, each with an int64 index tensor a side.
    """
    share = fraction(sizes, most=most)
    counts = [max(2, int(size * share)) for size in sizes]
    for _ in range(splits):
        orders = [torch.randperm(size, generator=generator) for size in sizes]
        first = tuple(order[:count] for order, count in zip(orders, counts, strict=True))
        second = tuple(order[count : 2 * count] for order, count in zip(orders, counts, strict=True))
        yield first, second


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
