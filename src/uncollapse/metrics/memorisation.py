"""Authenticity: whether fakes are new, or copies of the training data.

It needs, from the one walk, the nearest train row of each fake and the nearest other train row of each train row.
"""

from __future__ import annotations

import torch
from scipy.special import stdtrit
from torch import Tensor

from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Rows, as_features, check_alike, check_level, seeded
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.neighbours import TIE, Nearest, rounding
from uncollapse.metrics.pairs import Pair, Visitor
from uncollapse.metrics.resampling import on_subsamples, scale
from uncollapse.metrics.share_intervals import share_ends

SHRINK = 2.0


def authenticity(
    *, train: Rows, fake: Rows, level: float | None = 0.95, generator: torch.Generator | None = None
) -> Estimate:
    """Share of fakes that are farther from their nearest training row than that row is from its nearest other.

    (1/M) sum_j 1[d(y_j, x*) > min_{x != x*} d(x*, x)], x* the training row nearest to y_j; in [0, 1]. Exact copies
    give 0, far fakes 1, and fresh real rows 0.4 to 0.8. Reference: Alaa, van Breugel, Saveliev and van der Schaar
    2022, arXiv:2102.08921.

    Args:
        train: (N, d) feature rows of what the generator was trained on.
        fake: (M, d) feature rows.
        level: Nominal coverage of the interval; None for no interval, which is faster.
        generator: Source of the interval's subsamples; seed 0 by default.

    Raises:
        UserError: As `Features`.
    """
    sides = as_features(train, name="train"), as_features(fake, name="fake", least=1)
    check_alike(*sides)
    pair = Pair(*sides)
    job = AuthenticityJob(pair, level=level, generator=generator)
    pair.walk(job.visitors)
    return job.finish()["authenticity"]


class AuthenticityJob:
    """Authenticity of the fakes of a pair whose real side is the training data.

    Attributes:
        visitors: What has to see the pairs.
    """

    def __init__(self, pair: Pair, *, level: float | None = 0.95, generator: torch.Generator | None = None) -> None:
        """Prepares the walk.

        Raises:
            UserError: A level outside (0, 1).
        """
        check_level(level)
        self.pair, self.level, self.generator = pair, level, seeded(generator)
        self.within, self.across = Nearest(pair, "real", 1), Nearest(pair, "cross", 1)
        self.visitors: list[Visitor] = [self.within, self.across]

    def finish(self) -> dict[str, Estimate]:
        """The estimate, after the walk."""
        distance, row = self.across.exact(1)
        authentic = distance > TIE * self.within.exact(1)[0][row]
        value, n = float(authentic.double().mean()), len(authentic)
        details = {"copies": int((distance == 0).sum()), "too_near": n - int(authentic.sum())}
        ends: tuple[float | None, float | None] = (None, None)
        reason: str | None = None
        if self.level is not None:
            ends = self._ends(value, self.level)
            reason = "there are too few rows for an interval: give 4 or more a side" if ends[0] is None else None
        estimate = find_metric("authenticity").estimate(
            value, ends, level=self.level, n_real=len(self.pair.real), n_fake=n, reason=reason, details=details
        )
        return {"authenticity": estimate}

    def _ends(self, value: float, level: float) -> tuple[float | None, float | None]:
        sizes = len(self.pair.real), len(self.pair.fake)
        if min(sizes) < 4:
            return None, None
        halves = on_subsamples(self.pair, _number, self.generator)[..., 0]
        variance = scale(sizes) * float((halves[:, 0] - halves[:, 1]).square().mean()) / 2
        quantile = float(stdtrit(len(halves), 0.5 + level / 2))
        return share_ends(value, float(halves.mean()), variance, sizes[1], quantile, SHRINK)


def _number(train: Tensor, fake: Tensor) -> list[float]:
    """Authenticity of a few rows, directly; what rounding could decide counts as a copy."""
    norms = [(x * x).sum(1) for x in (train, fake)]
    across = torch.addmm(norms[0][:, None] + norms[1], train, fake.T, alpha=-2)
    within = torch.addmm(norms[0][:, None] + norms[0], train, train.T, alpha=-2).fill_diagonal_(torch.inf)
    nearest = across.min(0)
    slack = rounding(train.dtype, train.shape[1]) * (norms[0][nearest.indices] + norms[1])
    return [float((nearest.values - slack > within.amin(1).clamp(min=0)[nearest.indices]).double().mean())]
