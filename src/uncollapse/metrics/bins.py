"""Bins of the real data that the fakes fill too much or too little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betaincinv, rel_entr

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Features, Rows, both, check_count, check_level, chunks, is_number, seeded
from uncollapse.metrics.metric import find_metric

# Rows a bin should hold on average on each counted side, so that its test can find something.
ROWS_PER_BIN = 10
ROUNDS = 50
WORST = 5
# Corrected tests reject several bins together or none: their number varies as if there were this many times fewer bins.
TOGETHER = 2
# Two bins in the half of the real rows that is counted.
LEAST = 2 * 2 * ROWS_PER_BIN

Array = NDArray[np.float64]
Matrix = NDArray[np.floating[Any]]


def ndb(
    *,
    real: Rows,
    fake: Rows,
    bins: int = 100,
    alpha: float = 0.05,
    correction: bool = True,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Number of statistically different bins, as a share of the bins.

    Half of the real rows are clustered by k-means; the other half and the fakes are counted in the clusters' cells, and
    each cell's two counts are compared by the exact test of two shares (hypergeometric, two-sided, mid-p), where
    Richardson and Weiss 2018, arXiv:1805.12462, read z = (p - q) / sqrt(s (1 - s) (1/n + 1/m)), s the pooled share, as
    normal: with sides of unequal sizes that finds up to three times too many. NDB / K is the share of cells that
    differ, 0 .. 1.

    Args:
        real: Feature rows (N, d).
        fake: Feature rows (M, d).
        bins: Most bins; fewer are used when that leaves less than 10 rows a bin on average on a counted side.
        alpha: Level of a bin's two-sided test, or with `correction` the share of false alarms among the alarms.
        correction: Benjamini and Hochberg's correction for many bins; without it, about alpha of the bins differ by
            chance (the classic number).
        level: Nominal coverage of the interval; None for none.
        generator: Source of the halves and of the k-means start; by default seed 0.

    Returns:
        NDB / K; `details` hold the count, K, the Jensen-Shannon divergence of the shares in bits, and the bins that
        differ most.

    Raises:
        UserError: Rows as `both`, fewer than 40 real or 20 fake ones, or an option out of its range.
    """
    check_level(level)
    check_bins(bins)
    _check_alpha(alpha)
    real_side, fake_side = both(real, fake)
    for side, least in ((real_side, LEAST), (fake_side, LEAST // 2)):
        if len(side) < least:
            raise UserError(
                f"{side.name} has {len(side)} rows, but two bins with {ROWS_PER_BIN} rows each need at least {least}; "
                "give more samples."
            )
    counts = _count(real_side, fake_side, bins, seeded(generator))
    z, p_values = _deviates(counts.real, counts.fake), _p_values(counts.real, counts.fake)
    differs = _different(p_values, alpha, correction)
    found, total = int(differs.sum()), len(z)
    value = found / total
    details = {
        "different": found,
        "bins": total,
        "expected_by_chance": 0.0 if correction else alpha * total,
        "jensen_shannon_bits": _jensen_shannon(counts.real, counts.fake),
        "counted_real": int(counts.real.sum()),
        "worst": [
            {
                "bin": int(k),
                "real_share": float(counts.real[k] / counts.real.sum()),
                "fake_share": float(counts.fake[k] / counts.fake.sum()),
                "z": float(z[k]),
                "p_value": float(p_values[k]),
            }
            for k in np.lexsort((-np.abs(z), p_values))[:WORST]
        ],
    }
    ends = (None, None) if level is None else _exact(value, total / TOGETHER if correction else total, (1 - level) / 2)
    return find_metric("ndb").estimate(
        value, ends, level=level, n_real=len(real_side), n_fake=len(fake_side), details=details
    )


@dataclass(frozen=True)
class _Counts:
    """Rows in each bin, float64 (K,) a side; `real` without those that made the bins."""

    real: Array
    fake: Array


def check_bins(bins: int) -> None:
    """Refuses what is no number of bins.

    Raises:
        UserError: It is no whole number of 2 or more.
    """
    check_count(bins, "bins", least=2)


def _check_alpha(alpha: float) -> None:
    if not (is_number(alpha) and 0 < alpha < 1):
        raise UserError(f"alpha must be between 0 and 1, for example 0.05, not {alpha!r}.")


def _count(real: Features, fake: Features, bins: int, generator: torch.Generator) -> _Counts:
    """Clusters one half of the real rows, counts the other half and the fakes.

    The rows that made the clusters are no fresh sample of the cells' shares, which the test assumes of both sides.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    half = len(real) // 2
    shuffled = real.order[torch.randperm(len(real), generator=generator).to(real.order.device)]
    # What all rows share would be all that products of large numbers tell.
    shaping = (real.x[shuffled[:half]].double() - real.mean).to(real.x.dtype)
    distinct = len(torch.unique(real.keys[shuffled[:half]]))
    clusters = max(1, min(bins, distinct, (len(real) - half) // ROWS_PER_BIN, len(fake) // ROWS_PER_BIN))
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    with threadpool_limits(limits=1):
        shape = shaping.cpu().numpy()
        means = KMeans(clusters, n_init=1, max_iter=ROUNDS, random_state=seed).fit(shape).cluster_centers_
        counted = real.x[shuffled[half:]]
        return _Counts(_fill(counted, real.mean, means), _fill(fake.x, real.mean, means))


def _fill(x: torch.Tensor, mean: torch.Tensor, centres: Matrix) -> Array:
    """Rows whose nearest centre each centre is, (K,); compared in float64, as differences from a mean (d,)."""
    exact = np.asarray(centres, dtype=np.float64)
    norms = np.square(exact).sum(1) / 2
    counts = np.zeros(len(exact))
    for part in chunks(len(x), x.shape[1]):
        nearest = (norms - (x[part].double() - mean).cpu().numpy() @ exact.T).argmin(1)
        counts += np.bincount(nearest, minlength=len(exact))
    return counts


def _deviates(real: Array, fake: Array) -> Array:
    """Two-proportion z of each bin, positive where fakes are too many; 0 where all or none of the rows are."""
    n, m = real.sum(), fake.sum()
    pooled = (real + fake) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    gap = fake / m - real / n
    result: Array = np.divide(gap, error, out=np.zeros_like(gap), where=error > 0)
    return result


def _p_values(real: Array, fake: Array) -> Array:
    """Two-sided exact p-value of each bin's two counts, (K,): twice the lesser tail, what was seen counting half.

    Given the rows of a bin, those of one side are hypergeometric where both shares are equal. The mid-p is near its
    level for small counts, too, for which the exact tail itself finds too little. Reference: Lancaster 1961,
    Significance tests in discrete distributions.
    """
    from scipy.stats import hypergeom

    together, all_rows = real + fake, real.sum() + fake.sum()
    tails = [hypergeom.cdf(side, all_rows, together, side.sum()) for side in (real, fake)]
    half = hypergeom.pmf(real, all_rows, together, real.sum()) / 2
    doubled: Array = np.clip(2 * (np.minimum(*tails) - half), 0, 1)
    return doubled


def _different(p_values: Array, alpha: float, correction: bool) -> NDArray[np.bool_]:
    """Which bins differ; Benjamini and Hochberg 1995: the k smallest, k the last with p_(k) <= alpha k / K."""
    if not correction:
        plain: NDArray[np.bool_] = p_values < alpha
        return plain
    ranked = np.sort(p_values)
    below = np.flatnonzero(ranked <= alpha * np.arange(1, len(ranked) + 1) / len(ranked))
    differs: NDArray[np.bool_] = p_values <= (ranked[below[-1]] if len(below) else -1.0)
    return differs


def _jensen_shannon(real: Array, fake: Array) -> float:
    p, q = real / real.sum(), fake / fake.sum()
    middle = (p + q) / 2
    return float((rel_entr(p, middle) + rel_entr(q, middle)).sum() / 2 / np.log(2))


def _exact(share: float, total: float, tail: float) -> tuple[float, float]:
    """Clopper-Pearson ends of a share of `total` bins, which need not be whole numbers."""
    found, left = share * total, (1 - share) * total
    low = 0.0 if share == 0 else float(betaincinv(found, left + 1, tail))
    high = 1.0 if share == 1 else float(betaincinv(found + 1, left, 1 - tail))
    return low, high
