"""How many samples it takes to see an effect, from a pilot or from the worst case."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import ndtr, stdtrit
from scipy.stats import chi2
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.inputs import Rows, is_number, seeded
from uncollapse.metrics.metric import Metric
from uncollapse.metrics.resampling import MOST, SPLITS
from uncollapse.metrics.versus import LEAST, REPEATS, SECOND_ORDER, WIDER, Contest, feature_metric, takes_reference

# Shares of rows: their variance per row is at most 1/4 whatever the data.
SHARES = ("precision", "recall", "coverage", "authenticity")
# More splits than an interval has: the variance itself is wanted here.
PILOT_SPLITS = 100
PAIR_SPLITS = 60
# A pilot tells the variance to some 20 %, and too small a guess loses more power than too large a one gains.
ALLOWANCE = 1.1
FAR = 50
ROUNDS = 2
# Rows of a side below which a subsample says little.
SMALLEST = 30
POINTS, MOST_SHIFT = 4_000, 40.0


@dataclass(frozen=True, kw_only=True)
class RequiredN:
    """How many samples a side it takes to see an effect.

    Attributes:
        metric: Name of the metric.
        effect: The difference to be seen, in the metric's units.
        n: Rows of real, of fake and of other, each.
        power: Chance to see it.
        level: One minus the chance of a false alarm, two-sided.
        standard_error_at: Standard error of the difference at n rows a side.
        n_pilot: Rows of the smallest side of the pilot; None without one.
        sentence: The answer for people.
        assumptions: What it rests on, a sentence each.
    """

    metric: str
    effect: float
    n: int
    power: float
    level: float
    standard_error_at: float
    n_pilot: int | None
    sentence: str
    assumptions: tuple[str, ...]

    def __str__(self) -> str:
        return self.sentence


def required_n(
    metric: str | Metric,
    *,
    effect: float,
    real: Rows | None = None,
    fake: Rows | None = None,
    other: Rows | None = None,
    power: float = 0.8,
    level: float = 0.95,
    generator: torch.Generator | None = None,
    **options: Any,
) -> RequiredN:
    """Samples a side with which `difference` tells two generators apart whose metric differs by `effect`.

    n = v (q / effect)^2: v / n is the variance of the difference at n rows of real, fake and other each, and q the
    noncentrality at which Student's test of `difference` has the wanted power (2.95 for 80 % at 95 %; more for metrics
    of neighbours, 3.43 for coverage and 3.84 for precision, because `difference` widens their standard errors).

    v comes from a pilot: the difference is computed on many subsamples of it, of the wanted size where the pilot is
    large enough, and a tenth is added for the pilot's own noise. With `other`, both generators' spread counts;
    without, the fakes are split in two and the other generator is taken to vary as much as this one. Without a pilot,
    shares of rows (precision, recall, coverage, authenticity) are given the largest variance a share can have, 1/4 on
    each of the two sides. What a defect does to a metric of neighbours depends on n too: `effect` is that at n rows.

    Args:
        metric: A metric of features, by name.
        effect: The smallest difference worth seeing, above 0, in the metric's units.
        real: Pilot (n, d) of the reference (training rows for authenticity).
        fake: Pilot (m, d) of one generator; best one that is as bad as the effect to be seen.
        other: Pilot of the other generator, where there is one.
        power: Wanted chance to see the effect.
        level: One minus the chance of a false alarm.
        generator: Source of the subsamples.
        options: Passed on to the metric.

    Raises:
        UserError: The effect or power is out of range, there is no pilot and no worst case, the pilot is too small,
            shows no spread, or the metric counts repeats, whose spread no pilot tells.

    Reference: Cohen 1988, Statistical Power Analysis (power of the t test); Politis and Romano 1994 (subsampling).
    """
    found = feature_metric(metric)
    _check(found, effect, power, level)
    draws = seeded(generator)
    factor = (noncentrality(power, level, wider=WIDER.get(found.name, 1.0)) / effect) ** 2
    if fake is None:
        if found.name not in SHARES or real is not None or other is not None:
            raise UserError(
                f"{found.name} needs a pilot: give {'real= and fake=' if takes_reference(found) else 'fake='}; only "
                f"{', '.join(SHARES)} have a worst case without one."
            )
        assumed = "Worst case: every row in or out with equal chance, on two independent sides."
        return _answer(found, effect, 0.5, factor, power, level, None, [assumed])
    pilot = _Pilot(found, real, fake, other, draws, options)
    variance = pilot.variance(pilot.largest)
    for _ in range(ROUNDS):
        wanted = _rows(variance, factor)
        if wanted >= pilot.size:
            break
        variance = pilot.variance(max(wanted, SMALLEST))
    return _answer(found, effect, variance, factor, power, level, pilot.n, pilot.assumptions)


def noncentrality(power: float, level: float, freedom: int = SPLITS, *, wider: float = 1.0) -> float:
    """The effect in true standard errors at which a two-sided t test has the wanted power.

    Args:
        power: Above 1 - level and below 1.
        level: One minus the chance of a false alarm.
        freedom: Degrees of freedom, those of `difference`.
        wider: By how much the test's standard error exceeds the true one on purpose.
    """
    limit = wider * float(stdtrit(freedom, 0.5 + level / 2))
    # SciPy's noncentral t has no number in places, so the mean over the error's distribution is taken here.
    error = np.sqrt(chi2.ppf((np.arange(POINTS) + 0.5) / POINTS, freedom) / freedom)

    def short(shift: float) -> float:
        return float((ndtr(shift - limit * error) + ndtr(-shift - limit * error)).mean()) - power

    return float(brentq(short, 0.0, MOST_SHIFT))


class _Pilot:
    """Spread of the difference at some number of rows, from subsamples of the pilot.

    Attributes:
        n: Rows of the smallest side.
        largest: Most rows of a side in one subsample.
        size: Rows of the subsamples of the last call.
        assumptions: What the answer rests on.
    """

    def __init__(
        self,
        metric: Metric,
        real: Rows | None,
        fake: Rows,
        other: Rows | None,
        draws: torch.Generator,
        options: dict[str, Any],
    ) -> None:
        self.draws, self.alone = draws, other is None
        self.contest = Contest(
            metric, real=real, fake=fake, other=fake if other is None else other, paired=False, draws=draws,
            options=options,
        )  # fmt: skip
        self.n = min(self.contest.sizes)
        self.largest = self.size = min(self.n // 2, MOST)
        if self.largest < LEAST:
            raise UserError(f"The pilot has {self.n} rows on its smallest side; give at least {2 * SMALLEST}.")
        self.assumptions = [
            "The other generator varies as much as this one."
            if self.alone
            else "The two generators of the pilot vary as those to be compared."
        ]
        if metric.name in SECOND_ORDER:
            self.assumptions.append(
                "The pilot's fakes differ from real by as much as those to be compared: near equality the spread is "
                "smaller, and fakes that differ more need more rows."
            )

    def variance(self, size: int) -> float:
        """Variance of the difference times the rows a side, from (about) that many rows, with the allowance."""
        self.size = min(size, self.largest)
        return ALLOWANCE * float(self._alone() if self.alone else self._apart()) * self.size

    def _alone(self) -> Tensor:
        """Mean squared difference of two disjoint parts of one generator's fakes, which is 0 on average."""
        found = []
        sizes = [len(side) for side in (self.contest.real, self.contest.fake) if side is not None]
        for seed in range(PILOT_SPLITS):
            orders = [torch.randperm(n, generator=self.draws) for n in sizes]
            parts = [*(order[: self.size] for order in orders), orders[-1][self.size : 2 * self.size]]
            one, two = self.contest.values(parts, seed=seed)
            found.append(one - two)
        return torch.tensor(found, dtype=torch.float64).square().mean()

    def _apart(self) -> Tensor:
        """Half the mean squared gap of the difference on disjoint subsamples."""
        gaps = []
        for seed in range(PAIR_SPLITS):
            orders = [torch.randperm(n, generator=self.draws) for n in self.contest.sizes]
            values = []
            for part in (slice(0, self.size), slice(self.size, 2 * self.size)):
                one, two = self.contest.values([order[part] for order in orders], seed=seed)
                values.append(one - two)
            gaps.append(values[0] - values[1])
        return torch.tensor(gaps, dtype=torch.float64).square().mean() / 2


def _check(metric: Metric, effect: float, power: float, level: float) -> None:
    reach = metric.high - metric.low
    if not (is_number(effect) and effect > 0 and math.isfinite(effect) and effect <= reach):
        limit = f"above 0 and at most {reach:g}, the range of {metric.name}" if math.isfinite(reach) else "above 0"
        raise UserError(f"effect must be {limit}, not {effect!r}.")
    if not 0.5 <= level <= 0.9999:
        raise UserError(f"level must be from 0.5 to 0.9999 to plan a test, for example 0.95, not {level!r}.")
    if not 1 - level < power <= 0.999:
        raise UserError(f"power must be above 1 - level and at most 0.999, for example 0.8, not {power!r}.")
    if metric.name in REPEATS:
        raise UserError(
            f"{metric.name} counts repeats, which grow with the square of the sample, so no pilot tells its spread; "
            "compare the intervals of two samples of the size at hand."
        )


def _rows(variance: float, factor: float) -> int:
    return max(LEAST, math.ceil(variance * factor))


def _answer(
    metric: Metric,
    effect: float,
    variance: float,
    factor: float,
    power: float,
    level: float,
    pilot: int | None,
    assumptions: list[str],
) -> RequiredN:
    if variance <= 0:
        raise UserError(
            f"{metric.name} was the same on every subsample of the pilot, so nothing tells its spread; give a larger "
            "pilot, or one of the generator that is to be told apart."
        )
    n = max(_rows(variance, factor), metric.minimum)
    tested = (
        "the test is that of `difference`"
        if takes_reference(metric)
        else "their two intervals are joined, as by `difference`, which a test of the spread stands for here"
    )
    assumed = [*assumptions, f"Real, fake and other have n rows each, and {tested}."]
    if n == metric.minimum > _rows(variance, factor):
        assumed.append(f"Fewer rows would do for the effect, but {metric.name} means little below {metric.minimum}.")
    where = "in the worst case" if pilot is None else f"from a pilot of {pilot:,}"
    sentence = (
        f"{n:,} samples a side show a difference of {effect:g} in {metric.name} with {100 * power:g} % power at "
        f"{100 * level:g} % ({where})"
    )
    if pilot is not None and n > FAR * pilot:
        sentence += f"; that is {n / pilot:.0f} times the pilot, so take it as an order of magnitude"
        assumed.append("The spread falls as 1 / sqrt(n) far beyond the pilot.")
    return RequiredN(
        metric=metric.name, effect=effect, n=n, power=power, level=level,
        standard_error_at=math.sqrt(variance / n), n_pilot=pilot, sentence=f"{sentence}.",
        assumptions=tuple(assumed),
    )  # fmt: skip
