"""Diversity: how far apart two fakes are on average, of features or in the eyes of a distance between images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from scipy.special import ndtri
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Features, Rows, as_features, both, check_level, seeded
from uncollapse.metrics.matchings import PairDistance, Sampled, sampled_distance
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.pair_sums import LEAST_FOR_SPREAD, PairSums, TileFunction, identical, student
from uncollapse.metrics.pairs import Pair, Side, Tile, Visitor

# Offset of the fakes, in units of their own spread (both squared), beyond which float32 distances lose digits.
FAR = 100.0


def diversity(
    *,
    fake: Rows,
    real: Rows | None = None,
    distance: PairDistance | None = None,
    pairs: int | None = None,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Diversity: the mean distance between two different fakes.

    D = mean_{i < j} |y_i - y_j| over all pairs of feature rows; with `distance`, the mean of distance(a, b) over
    random pairs of images in which every image occurs equally often. 0 when all fakes are alike; a good value is the
    real images' own, not a large one. Reference: Mao, Lee, Tseng, Ma, Yang 2019 (LPIPS between outputs),
    arXiv:1903.05628; Choi, Uh, Yoo, Ha 2020, arXiv:1912.01865.

    Args:
        fake: (n, d) features, or (n, ...) images with `distance`.
        real: The same of real data: `details` then holds its diversity and the ratio of fake to real with an interval.
        distance: (b, ...), (b, ...) -> (b,) distances, for example `Lpips`; None is Euclidean on features.
        pairs: With `distance`, the number of pairs, rounded up to whole rounds in which every image has one partner;
            None is one round (n // 2 pairs).
        level: Nominal coverage of the interval, or None for none.
        generator: Source of the random pairs; by default one of seed 0.

    Returns:
        The diversity; `details` holds "standard_error", and with `real` also "real", "ratio_to_real" and
        "ratio_interval".

    Raises:
        UserError: Fewer than 2 rows, sides that cannot be compared, or distances that are not (b,) numbers >= 0.
    """
    check_level(level)
    draws = seeded(generator)
    if distance is not None:
        if not callable(distance):
            raise UserError(f"distance must be a function of two batches, as uc.metrics.Lpips(...), not {distance!r}.")
        found = sampled_distance(fake, "fake", distance, pairs, draws)
        other = None if real is None else sampled_distance(real, "real", distance, pairs, draws)
        return summary(found, other, level)
    if pairs is not None:
        raise UserError("pairs goes with a distance between images; between features all pairs are taken.")
    if real is None:
        rows = as_features(fake, name="fake")
        pair = Pair(rows, rows)
    else:
        pair = Pair(*both(real, fake))
    job = DiversityJob(pair, level, against_real=real is not None)
    pair.walk(job.visitors)
    return job.finish()["diversity"]


class DiversityJob:
    """Diversity from a walk over all pairs.

    Attributes:
        visitors: What the walk must show its tiles to.
    """

    def __init__(self, pair: Pair, level: float | None, *, against_real: bool = True) -> None:
        """Prepares the sums.

        Args:
            pair: What will be walked.
            level: Nominal coverage of the interval, or None for none.
            against_real: Whether the ratio to the real diversity is wanted.
        """
        self.pair, self.level = pair, level
        sides: tuple[Side, ...] = ("real", "fake") if against_real else ("fake",)
        self._apart = pair.real is not pair.fake and _far_away(pair)
        shared: tuple[Side, ...] = tuple(side for side in sides if not (self._apart and side == "fake"))
        self._sums = PairSums(pair, shared, euclidean(pair), spread=level is not None)
        self._sides = sides
        self.visitors: Sequence[Visitor] = (self._sums,) if shared else ()

    def finish(self) -> dict[str, Estimate]:
        """The estimate, after the walk."""
        sums = dict.fromkeys(self._sides, self._sums)
        if self._apart:
            # Fakes far from the real mean are walked on their own, around their own mean.
            alone = Pair(self.pair.fake, self.pair.fake)
            own: Side = "fake"
            sums["fake"] = PairSums(alone, (own,), euclidean(alone), spread=self.level is not None)
            alone.walk([sums["fake"]])
        found = {}
        for side in self._sides:
            within = sums[side].within(side)
            rows = self.pair.real if side == "real" else self.pair.fake
            variance = within.variance if self.level is not None else math.nan
            found[side] = Sampled(within.mean, variance, len(rows), identical(rows), {})
        return {"diversity": summary(found["fake"], found.get("real"), self.level)}


def euclidean(pair: Pair) -> TileFunction:
    """Tile -> Euclidean distances; exactly 0 between identical rows, where float32 would leave a rounding error."""
    groups = {name: _groups(side) for name, side in pair.sides.items()}

    def distances(tile: Tile) -> Tensor:
        values = tile.squared.sqrt()
        group = groups[tile.side]
        if group is not None:
            values.masked_fill_(group[tile.rows][:, None] == group[tile.columns], 0.0)
        return values

    return distances


def summary(fake: Sampled, real: Sampled | None, level: float | None) -> Estimate:
    """The estimate from the mean distances of fakes and, if given, of real rows."""
    details: dict[str, Any] = dict(fake.details)
    ends: tuple[float | None, float | None] = (None, None)
    reason = None
    if level is not None and fake.same:
        ends = (0.0, None)
        reason = (
            "all fakes are identical: how far a rare different one would lie is not known, so there is no upper end"
        )
    elif level is not None and (fake.n < LEAST_FOR_SPREAD or math.isnan(fake.variance)):
        reason = f"fewer than {LEAST_FOR_SPREAD} rows, too few to tell how much the value varies"
    elif level is not None:
        ends = student(fake.value, fake.variance, fake.n, level)
        details["standard_error"] = math.sqrt(fake.variance)
    if real is not None:
        details |= {"real": real.value} | ratio(fake, real, level)
    return find_metric("diversity").estimate(
        fake.value, ends, level=level, n_real=None if real is None else real.n, n_fake=fake.n, reason=reason,
        details=details,
    )  # fmt: skip


def ratio(fake: Sampled, real: Sampled, level: float | None) -> dict[str, Any]:
    """Fake over real with its interval, found on the logarithm; None where it is not defined."""
    if real.value <= 0:
        return {"ratio_to_real": None, "ratio_interval": None}
    value = fake.value / real.value
    known = level is not None and value > 0 and min(fake.n, real.n) >= LEAST_FOR_SPREAD
    if not known or level is None:
        return {"ratio_to_real": value, "ratio_interval": None}
    relative = math.sqrt(fake.variance / fake.value**2 + real.variance / real.value**2)
    reach = math.exp(float(ndtri(0.5 + level / 2)) * relative)
    return {"ratio_to_real": value, "ratio_interval": [value / reach, value * reach]}


def _far_away(pair: Pair) -> bool:
    """Whether float32 distances between fakes, taken around the real mean, would lose digits."""
    if pair.dtype == torch.float64:
        return False
    offset = float((pair.fake.mean - pair.real.mean).square().sum())
    around = float(pair.centred["fake"].square().sum(1, dtype=torch.float64).mean())
    return offset > FAR * max(around - offset, 0.0)


def _groups(side: Features) -> Tensor | None:
    """A number for each ordered row, equal for identical rows (n,); None when all rows differ."""
    keys = side.keys[side.order]
    changes = keys[1:] != keys[:-1]
    if bool(changes.all()):
        return None
    return torch.cat([keys.new_zeros(1), changes.cumsum(0)]).int()
