"""What every question about a loss answers, and how likely it would have found a loss that matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from uncollapse.metrics.intervals import wilson
from uncollapse.verdict.verdict import Lost

POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The answer to one question, before the correction over all of them.

    Attributes:
        metric: What was asked.
        statistics: The statistic of the observed sides, then of random assignments (1 + P,); larger = more lost.
        effect: Size of the loss.
        minimum_effect: From where on it counts as collapse.
        signal: What a loss of the minimum effect adds to the statistic at these sizes; None where that is not known.
        noise: Standard deviation of the statistic under such a loss.
        base: Where the statistic stands before the signal is added.
        value_real: Number of the real side.
        value_fake: Number of the fake side.
        sentence: The answer for people.
        lost: Classes or regions made too rarely.
        details: Row numbers for pictures.
    """

    metric: str
    statistics: Tensor
    effect: float
    minimum_effect: float
    signal: float | None
    noise: float = 1.0
    base: float = 0.0
    value_real: float | None
    value_fake: float | None
    sentence: str
    lost: tuple[Lost, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def power(self, alpha: float, size: int) -> tuple[float | None, int | None]:
        """Chance to find the minimum effect at this level, and the rows a side that make it `POWER`.

        The statistic under the loss is taken as normal, and the signal to grow with the root of the rows.

        Args:
            alpha: Level of this question alone.
            size: Rows of the smaller side.
        """
        if not self.signal or self.signal < 0 or self.noise <= 0:
            return None, None
        limit = float(torch.quantile(self.statistics[1:].double(), 1 - alpha)) - self.base
        factor = (limit + float(ndtri(POWER)) * self.noise) / self.signal
        return float(ndtr((self.signal - limit) / self.noise)), math.ceil(size * factor**2)


def reaches(p: float, alpha: float) -> bool:
    """Whether a p-value is at most alpha, equality included however both were rounded."""
    return p <= alpha * (1 + 1e-12)


def step_max(scores: Tensor) -> Tensor:
    """Adjusted p-values of many scores at once, (K,): the share of assignments whose largest score is as large.

    Args:
        scores: (1 + P, K), the observed scores first. Reference: Westfall and Young 1993, Resampling-Based Multiple
            Testing (single-step maxT).
    """
    largest = scores.max(1).values
    return (largest[:, None] >= scores[0] - 1e-6 * scores[0].abs()).double().mean(0)


def standard_scores(fake: Tensor, total: Tensor, n_real: int, n_fake: int) -> Tensor:
    """How far the fakes' counts fall short of their part of each total, in standard errors; positive = too few.

    (p - q) / sqrt(w (1 - w) (1/n + 1/m)) with p, q the shares of the real rows and fakes and w that of both.

    Args:
        fake: Counts of fakes, (..., K).
        total: Counts of both sides, (K,).
        n_real: Real rows.
        n_fake: Fakes.
    """
    both = total / (n_real + n_fake)
    deviation = (both * (1 - both) * (1 / n_real + 1 / n_fake)).sqrt()
    short = (total - fake) / n_real - fake / n_fake
    return torch.where(deviation > 0, short / deviation.clamp_min(1e-30), torch.zeros_like(short))


def signal_of_half(share: float, n_real: int, n_fake: int) -> float:
    """Standard errors by which a group of this share falls short when the fakes have half of it."""
    both = share * (n_real + n_fake / 2) / (n_real + n_fake)
    return share / 2 / math.sqrt(both * (1 - both) * (1 / n_real + 1 / n_fake))


def lost_share(
    mode: str,
    kind: str,
    shares: tuple[float, float],
    count: int,
    n_fake: int,
    p_adjusted: float,
    rows: Sequence[tuple[int, ...]] = ((), ()),
) -> Lost:
    """A group made too rarely, with Wilson's interval of its share of the fakes."""
    low, high = wilson(count, n_fake)
    real, fake = rows
    return Lost(
        mode=mode, kind="class" if kind == "class" else "cluster", share_real=shares[0], share_fake=shares[1],
        low=low, high=high, p_adjusted=p_adjusted, real=real, fake=fake,
    )  # fmt: skip


def percent(share: float) -> str:
    """A share as people say it: no more digits than a reader can use.

    >>> percent(0.1234), percent(0.0021), percent(0.0)
    ('12 %', '0.21 %', '0 %')
    """
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"
