"""Questions about spread: do fakes vary less than real rows, those of one kind and all of them?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uncollapse.verdict.pool import Pool
from uncollapse.verdict.question import Finding, even_rows, percent

OVERALL = "spread overall"
MINIMUM_SHRINKAGE = 0.1
# Contrast changes the overall spread of images' features too, so only more than it would is a loss.
MINIMUM_OVERALL = {True: 0.2, False: 0.1}
# Leading components: blur and compression take from the small ones, a loss of variety from all.
LEADING = 8
FEWEST = 3
LEAST_RATIO = 1e-3
CHUNK = 50


def spread(pool: Pool, group: Tensor, *, images: bool, what: str = "classes") -> Finding:
    """Do fakes vary less than real rows of the same group?

    The statistic is minus the log of the ratio of spreads (root mean squared distance from the group's mean, in the
    `LEADING` components, pooled over groups), of images divided by the ratio of the spreads between the groups' means:
    a brighter, darker or flatter picture scales both, and a loss of variety only the first.

    Args:
        pool: The rows.
        group: Class or cluster of each row, int64 (N,), found without looking at the sides.
        images: Whether the rows are features of images, so that scaling as a whole is no loss.
        what: "classes" or "clusters".
    """
    rows = pool.rows[:, :LEADING]
    shares = torch.nn.functional.one_hot(group, int(group.max()) + 1).to(rows.dtype)
    statistics = torch.cat([_log_ratio(rows, shares, part, images) for part in torch.split(pool.sides, CHUNK)])
    return _finding(f"spread within {what}", f"Within {what}", statistics, MINIMUM_SHRINKAGE, pool)


def overall_spread(pool: Pool, *, images: bool) -> Finding:
    """Do fakes vary less than real rows, all together? Minus the log of the ratio of spreads around each side's mean.

    Args:
        pool: The rows.
        images: Whether the rows are features of images; then less contrast is no loss, and the minimum effect larger.
    """
    rows = pool.rows[:, :LEADING]
    everything = torch.ones(len(rows), 1)
    statistics = torch.cat([_log_ratio(rows, everything, part, False) for part in torch.split(pool.sides, CHUNK)])
    return _finding(OVERALL, "Taken together", statistics, MINIMUM_OVERALL[images], pool)


def _finding(metric: str, where: str, statistics: Tensor, minimum: float, pool: Pool) -> Finding:
    ratio = math.exp(-float(statistics[0]))
    shrunk = f"{percent(1 - ratio)} less" if ratio < 1 else f"{percent(ratio - 1)} more"
    return Finding(
        metric=metric,
        statistics=statistics,
        effect=max(0.0, 1 - ratio),
        minimum_effect=minimum,
        signal=-math.log(1 - minimum),
        noise=float(statistics[1:].std()),
        base=float(statistics[1:].mean()),
        rows=even_rows(pool.n_real, pool.n_fake),
        value_real=1.0,
        value_fake=ratio,
        sentence=f"{where}, the fakes spread {shrunk} than the real rows.",
    )


def _log_ratio(rows: Tensor, shares: Tensor, sides: Tensor, images: bool) -> Tensor:
    """Minus the log of the ratio of spreads for some assignments, (P,); 0 where no group has rows enough."""
    width = rows.shape[1]
    # Around each group's middle in the pool, or the small spread of narrow groups drowns in the squares of their means.
    middle = (shares.T @ rows) / shares.sum(0).clamp_min(1)[:, None]
    rows = rows - shares @ middle
    # Rows of each group, their sum and their sum of squares, for the fakes and for all.
    terms = torch.cat(
        [shares, (shares[:, :, None] * rows[:, None, :]).flatten(1), shares * rows.square().sum(1, True)], 1
    )
    fake = (sides @ terms).double()
    real = terms.double().sum(0) - fake
    groups = shares.shape[1]
    within, between, count = [], [], []
    for side in (real, fake):
        n = side[:, :groups]
        mean = side[:, groups : groups * (1 + width)].reshape(len(n), groups, width) / n.clamp_min(1)[..., None]
        squares = side[:, groups * (1 + width) :] - n * mean.square().sum(2)
        within.append(squares.clamp_min(0) / (n - 1).clamp_min(1))
        between.append(middle + mean)
        count.append(n)
    usable = (count[0] >= FEWEST) & (count[1] >= FEWEST) & (within[0] + within[1] > 0)
    weight = torch.where(usable, count[0] * count[1] / (count[0] + count[1]).clamp_min(1), 0.0)
    # A side without any spread is taken to have a thousandth of the other's, so that the logarithm stays finite.
    least = LEAST_RATIO**2 * (within[0] + within[1]) + 1e-30
    logs = torch.where(usable, ((within[1] + least) / (within[0] + least)).log() / 2, 0.0)
    all_ = weight.sum(1).clamp_min(1e-30)
    result = (weight * logs).sum(1) / all_
    if images:
        apart = [_between(mean, inner, n, usable) for mean, inner, n in zip(between, within, count, strict=True)]
        known = (usable.sum(1) >= 2) & (apart[0] > 0) & (apart[1] > 0)
        scale = (apart[1].clamp_min(1e-30) / apart[0].clamp_min(1e-30)).log() / 2
        result = result - torch.where(known, scale, 0.0)
    return -result


def _between(mean: Tensor, within: Tensor, n: Tensor, usable: Tensor) -> Tensor:
    """Squared distances of the usable groups' means from their middle, less what sampling adds, (P,)."""
    used = usable.to(mean.dtype)
    middle = (mean * used[..., None]).sum(1, True) / used.sum(1).clamp_min(1)[:, None, None]
    raw = ((mean - middle).square().sum(2) * used).sum(1)
    noise = (within / n.clamp_min(1) * used).sum(1)
    return torch.maximum(raw - noise, raw / 10)
