"""Intervals of shares that hold near 0 and 1, with rows that are not independent, and with few outlying ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy.special import betaincinv, ndtr
from torch import Tensor


def counted_ends(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Interval of a share of n independent rows: Wilson's, and no narrower than the exact one-sided bounds.

    Wilson's alone holds in 84 % where 0.176 rows are expected: one that is seen puts them below its lower end. With
    x = n share, the lower end is at most the alpha-quantile of a beta variable (x, n - x + 1), which at 95 % is lower
    up to x = 10; the upper end likewise with the other rows. Of 95 %, the result holds in 92.5 % or more for all shares
    and n from 50 on (in 96 % on average where fewer than eight rows are expected). References: Wilson 1927, JASA 22;
    Clopper and Pearson 1934, Biometrika 26; Brown, Cai and DasGupta 2001, Statistical Science 16(2), who take such
    bounds for x up to 3.

    Args:
        share: Seen, in [0, 1].
        n: Rows, which need not be a whole number.
        quantile: Two-sided quantile, of which alpha = 2 (1 - Phi(quantile)).
    """
    extra, alpha = quantile**2 / n, 2 * float(ndtr(-quantile))
    half = quantile * math.sqrt((share * (1 - share) + extra / 4) / n)
    low, high = (share + extra / 2 - half) / (1 + extra), (share + extra / 2 + half) / (1 + extra)
    least, others = (
        float(betaincinv(n * part, n * (1 - part) + 1, alpha)) if part > 0 else 0.0 for part in (share, 1 - share)
    )
    return max(0.0, min(low, least)), min(1.0, max(high, 1 - others))


def share_ends(
    value: float, typical: float, variance: float, n: int, quantile: float, shrink: float = 1.0
) -> tuple[float, float]:
    """The interval of a share with as many independent rows as its variance says, at most n.

    Args:
        value: The share.
        typical: What it is on subsamples; stands in where the share is 0 or 1.
        variance: Its variance by subsampling.
        n: Rows that it is a share of.
        quantile: Student's or the normal quantile.
        shrink: How often the variance beyond that of n independent rows counts.
    """
    share = value if 0 < value < 1 else typical
    least = share * (1 - share) / n
    whole = least + shrink * max(0.0, variance - least)
    rows = share * (1 - share) / whole if whole > 0 else n
    return counted_ends(value, rows, quantile)


def outlying_ends(
    value: float, found: Mapping[int, Tensor], scale: float, n: int, quantile: float, shrink: Mapping[int, float]
) -> tuple[float, float]:
    """The interval of a share that a few outlying rows may raise.

    Where they do, most samples have none of them, and so too low a share and too little spread to reach the mean. In
    smaller parts, where the tails are sparser, more rows are outliers. The lower end rests on the spread of the
    subsamples, the upper end on that of the subsamples or of their parts, whichever is larger once each is brought to
    the whole: to its rows, and from p (1 - p) of the parts' own share p to that of the whole's.

    Args:
        value: The share.
        found: Number of parts of a subsample -> the share on disjoint parts (splits, 2 x parts); 1 is the subsample.
        scale: By which part a variance on subsamples is that of the whole.
        n: Rows that it is a share of.
        quantile: Student's quantile.
        shrink: Number of parts -> how often the variance beyond that of independent rows counts.
    """
    typical = float(found[1].mean())
    share, ends = value if 0 < value < 1 else typical, {}
    for parts, values in found.items():
        mean, variance = float(values.mean()), scale / parts * float(values.var(1).mean())
        if parts > 1 and 0 < mean < 1:
            variance *= share * (1 - share) / (mean * (1 - mean))
        if parts in shrink:
            ends[parts] = share_ends(value, typical, variance, n, quantile, shrink[parts])
    return ends[1][0], max(high for _, high in ends.values())
