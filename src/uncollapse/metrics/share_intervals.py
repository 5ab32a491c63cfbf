"""Wilson's interval of a share whose rows are not independent, and what few outliers do to its upper end."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor


def share_ends(
    value: float, typical: float, variance: float, n: int, quantile: float, shrink: float = 1.0
) -> tuple[float, float]:
    """Wilson's interval of a share, with as many independent rows as its variance says, at most n.

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
    extra = quantile**2 / rows
    half = quantile * math.sqrt((value * (1 - value) + extra / 4) / rows)
    return max(0.0, (value + extra / 2 - half) / (1 + extra)), min(1.0, (value + extra / 2 + half) / (1 + extra))


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
