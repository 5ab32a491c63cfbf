"""Intervals for the mean of a divergence between class counts, sound where the classes agree and where they do not.

Near agreement such a number behaves like a chi-square, far away like a normal one, and no formula serves both. So the
shares are moved along the line from agreement through what was seen, samples are drawn at each place, and the places
that make the seen number too rare are ruled out: test inversion along a one-parameter family. What such a number is on
average at agreement depends on shares that are known from the counts alone, which the lower end allows for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import chndtr, gdtr, gdtrix, ndtri

Array = NDArray[np.float64]
# Fake counts (draws, K) and real counts (draws, K) or the exact shares (K,) -> one number a draw.
Statistic = Callable[[Array, Array], Array]
STEPS = 13
DRAWS, FEWEST_DRAWS, NUMBERS = 8_000, 200, 40_000
# Standard errors of the simulation by which the ends are moved out.
SLACK = 3.0
SEED = 20_260_102
RARE = 1e-12
LARGE = 2_000.0


@dataclass(frozen=True)
class Agreement:
    """A number that grows with the disagreement of fake counts and a reference.

    Attributes:
        statistic: The number; at least 0.
        fake: Fake counts (K,).
        real: Real counts (K,); shares that sum to 1 when `exact`.
        exact: Whether the reference is known exactly.
        also: Another number that is the same at these counts but not at draws that leave classes empty; the interval
            then reaches as far as that of either.
    """

    statistic: Statistic
    fake: Array
    real: Array
    exact: bool
    also: Statistic | None = None

    @property
    def seen(self) -> float:
        """The number of the counts themselves."""
        real = self.real if self.exact else self.real[None]
        return float(self.statistic(self.fake[None], real)[0])

    @cached_property
    def floor(self) -> float:
        """Its mean when both sides have the same shares: the reference's, or the pooled ones."""
        return self._moments(0.0)[0]

    def generous(self, ends: tuple[float | None, float | None]) -> bool:
        """Whether such an interval holds its mean more often than its level: from the least mean, or at one class."""
        return ends[0] is not None and (ends[0] <= self.floor or int((self.fake > 0).sum()) == 1)

    def ends(self, level: float) -> tuple[float, float]:
        """Interval for the mean of the number over fresh samples of the same sizes."""
        if self.also is not None:
            both = [replace(self, statistic=number, also=None).ends(level) for number in (self.statistic, self.also)]
            return min(low for low, _ in both), max(high for _, high in both)
        z = float(ndtri(0.5 + level / 2))
        places = np.linspace(0, self._reach, STEPS)
        means, spreads = np.array([self._moments(place) for place in places]).T
        below = np.clip(_chance_below(self.seen, means, spreads, len(self.fake) - 1), RARE, 1 - RARE)
        deviates = -np.minimum.accumulate(ndtri(below))
        # The mean is nearly linear in the squared place, and the deviate in the place.
        low, high = (float(np.interp(bound, deviates, places)) ** 2 for bound in (-z, z))
        noise = SLACK * np.sqrt(spreads / self._draws)
        least = float(np.interp(low, places**2, means - noise))
        if low == 0 and not self.exact:
            # The floor of estimated shares is no bound of the floor itself; the scatter about it is what carries over.
            least = min(least, self.seen - _reach_above(float(means[0]), float(spreads[0]), 0.5 + level / 2))
        return max(0.0, least), float(np.interp(high, places**2, means + noise))

    @cached_property
    def _anchor(self) -> Array:
        total = self.real if self.exact else self.real + self.fake
        shares: Array = total / total.sum()
        return shares

    @cached_property
    def _directions(self) -> tuple[Array, Array]:
        """Where the shares go from agreement, fake and real; place 1 is what was seen."""
        fake = self.fake / self.fake.sum() - self._anchor
        real = np.zeros_like(fake) if self.exact else self.real / self.real.sum() - self._anchor
        if self._distance(fake, real) > 1e-6:
            return fake, real
        # Perfect agreement points nowhere: take the side of every second class, and a distance of one unit.
        fake = np.where(np.arange(len(fake)) % 2, 1.0, -1.0) * self._anchor
        fake -= fake.sum() * self._anchor
        return fake / math.sqrt(self._distance(fake, real)), real

    def _distance(self, fake: Array, real: Array) -> float:
        """Noncentrality of Pearson's chi-square at these deviations from the anchor."""
        sizes = self.fake.sum(), 0.0 if self.exact else self.real.sum()
        known = self._anchor > 0
        parts = [
            size * (side[known] ** 2 / self._anchor[known]).sum()
            for size, side in zip(sizes, (fake, real), strict=True)
        ]
        return float(sum(parts))

    @property
    def _draws(self) -> int:
        """Simulated samples at each place; fewer where many classes average the noise out."""
        return max(FEWEST_DRAWS, min(DRAWS, NUMBERS // len(self.fake)))

    @cached_property
    def _reach(self) -> float:
        """The last place: far enough for what was seen to be implausibly small."""
        distance = self._distance(*self._directions)
        most = distance + 5 * math.sqrt(2 * len(self.fake) + 4 * distance) + 12
        return math.sqrt(most / distance)

    def _moments(self, place: float) -> tuple[float, float]:
        """Mean and variance of the number when the shares lie at that place."""
        counted = (self.fake,) if self.exact else (self.fake, self.real)
        sizes = tuple(int(side.sum()) for side in counted)
        shares = tuple(self._shares(toward, place).tobytes() for toward in self._directions[: len(sizes)])
        draw = _drawn if self._draws * len(self.fake) <= NUMBERS else _drawn.__wrapped__
        fake, real = (*draw(sizes, shares, self._draws), self.real)[:2]
        numbers = self.statistic(fake, real)
        return float(numbers.mean()), float(numbers.var(ddof=1))

    def _shares(self, toward: Array, place: float) -> Array:
        shares = np.clip(self._anchor + place * toward, 0, None)
        result: Array = shares / shares.sum()
        return result


@lru_cache(maxsize=2 * STEPS)
def _drawn(sizes: tuple[int, ...], shares: tuple[bytes, ...], draws: int) -> tuple[Array, ...]:
    """Counts of the sides at such shares, (draws, K) each, kept because several numbers are told from the same ones."""
    random = np.random.Generator(np.random.PCG64(SEED))
    found = []
    for size, share in zip(sizes, shares, strict=True):
        counts = random.multinomial(size, np.frombuffer(share), draws).astype(float)
        counts.flags.writeable = False
        found.append(counts)
    return tuple(found)


def _reach_above(mean: float, variance: float, chance: float) -> float:
    """How far above its mean the quantile of a gamma distribution lies: at agreement that of a scaled chi-square."""
    if variance <= RARE * mean**2:
        return 0.0
    return float(gdtrix(mean / variance, mean**2 / variance, chance)) - mean


def _chance_below(seen: float, means: Array, spreads: Array, freedom: int) -> Array:
    """Chance of a number up to `seen`, from a scaled noncentral chi-square of these means and variances (places,).

    c X with X of `freedom` degrees and noncentrality v: mean c (f + v), variance c^2 (2 f + 4 v). Where no v >= 0 fits,
    or v is so large that it makes no difference, a gamma distribution of the same moments.
    """
    means = np.maximum(means, 1e-300)
    ratio = np.maximum(spreads / means**2, RARE)
    root = np.sqrt(np.maximum(16 - 8 * ratio * freedom, 0))
    total = (4 + root) / (2 * ratio)
    with np.errstate(all="ignore"):
        exact = chndtr(seen * total / means, freedom, np.clip(total - freedom, 0, LARGE))
        rough = gdtr(1 / (ratio * means), 1 / ratio, seen)
    usable = (total >= freedom) & (ratio * freedom <= 2) & (total < LARGE) & np.isfinite(exact)
    result: Array = np.where(usable, exact, rough)
    return result
