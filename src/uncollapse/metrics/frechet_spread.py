"""How much the Fréchet distance varies: to first order through its influence function, at equality to second order.

The distance is a square: far from equality its standard error grows as the root of the distance, and at equality the
first order vanishes. The interval therefore lists all distances t that lie within z standard errors(t) of the number
seen, as Wilson's does for a share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import chdtri, ndtri
from torch import Tensor

from uncollapse.metrics.bures import eigh
from uncollapse.metrics.inputs import Features, chunks, seeded, squares_fit
from uncollapse.metrics.moments import Moments
from uncollapse.metrics.pairs import EXACT_WORK

# First-order variances above this many second-order ones leave the latter without weight.
CLEAR = 30
# Pairs of rows that estimate the second order, fewer where each is costly.
MOST_PAIRS, LEAST_PAIRS, PAIR_WORK = 10_000, 1_000, 4e9
# Rows from which the variance of single rows is estimated.
ENOUGH_ROWS = 4_096
# Features from which float32 decomposes the covariance that those pairs are looked at in.
LARGE = 512
# Share of the largest eigenvalue below which one is rounding.
TINY = {torch.float64: 1e-12, torch.float32: 1e-6}


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Variance of the plug-in distance as a function of the distance.

    Attributes:
        linear: First-order variance seen in the sample, which at equality is twice the second-order one.
        curved: Second-order variance at equality.
        bias: Mean of the plug-in distance at equality.
        slope: Growth of the variance with the distance at equality, for Gaussians.
        freedom: How many equal squares the number is like at equality.
    """

    linear: float
    curved: float
    bias: float
    slope: float
    freedom: float

    @classmethod
    def of(
        cls, real: Features, fake: Features, one: Moments, other: Moments, *, roots: Tensor, linear: float
    ) -> Scatter:
        """The scatter of two sides.

        Args:
            real: Rows of side 1.
            fake: Rows of side 2.
            one: Moments of side 1.
            other: Moments of side 2.
            roots: Square roots of the eigenvalues of S1 S2, (d,); at equality the eigenvalues of either.
            linear: First-order variance.
        """
        sizes = one.n, other.n
        both_means = one.covariance / sizes[0] + other.covariance / sizes[1]
        share, trace = 1 / sizes[0] + 1 / sizes[1], float(roots.sum())
        pairs = torch.outer(roots, roots) / (roots[:, None] + roots).clamp_min(1e-300)
        curved = 2 * float(both_means.square().sum())
        curved += share**2 * (float(pairs.square().sum()) + float(roots.square().sum()) / 4)
        if linear < CLEAR * curved:
            curved = 2 * share**2 * _second_order(real, fake, one, other)
        bias = float(both_means.trace()) + share / 2 * (float(pairs.sum()) + trace / 2)
        slope = 4 * share * float(roots.square().sum()) / max(trace, 1e-300)
        freedom = 2 * bias**2 / max(curved, 1e-300)
        return cls(linear=linear, curved=curved, bias=bias, slope=slope, freedom=freedom)

    def around(self, value: float, level: float, *, extra: float = 0.0, biased: bool = False) -> tuple[float, float]:
        """Ends of the interval: all t with (value - t)^2 <= z^2 variance(t).

        Args:
            value: The number seen.
            level: Nominal coverage.
            extra: Further share of the second-order variance that the estimator has.
            biased: Whether the number is the plug-in distance and the interval is for its mean.
        """
        z, floor = float(ndtri(0.5 + level / 2)), (1 + extra) * self.curved
        away = value - self.bias if biased else value
        root, tail = math.sqrt(floor), z * math.sqrt(floor)
        if floor > 0:
            # At equality the number is a sum of squares, whose upper tail is longer than the normal one.
            freedom = max(1.0, self.freedom)
            tail = max(tail, (float(chdtri(freedom, 0.5 - level / 2)) - freedom) * root / math.sqrt(2 * freedom))
        # Close to equality the growth seen is noise, and the Gaussian one takes over.
        growth = max(self.linear - 2 * self.curved, 0.0) + self.slope * root
        growth /= max(away, 0.0) + root if root > 0 or away > 0 else 1.0
        centre, low, high = away + z * z * growth / 2, away - tail, away + z * root
        spread = z * z * growth * away + (z * z * growth / 2) ** 2
        if centre > 0 and spread + tail**2 < centre**2:
            low = centre - math.sqrt(max(spread + tail**2, 0.0))
        if spread + (z * root) ** 2 > 0:
            high = max(high, centre + math.sqrt(spread + (z * root) ** 2))
        if not biased:
            # What equal sides leave open is never excluded, however far below 0 copies of real rows bring the value.
            high = max(high, z * root)
        return value + low - away, value + high - away


def influence(side: Features, mean: Tensor, shift: Tensor, map_: Tensor, kept: Tensor) -> float:
    """Variance of the distance that comes from one side, to first order.

    A row x of that side moves the distance by (2 shift'(x - m) + |x - m|^2 - (x - m)'T(x - m)) / n.
    Reference: Rippl, Munk and Sturm 2016, arXiv:1507.04090.

    Args:
        side: Its rows.
        mean: Their mean m, (d,).
        shift: That mean minus the other side's, (d,).
        map_: P with x'Tx = |P'x|^2, T the optimal map to the other side, (r, r).
        kept: The r features that vary.
    """
    heavy = side.x.dtype == torch.float32 and float(len(side)) * len(kept) ** 2 > EXACT_WORK and squares_fit(side.x)
    dtype = torch.float32 if heavy else torch.float64
    map_, parts = map_.to(dtype), []
    count = min(len(side), ENOUGH_ROWS)
    some = torch.arange(count, device=side.x.device) * len(side) // count
    for part in chunks(count, side.width):
        x = side.exact(some[part]) - mean
        x = x if len(kept) == side.width else x[:, kept]
        mapped = (x.to(dtype) @ map_).double().square().sum(1)
        parts.append(2 * x @ shift[kept] + x.square().sum(1) - mapped)
    return float(torch.cat(parts).var()) / len(side)


def _second_order(real: Features, fake: Features, one: Moments, other: Moments) -> float:
    """Mean square of the second-order kernel at equality, from random pairs of rows of one side.

    In the eigenbasis of the covariance, h(x, y) = x'y + 1/2 sum_ij (x_i x_j - S_ij) (y_i y_j - S_ij) / (l_i + l_j).
    """
    pooled = (one.scatter + other.scatter) / (one.n + other.n - 2)
    # Small directions hardly count, so that float32 does where float64 takes long.
    dtype = torch.float32 if len(pooled) > LARGE else torch.float64
    values, vectors = eigh(pooled.to(dtype))
    kept = values > TINY[dtype] * float(values[-1])
    values, vectors = values[kept], vectors[:, kept]
    weights = 1 / (values[:, None] + values)
    count = int(min(MOST_PAIRS, max(LEAST_PAIRS, PAIR_WORK / len(values) ** 2)))
    draws, squares = seeded(None), []
    for side, mean in ((real, one.mean), (fake, other.mean)):
        index = _pairs(len(side), count // 2, draws).to(side.x.device)
        for part in chunks(index.shape[1], 2 * side.width):
            x, y = ((side.exact(rows) - mean).to(dtype) @ vectors for rows in index[:, part])
            product = x * y
            fourth = ((product @ weights) * product).sum(1)
            norms = (x.square() + y.square() - values).sum(1)
            squares.append((product.sum(1) + fourth / 2 - norms / 4).square())
    return float(torch.cat(squares).double().mean())


def _pairs(n: int, count: int, draws: torch.Generator) -> Tensor:
    """Random pairs of different rows, int64 (2, count)."""
    first = torch.randint(n, (count,), generator=draws)
    return torch.stack([first, (first + torch.randint(1, n, (count,), generator=draws)) % n])
