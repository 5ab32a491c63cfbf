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
# Shares below this are no more than told to be so.
SMALLEST = 1e-4


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The answer to one question, before the correction over all of them.

    Attributes:
        metric: What was asked.
        statistics: The statistic of the observed sides, then of random assignments (1 + P,); larger = more lost.
        effect: Size of the loss.
        minimum_effect: From where on it counts as collapse.
        signal: What a loss of the minimum effect adds to the statistic at these sizes; None where that is not known.
        noise: Standard deviation of the statistic under such a loss at these sizes.
        base: Where the statistic stands before the signal is added.
        rows: Rows a side, as many of each, among which exchanges scatter as widely as among those looked at.
        even: Signal and noise at so many rows a side; None where they are those of these sizes.
        mirrored: The statistic after real rows and fakes changed places, (1 + P,); None where that is its negative.
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
    rows: float
    even: tuple[float, float] | None = None
    mirrored: Tensor | None = None
    value_real: float | None
    value_fake: float | None
    sentence: str
    lost: tuple[Lost, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def power(self, alpha: float) -> tuple[float | None, int | None]:
        """Chance to find the minimum effect at this level, and the rows a side, looked at, that make it `POWER`.

        power = Phi((signal - limit) / noise) at these sizes; needed = rows ((limit' + z noise') / signal')^2 with the
        even signal' and noise' and z = Phi^-1(0.8), for as many rows of each side. The statistic under the loss is
        taken as normal, and the signal to grow with the root of the rows.

        Args:
            alpha: Level of this question alone.
        """
        if not self.signal or self.signal < 0 or self.noise <= 0:
            return None, None
        limit = _end(self.statistics, alpha) - self.base
        mirrored = -self.statistics if self.mirrored is None else self.mirrored
        # Sides of one size may change places, so the skew that other sizes give the limit falls out of this mean.
        even_limit = (limit + _end(mirrored, alpha) + self.base) / 2
        signal, noise = self.even or (self.signal, self.noise)
        factor = (even_limit + float(ndtri(POWER)) * noise) / signal
        return float(ndtr((self.signal - limit) / self.noise)), math.ceil(self.rows * factor**2)


def _end(statistics: Tensor, alpha: float) -> float:
    """What the part alpha of the exchanges, all but the first of (1 + P,), exceeds."""
    return float(torch.quantile(statistics[1:].double(), 1 - alpha))


def even_rows(n_real: int, n_fake: int) -> float:
    """Rows a side, as many of each, whose means differ by chance as much: the harmonic mean, 2 / (1/n + 1/m)."""
    return 2 / (1 / n_real + 1 / n_fake)


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


def half_made(share: float, n_real: float, n_fake: float) -> tuple[float, float]:
    """Mean and standard deviation of the standard score of a group of this share p of which fakes make half, q = p / 2.

    (p - q) / e and sqrt(p (1 - p) / n + q (1 - q) / m) / e with e = sqrt(w (1 - w) (1/n + 1/m)), w the pooled share
    (n p + m q) / (n + m). The deviation is 1 only for n = m: among many fakes w is nearly q, and e too small for p.

    Args:
        share: Share p of the real rows, in (0, 1).
        n_real: Real rows n.
        n_fake: Fakes m.
    """
    half = share / 2
    both = (n_real * share + n_fake * half) / (n_real + n_fake)
    error = math.sqrt(both * (1 - both) * (1 / n_real + 1 / n_fake))
    deviation = math.sqrt(share * (1 - share) / n_real + half * (1 - half) / n_fake)
    return (share - half) / error, deviation / error


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

    >>> percent(0.1234), percent(0.0021), percent(2e-8), percent(0.0)
    ('12 %', '0.21 %', 'under 0.01 %', '0 %')
    """
    if 0 < share < SMALLEST:
        return f"under {100 * SMALLEST:g} %"
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"
