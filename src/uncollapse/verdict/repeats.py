"""The question about repeats: do fakes repeat each other more than real rows do?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from uncollapse.verdict.pool import Pool
from uncollapse.verdict.question import Finding, even_rows, percent

REPEATS = "repeats"
MINIMUM_REPEATS = 0.05
# A repeat lies nearer than a quarter of the distance within which three quarters of all rows have their neighbour.
NEAR, MOST_ROWS = 0.25, 0.75
# Of the mean squared length of a row: what rounding leaves of the distance between copies.
SAME = 1e-10
CHUNK = 25
MOST_GROUPS = 12


def repeats(pool: Pool) -> Finding:
    """Do fakes repeat each other more than real rows do?

    The statistic is the share of fakes with another fake nearer than `NEAR` times the upper quartile of all rows'
    distances to their nearest neighbour, minus the same share of the real rows.

    Args:
        pool: The rows; the distance is taken from the pool, whatever side a row is on.
    """
    squared, partners = pool.nearest
    limit = NEAR**2 * float(torch.quantile(squared[:, 0], MOST_ROWS)) + SAME * float(pool.rows.square().sum(1).mean())
    close = squared <= limit
    rows = close.any(1).nonzero()[:, 0]
    statistics = torch.cat([_excess(pool, part, rows, partners, close) for part in torch.split(pool.sides, CHUNK)])
    shares = _shares(pool, pool.sides[:1], rows, partners, close)
    null = statistics[1:]
    effect = float(statistics[0] - null.mean())
    real, fake = (float(share) for share in shares)
    even = even_rows(pool.n_real, pool.n_fake)
    groups, count = _groups(pool, partners, close)
    noise, even_noise = (
        math.hypot(float(null.std()), math.sqrt(MINIMUM_REPEATS * (1 - MINIMUM_REPEATS) / m))
        for m in (pool.n_fake, even)
    )
    return Finding(
        metric=REPEATS,
        statistics=statistics,
        effect=max(0.0, effect),
        minimum_effect=MINIMUM_REPEATS,
        signal=MINIMUM_REPEATS,
        noise=noise,
        base=float(null.mean()),
        rows=even,
        even=(MINIMUM_REPEATS, even_noise),
        value_real=real,
        value_fake=fake,
        sentence=f"{percent(fake)} of the fakes nearly repeat another fake; of the real rows {percent(real)} do.",
        details={"repeated": groups, "repeated_groups": count},
    )


def _shares(pool: Pool, sides: Tensor, rows: Tensor, partners: Tensor, close: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of real rows and of fakes with a near one of their own side, (P,) each."""
    own = sides[:, rows]
    other = sides[:, partners[rows]]  # (P, rows, partners)
    same = ((other == own[..., None]) & close[rows]).any(2).float()
    return (same * (1 - own)).sum(1) / pool.n_real, (same * own).sum(1) / pool.n_fake


def _excess(pool: Pool, sides: Tensor, rows: Tensor, partners: Tensor, close: Tensor) -> Tensor:
    real, fake = _shares(pool, sides, rows, partners, close)
    return fake - real


def _groups(pool: Pool, partners: Tensor, close: Tensor) -> tuple[list[tuple[int, ...]], int]:
    """Numbers of the fakes that nearly repeat each other, the largest groups first, and how many groups there are."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    left, place = close.nonzero(as_tuple=True)
    right = partners[left, place]
    both = pool.fake[left] & pool.fake[right]
    pairs = left[both].numpy(), right[both].numpy()
    shape = (len(pool), len(pool))
    _, found = connected_components(coo_matrix(([True] * len(pairs[0]), pairs), shape=shape), directed=False)
    label = torch.from_numpy(found).long()
    sizes = torch.bincount(label)
    largest = [g for g in sizes.argsort(descending=True, stable=True).tolist() if sizes[g] > 1][:MOST_GROUPS]
    groups = [pool.numbers((label == g).nonzero()[:, 0], fake=True) for g in largest]
    return groups, int((sizes > 1).sum())
