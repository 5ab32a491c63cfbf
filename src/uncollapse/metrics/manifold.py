"""Precision, recall, density and coverage: quality and variety apart, by the balls of nearest neighbours.

All four come from one walk over the pairs (`pairs.py`), also with different k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Rows, both, check_level, check_neighbours, seeded
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.moments import square
from uncollapse.metrics.neighbours import Balls, Nearest, rounding
from uncollapse.metrics.pairs import Pair, Visitor
from uncollapse.metrics.resampling import (
    MANY,
    Ranks,
    directly,
    enough_neighbours,
    fraction,
    on_parts,
    scale,
    splits_for,
    subsamples,
)
from uncollapse.metrics.share_intervals import outlying_ends, share_ends

OneSide = Literal["real", "fake"]
# k -> whether each row of the other side (columns) lies in the ball of each row of a side.
Inside = Mapping[int, NDArray[np.bool_]]

SIDES: tuple[OneSide, ...] = ("real", "fake")
NAMES = ("precision", "recall", "density", "coverage")
DEFAULT_K: Mapping[str, int] = {"precision": 3, "recall": 3, "density": 5, "coverage": 5}
# The variance that the balls bring shrinks more slowly than 1 / n when outliers' balls decide. Number of parts of a
# subsample that it was seen on -> how often it counts; simulation chose these.
BALLS_SHRINK: Mapping[str, Mapping[int, float]] = {
    "precision": {1: 2.0, 2: 4.0, 4: 8.0}, "recall": {1: 2.0, 2: 4.0, 4: 8.0}, "coverage": {1: 1.5},
}  # fmt: skip
DENSITY_WIDER = 1.4
ALONE, PARTS = {1: 1.0}, (1, 2, 4)


def precision(
    *,
    real: Rows,
    fake: Rows,
    k: int = 3,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Share of fakes that lie where the real data lie: in a ball around a real row that reaches its k-th neighbour.

    (1/M) sum_j 1[min_i d(x_i, y_j) / r_k(x_i) <= 1], in [0, 1]. Reference: Kynkaanniemi, Karras, Laine, Lehtinen and
    Aila 2019, arXiv:1904.06991.

    Args:
        real: (N, d) feature rows.
        fake: (M, d) feature rows.
        k: Which neighbour of a real row its ball reaches.
        level: Nominal coverage of the interval; None for no interval, which is faster.
        generator: Source of the interval's subsamples; seed 0 by default.

    Raises:
        UserError: As `Features`, or k is not below the number of rows.
    """
    return _alone("precision", real, fake, k, level, generator)


def recall(
    *,
    real: Rows,
    fake: Rows,
    k: int = 3,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Share of real rows that lie in a ball around a fake row that reaches its k-th neighbour among the fakes.

    `precision` with the sides exchanged, in [0, 1]. Reference and arguments: `precision`.

    Raises:
        UserError: As `precision`.
    """
    return _alone("recall", real, fake, k, level, generator)


def density(
    *,
    real: Rows,
    fake: Rows,
    k: int = 5,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Mean number of real balls that a fake lies in, over k: at least 0, 1 on average for a perfect generator.

    1/(k M) sum_j sum_i 1[d(x_i, y_j) <= r_k(x_i)]. Reference: Naeem, Oh, Uh, Choi and Yoo 2020, arXiv:2002.09797.
    Arguments: `precision`.

    Raises:
        UserError: As `precision`.
    """
    return _alone("density", real, fake, k, level, generator)


def coverage(
    *,
    real: Rows,
    fake: Rows,
    k: int = 5,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Share of real rows whose ball to their k-th real neighbour holds a fake, in [0, 1].

    (1/N) sum_i 1[min_j d(x_i, y_j) <= r_k(x_i)]; of a perfect generator on average
    1 - prod_{i<k} (N-1-i)/(M+N-1-i). Reference and arguments: `density`.

    Raises:
        UserError: As `precision`.
    """
    return _alone("coverage", real, fake, k, level, generator)


def _alone(
    name: str, real: Rows, fake: Rows, k: int, level: float | None, generator: torch.Generator | None
) -> Estimate:
    pair = Pair(*both(real, fake))
    job = ManifoldJob(pair, (name,), k={name: k}, level=level, generator=generator)
    pair.walk(job.visitors)
    return job.finish()[name]


class ManifoldJob:
    """Any of the four numbers from one walk.

    Attributes:
        visitors: What has to see the pairs.
    """

    def __init__(
        self,
        pair: Pair,
        names: Sequence[str] = NAMES,
        *,
        k: Mapping[str, int] | None = None,
        level: float | None = 0.95,
        generator: torch.Generator | None = None,
    ) -> None:
        """Chooses what has to be looked at.

        Args:
            pair: The sides.
            names: Which of `NAMES`.
            k: Name -> k where it differs from `DEFAULT_K`.
            level: Nominal coverage of the intervals, or None.
            generator: Source of the intervals' subsamples; seed 0 by default.

        Raises:
            UserError: A k that a side cannot have, or a level outside (0, 1).
        """
        check_level(level)
        self.pair, self.level, self.generator = pair, level, seeded(generator)
        self.k = {name: {**DEFAULT_K, **(k or {})}[name] for name in names}
        for name, value in self.k.items():
            check_neighbours(value, pair.fake if _owner(name) == "fake" else pair.real)
        self.balls: dict[OneSide, Balls] = {}
        for side in SIDES:
            ks = sorted({value for name, value in self.k.items() if _owner(name) == side})
            if ks:
                self.balls[side] = Balls(pair, Nearest(pair, side, ks[-1]), ks)
        self.visitors: list[Visitor] = [*(balls.nearest for balls in self.balls.values()), *self.balls.values()]

    def finish(self) -> dict[str, Estimate]:
        """The estimates, after the walk."""
        halves = None if self.level is None else self._halves()
        sizes = {"n_real": len(self.pair.real), "n_fake": len(self.pair.fake)}
        result = {}
        for name, k in self.k.items():
            value, inside = self._value(name, k)
            reason: str | None = None
            ends: tuple[float | None, float | None] = (None, None)
            if self.level is not None and halves is None:
                reason = "there are too few rows for an interval: each half needs more than k"
            elif self.level is not None and halves is not None:
                ends = self._ends(name, value, inside, {parts: of[name] for parts, of in halves.items() if name in of})
            result[name] = find_metric(name).estimate(
                value, ends, level=self.level, reason=reason, details={"k": k}, **sizes
            )
        return result

    def _value(self, name: str, k: int) -> tuple[float, float]:
        """The number, and the share of the rows it is a mean over that count at all."""
        balls = self.balls[_owner(name)]
        if name == "coverage":
            share = float(balls.holding[k].double().mean())
            return share, share
        share = float((balls.counts[k] > 0).double().mean())
        return (float(balls.counts[k].double().mean()) / k if name == "density" else share), share

    def _halves(self) -> dict[int, dict[str, Tensor]] | None:
        """Number of parts of a subsample -> name -> the number on all parts of some splits (splits, 2 x parts)."""
        sizes = len(self.pair.real), len(self.pair.fake)
        share = fraction(sizes)
        if min(sizes) < 4 or int(min(sizes) * share) <= max(self.k.values()):
            return None
        splits = list(subsamples(sizes, generator=self.generator, splits=splits_for(sizes)))
        rows = min(len(side) for some in splits[0] for side in some)
        # A part that has no more rows than a ball reaches neighbours tells nothing.
        names = {
            parts: [name for name, k in self.k.items() if parts in BALLS_SHRINK.get(name, ALONE) and rows // parts > k]
            for parts in PARTS
        }
        names = {parts: of for parts, of in names.items() if of}
        if max(sizes) > MANY:
            look = {parts: partial(directly, self.pair, partial(self._numbers, of)) for parts, of in names.items()}
            return _named(names, on_parts(look, splits))
        kept = max(enough_neighbours(self.k[name], share / parts) for parts, of in names.items() for name in of)
        while True:
            ranks = {side: Ranks(self.pair, side, kept) for side in self.balls}
            found = on_parts({parts: partial(self._ranked, ranks, of) for parts, of in names.items()}, splits)
            if not any(rank.short for rank in ranks.values()):
                return _named(names, found)
            kept *= 2

    def _ks(self, names: Sequence[str]) -> dict[OneSide, list[int]]:
        """Which neighbours the balls of each side reach for some of the numbers."""
        found = {side: sorted({self.k[name] for name in names if _owner(name) == side}) for side in SIDES}
        return {side: ks for side, ks in found.items() if ks}

    def _ranked(self, ranks: Mapping[OneSide, Ranks], names: Sequence[str], real: Tensor, fake: Tensor) -> list[float]:
        """Numbers of some ordered rows, from the ranks of all distances."""
        rows: Mapping[OneSide, tuple[Tensor, Tensor]] = {"real": (real, fake), "fake": (fake, real)}
        inside = {side: ranks[side].inside(*rows[side], ks) for side, ks in self._ks(names).items()}
        return self._shares(names, inside)

    def _numbers(self, names: Sequence[str], real: Tensor, fake: Tensor) -> list[float]:
        """Numbers of a few rows, directly; pairs on a surface within rounding count as inside."""
        rows: Mapping[OneSide, Tensor] = {"real": real, "fake": fake}
        norms = {side: (x * x).sum(1) for side, x in rows.items()}
        across = norms["real"][:, None] + norms["fake"]
        slack = rounding(real.dtype, real.shape[1]) * across
        across = torch.addmm(across, real, fake.T, alpha=-2) - slack
        inside: dict[OneSide, Inside] = {}
        for side, ks in self._ks(names).items():
            within = (norms[side][:, None] + norms[side]).sub_(square(rows[side].T), alpha=2)
            within.fill_diagonal_(math.inf).clamp_(min=0)
            radii = within.topk(ks[-1], dim=1, largest=False).values
            toward = across if side == "real" else across.T
            inside[side] = {k: (toward <= radii[:, k - 1 : k]).cpu().numpy() for k in ks}
        return self._shares(names, inside)

    def _shares(self, names: Sequence[str], inside: Mapping[OneSide, Inside]) -> list[float]:
        """Numbers from who lies in whose ball."""
        result = []
        for name in names:
            k = self.k[name]
            table = inside[_owner(name)][k]
            if name == "density":
                result.append(np.count_nonzero(table) / (k * table.shape[1]))
            else:
                result.append(float(table.any(1 if name == "coverage" else 0).mean()))
        return result

    def _ends(self, name: str, value: float, inside: float, found: Mapping[int, Tensor]) -> tuple[float, float]:
        assert self.level is not None, "no interval was asked for"
        sizes, halves = (len(self.pair.real), len(self.pair.fake)), found[1]
        quantile = float(stdtrit(len(halves), 0.5 + self.level / 2))
        n = sizes[1] if name in ("precision", "density") else sizes[0]
        if name != "density":
            return outlying_ends(value, found, scale(sizes), n, quantile, BALLS_SHRINK[name])
        mean, variance = float(halves.mean()), scale(sizes) * float(halves.var(1).mean())
        if value == 0:
            return 0.0, share_ends(0.0, 0.0, 0.0, n, quantile)[1]
        # Its spread grows with itself, so the interval is one of its logarithm.
        inside = min(inside, (n + 1) / (n + 2))
        relative = max(variance / mean**2 if mean > 0 else 0.0, (1 - inside) / (n * inside))
        factor = math.exp(quantile * DENSITY_WIDER * math.sqrt(relative))
        return value / factor, value * factor


def _named(names: Mapping[int, Sequence[str]], found: Mapping[int, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Numbers on parts by their names, each laid out as if it were alone, so that it is summed in the same order."""
    apart = {parts: values.movedim(-1, 0).contiguous() for parts, values in found.items()}
    return {parts: dict(zip(names[parts], values, strict=True)) for parts, values in apart.items()}


def _owner(name: str) -> OneSide:
    """Whose balls a number is about."""
    return "fake" if name == "recall" else "real"
