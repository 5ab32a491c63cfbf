"""Fréchet distance: the classic plug-in number of papers, and the same freed of its bias."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics import bures
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.frechet_spread import Scatter, influence
from uncollapse.metrics.inputs import Features, Rows, both, check_level, seeded
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.moments import Moments
from uncollapse.metrics.pair_sums import NO_SPREAD, identical
from uncollapse.metrics.resampling import Spread, scale, spread, subsamples

# Rows a side, per feature, from which the influence function describes the spread.
ENOUGH = 3
# Weights of the whole, the halves and the quarters that cancel a bias of b / n + c / n^2.
RICHARDSON = (8 / 3, -2.0, 1 / 3)
# Extra spread of the degenerate part that one random partition into quarters brings.
PARTITION = 3.0
# Extra share of it, times d / n, that quarters of few rows a feature bring (simulated).
QUARTERS = 2.0
MOST_PARTITIONS = 16
PARTITION_WORK = 1.2e9
# Products of sizes (rows x features x features) up to which one thread is as fast as several.
LIGHT = 1e9
# Most rows of a side in one half, so that many singular values stay cheap.
MOST_HALF = 500


def from_moments(mean1: Rows, cov1: Rows, mean2: Rows, cov2: Rows) -> float:
    """Fréchet distance of two Gaussians given by their moments.

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^1/2, at least 0.
    Reference: Dowson and Landau 1982, Journal of Multivariate Analysis 12.

    Args:
        mean1: (d,).
        cov1: (d, d), symmetric, no negative eigenvalue; it may be singular.
        mean2: (d,).
        cov2: (d, d), likewise.

    Raises:
        UserError: The shapes do not fit, a number is not finite, or a covariance is none.
    """
    centres = [torch.as_tensor(mean).detach().double().flatten() for mean in (mean1, mean2)]
    matrices = [torch.as_tensor(covariance).detach().double() for covariance in (cov1, cov2)]
    d = len(centres[0])
    shapes = [tuple(item.shape) for item in (*centres, *matrices)]
    if shapes != [(d,), (d,), (d, d), (d, d)]:
        raise UserError(f"Means (d,) and covariances (d, d) must share one d, not have the shapes {shapes}.")
    for matrix in (*matrices, *centres):
        if not bool(torch.isfinite(matrix).all()):
            raise UserError("A mean or covariance holds a number that is not finite; leave such rows out before.")
    for matrix in matrices:
        if float((matrix - matrix.T).abs().max()) > 1e-8 * float(matrix.abs().max()):
            raise UserError("A covariance is not symmetric; give the covariance of the rows, not a factor of it.")
    return _assemble(centres[0] - centres[1], [float(s.trace()) for s in matrices], bures.overlap(*matrices))


def frechet_distance(*, real: Rows | Moments, fake: Rows | Moments, level: float | None = 0.95) -> Estimate:
    """Classic plug-in Fréchet distance, comparable with papers of the same n and extractor, and its interval.

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^1/2 with the sample means and covariances (divisor n - 1). The interval
    is for its mean over fresh samples of the same sizes, which lies above the population value, by about
    d^2 / (2 n) for n rows a side of d independent features of variance 1.
    Reference: Heusel et al. 2017, arXiv:1706.08500; variance after Rippl, Munk and Sturm 2016, arXiv:1507.04090.

    Args:
        real: (n, d) feature rows, or their `Moments`.
        fake: (m, d) feature rows, or their `Moments`.
        level: Nominal coverage; None for no interval.

    Returns:
        Squared feature units, 0 (same mean and covariance) or more.

    Raises:
        UserError: Fewer than two rows a side, unequal widths, or rows that are not finite.
    """
    check_level(level)
    metric = find_metric("frechet_distance")
    if isinstance(real, Moments) or isinstance(fake, Moments):
        one, other = (side if isinstance(side, Moments) else Moments.of(side) for side in (real, fake))
        value, reason = _distance(one, other), None
        if level is not None:
            reason = "streamed moments keep no rows, and the interval needs rows; give the feature rows"
        return metric.estimate(value, level=level, n_real=one.n, n_fake=other.n, reason=reason)
    sides = both(real, fake)
    value, error = _plug_in(*sides, wanted=level is not None)
    reason, halved = None, isinstance(error, Spread)
    ends: tuple[float | None, float | None] = (None, None)
    if level is not None and error is None:
        reason = "an interval needs at least 4 rows a side"
    elif level is not None and all(identical(side) for side in sides):
        reason, halved = NO_SPREAD, False
    elif level is not None and error is not None:
        ends = error.around(value, level, biased=True) if isinstance(error, Scatter) else error.around(value, level)
    # With few rows a feature the spread falls faster than halves tell (simulated: ends 1.5 to 3 times too far away).
    changes = {"conservative": True} if halved else {}
    sizes = {"n_real": len(sides[0]), "n_fake": len(sides[1])}
    return metric.estimate(value, ends, level=level, reason=reason, **sizes, **changes)


def frechet_infinity(
    *, real: Rows, fake: Rows, level: float | None = 0.95, generator: torch.Generator | None = None
) -> Estimate:
    """Fréchet distance of the populations: the plug-in number extrapolated to endless samples.

    8/3 F(n) - 2 F(n/2) + 1/3 F(n/4), with F(n/2) and F(n/4) the means over two disjoint halves and four disjoint
    quarters of both sides, which removes a bias of b / n + c / n^2. It may fall below 0 for equal sides.
    Reference: Chong and Forsyth 2020, arXiv:1911.07023 (a linear fit; differs: disjoint parts and two powers of 1/n).

    Args:
        real: (n, d) feature rows.
        fake: (m, d) feature rows.
        level: Nominal coverage; None for no interval.
        generator: Source of the partitions; a fresh one of seed 0 when None.

    Returns:
        Squared feature units; 0 for equal means and covariances.

    Raises:
        UserError: Less than 4 (d + 2) rows on a side, or as `frechet_distance`.
    """
    check_level(level)
    sides = both(real, fake)
    width, least = sides[0].width, min(len(side) for side in sides)
    if least < 4 * (width + 2):
        raise UserError(
            f"frechet_infinity needs at least {4 * (width + 2):,} rows a side for {width:,} features, because quarters "
            f"of the rows must have full covariances, not {least:,}; give more, or use kernel_distance."
        )
    draws = seeded(generator)
    count = int(min(MOST_PARTITIONS, max(1, PARTITION_WORK // width**3)))
    parts = []
    for _ in range(count):
        half, quarter = _partition(sides, draws)
        parts.append(RICHARDSON[1] * half + RICHARDSON[2] * quarter)
    value, error = _whole(*sides, wanted=level is not None)
    value = RICHARDSON[0] * value + sum(parts) / count
    ends: tuple[float | None, float | None] = (None, None)
    reason = None
    if level is not None and error is None:
        reason = (
            "neither side's covariance is positive definite, so the spread of the distance cannot be told; leave out "
            "features that are combinations of others"
        )
    elif level is not None and error is not None:
        low, high = error.around(value, level, extra=PARTITION / count + QUARTERS * width / least)
        # The population value is never below 0: the interval need not reach there.
        ends = max(low, 0.0), max(high, 0.0)
    return find_metric("frechet_infinity").estimate(
        value,
        ends,
        level=level,
        n_real=len(sides[0]),
        n_fake=len(sides[1]),
        reason=reason,
        details={"partitions": count},
    )


def _assemble(shift: Tensor, traces: list[float], overlap: float) -> float:
    """The distance from its parts; below 0 only by rounding, which is cut."""
    return max(0.0, float(shift @ shift) + sum(traces) - 2 * overlap)


def _distance(one: Moments, other: Moments) -> float:
    """The plug-in distance of two streams.

    Raises:
        UserError: Unequal widths or fewer than two rows.
    """
    if one.width != other.width:
        raise UserError(
            f"real has {one.width} features a row and fake has {other.width}; both sides need the same extractor."
        )
    first, second = one.covariance, other.covariance
    return _assemble(one.mean - other.mean, [float(first.trace()), float(second.trace())], bures.overlap(first, second))


def _plug_in(real: Features, fake: Features, *, wanted: bool) -> tuple[float, Spread | Scatter | None]:
    """The plug-in distance and, where wanted and possible, its spread."""
    sizes = len(real), len(fake)
    error: Scatter | None = None
    if min(sizes) > ENOUGH * real.width:
        value, error = _whole(real, fake, wanted=wanted)
    else:
        value = _from_rows(real.x, fake.x)
    if wanted and error is None and min(sizes) >= 4:
        return value, _by_halves(real, fake)
    return value, error


def _from_rows(real: Tensor, fake: Tensor, overlap: Callable[[Tensor, Tensor], float] = bures.nuclear) -> float:
    """The plug-in distance through factors, which need no d x d matrix where there are few rows."""
    factors = [
        bures.row_factor(rows) if len(rows) <= rows.shape[1] else bures.factor(Moments.of(rows).covariance)
        for rows in (real, fake)
    ]
    shift = real.double().mean(0) - fake.double().mean(0)
    traces = [float(matrix.square().sum()) for matrix in factors]
    return _assemble(shift, traces, overlap(*factors))


def _by_halves(real: Features, fake: Features) -> Spread:
    """Spread over disjoint halves, for few rows or singular covariances, where there is no influence function."""
    sizes = len(real), len(fake)
    pairs = subsamples(sizes, generator=seeded(None), most=MOST_HALF)
    values = bures.side_by_side([partial(_of_some, real, fake, *some) for pair in pairs for some in pair])
    first, second = torch.tensor(values).view(-1, 2).T
    return spread(first, second, scale(sizes, most=MOST_HALF))


def _of_some(real: Features, fake: Features, i: Tensor, j: Tensor) -> float:
    """The plug-in distance of some of the ordered rows."""
    return _from_rows(real.x[real.order[i]], fake.x[fake.order[j]], bures.quick_nuclear)


def _whole(real: Features, fake: Features, *, wanted: bool) -> tuple[float, Scatter | None]:
    """The plug-in distance of all rows and its spread, once for all who ask."""
    key = ("frechet", fake, wanted)
    if key not in real.shared:
        one, other = bures.side_by_side([partial(Moments.of, side) for side in (real, fake)])
        with bures.one_thread(max(one.n, other.n) * one.width**2 <= LIGHT):
            real.shared[key] = _solve(real, fake, one, other, wanted=wanted)
    found: tuple[float, Scatter | None] = real.shared[key]
    return found


def _solve(
    real: Features, fake: Features, one: Moments, other: Moments, *, wanted: bool
) -> tuple[float, Scatter | None]:
    """The plug-in distance from moments and its spread, from one eigen-decomposition."""
    covariances = one.covariance, other.covariance
    traces = [float(matrix.trace()) for matrix in covariances]
    shift = one.mean - other.mean
    found = _plan(*covariances) if wanted else None
    if found is None:
        return _assemble(shift, traces, bures.overlap(*covariances)), None
    plan, swapped, kept = found
    first, second = (_only(matrix, kept) for matrix in (covariances[::-1] if swapped else covariances))
    value = _assemble(shift, traces, bures.overlap(first, second, known=plan))
    maps = (plan.backward, plan.forward) if swapped else (plan.forward, plan.backward)
    influences = [
        influence(side, mean, sign * shift, map_, kept)
        for side, mean, sign, map_ in zip((real, fake), (one.mean, other.mean), (1, -1), maps, strict=True)
    ]
    return value, Scatter.of(real, fake, one, other, roots=plan.roots, linear=sum(influences))


def _plan(first: Tensor, second: Tensor) -> tuple[bures.Plan, bool, Tensor] | None:
    """The optimal map, whether it starts at the second side, and the features it is about; None where there is none."""
    kept = ((first.diagonal() + second.diagonal()) > 0).nonzero()[:, 0]
    pair = [_only(matrix, kept) for matrix in (first, second)]
    for swapped in (False, True):
        base, target = pair[::-1] if swapped else pair
        upper = bures.cholesky(base) if len(kept) else None
        if upper is not None:
            return bures.plan(upper, target), swapped, kept
    return None


def _only(matrix: Tensor, kept: Tensor) -> Tensor:
    """The rows and columns of some features."""
    return matrix if len(kept) == len(matrix) else matrix[kept][:, kept]


def _partition(sides: tuple[Features, Features], draws: torch.Generator) -> tuple[float, float]:
    """Mean distance over halves and over quarters of one random partition."""
    tasks = []
    for side in sides:
        order = side.order[torch.randperm(len(side), generator=draws).to(side.x.device)]
        tasks += [partial(_some_moments, side, part) for part in torch.tensor_split(order, 4)]
    parts = bures.side_by_side(tasks)
    quarters = list(zip(parts[:4], parts[4:], strict=True))
    halves = [[one.merge(other) for one, other in zip(*quarters[k : k + 2], strict=True)] for k in (0, 2)]
    found = bures.side_by_side([partial(_distance, *pair) for pair in (*halves, *quarters)])
    return sum(found[:2]) / 2, sum(found[2:]) / 4


def _some_moments(side: Features, rows: Tensor) -> Moments:
    return Moments.of_some(side, rows)
