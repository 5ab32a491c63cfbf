"""Two generators against one reference: the difference of a metric with an interval that uses what they share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy.special import stdtr
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Features, Rows, as_features, check_alike, check_level, seeded
from uncollapse.metrics.manifold import BALLS_SHRINK, DENSITY_WIDER
from uncollapse.metrics.metric import GROUPS, Metric, find_metric
from uncollapse.metrics.resampling import Spread, scale, spread, subsamples

# Counts of repeated rows grow with the square of the sample, so no subsample tells how much they vary.
REPEATS = ("duplicates", "birthday")
WITHOUT_FEATURES = (*GROUPS["With a classifier or labels"], *GROUPS["The generator itself"])
# Between equal distributions these fall as 1 / n, faster than subsamples of the rows assume.
SECOND_ORDER = ("frechet_distance", "frechet_infinity", "kernel_distance", "mmd_rbf", "sliced_wasserstein")
# Factors of the standard error of neighbour metrics, whose subsamples vary less than 1 / sqrt(n) says.
WIDER = {name: math.sqrt(shrink[1]) for name, shrink in BALLS_SHRINK.items()} | {"density": DENSITY_WIDER}
LEAST = 4


def difference(
    metric: str | Metric,
    *,
    real: Rows | None = None,
    fake: Rows,
    other: Rows,
    paired: bool = False,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
    **options: Any,
) -> Estimate:
    """A metric of `fake` minus the same metric of `other`, both against the same real rows.

    value = metric(real, fake) - metric(real, other). Both are computed again on disjoint subsamples of all three
    sides, the same real rows for both, so that what the common reference adds to both cancels in the interval, which is
    Student's t with the subsamples' spread. Metrics of fakes alone, not paired, combine their two own intervals
    instead: the distance of the lower end is sqrt((a - a_low)^2 + (b_high - b)^2), and likewise above.

    The interval is for the mean of this difference over fresh samples of the same sizes. It is conservative where the
    metric's spread falls faster than 1 / sqrt(n), as for distances of equal distributions.

    Args:
        metric: A metric of features, by name.
        real: (n, d) features of the reference (the training rows for authenticity); None for metrics of fakes alone.
        fake: (m, d) features of one generator.
        other: (m', d) features of the other one. Bias depends on the number of rows: compare equal numbers.
        paired: Whether row i of `fake` and row i of `other` were made from the same latent. Both then stay together in
            every subsample, and a difference that most latents share gets a narrower interval. This is the one place
            where the order of rows matters.
        level: Nominal coverage; None = no interval.
        generator: Source of the subsamples and of what the metric draws (the same draws for both sides).
        options: Passed on to the metric, for example ``k=5``.

    Returns:
        The difference. Details: the two values, `n_other`, `paired`, and where subsamples tell the spread `p_value`
        (two-sided, of no difference), `standard_error` and `freedom`. Below 0 `fake` is the better one where lower is
        better.

    Raises:
        UserError: The metric takes no features, a side is missing, sides differ in width, or `paired` with unequal
            numbers of rows.

    Reference: Politis and Romano 1994, Annals of Statistics 22 (subsampling); Zou and Donner 2008, Statistics in
    Medicine 27 (two intervals into one).
    """
    check_level(level)
    found = feature_metric(metric)
    draws = seeded(generator)
    if not takes_reference(found) and (not paired or found.name in REPEATS):
        return _two_intervals(found, fake, other, level, draws, options)
    contest = Contest(found, real=real, fake=fake, other=other, paired=paired, draws=draws, options=options)
    whole = contest.values(tuple(torch.arange(size) for size in contest.sizes))
    return compared(contest, whole, level, lambda: _gaps(contest))


def feature_metric(metric: str | Metric) -> Metric:
    """The metric, if it looks at features.

    Raises:
        UserError: There is none of that name, or it takes labels, probabilities or a generator.
    """
    found = metric if isinstance(metric, Metric) else find_metric(metric)
    if found.name in WITHOUT_FEATURES:
        raise UserError(
            f"{found.name} takes {found.takes}; this works on metrics of features, for example 'coverage' or "
            "'frechet_distance'."
        )
    return found


def takes_reference(metric: Metric) -> bool:
    """Whether the metric cannot do without real (or training) rows."""
    parameters = inspect.signature(metric.function).parameters
    return any(name in parameters and parameters[name].default is inspect.Parameter.empty for name in ("real", "train"))


@dataclass(frozen=True, kw_only=True)
class _Given:
    """What is passed to every call of the metric."""

    reference: str | None
    draws: bool
    options: Mapping[str, Any]


class Contest:
    """Two sides of fakes and what they are measured against, ready to be measured again on some of their rows.

    Attributes:
        metric: The metric.
        real: The reference; None for metrics of fakes alone.
        fake: One side.
        other: The other side.
        sizes: Rows of what is drawn independently: real (if any), fake and (unless paired) other.
    """

    def __init__(
        self,
        metric: Metric,
        *,
        real: Rows | None,
        fake: Rows,
        other: Rows,
        paired: bool,
        draws: torch.Generator,
        options: Mapping[str, Any],
    ) -> None:
        """Checks the sides; arguments as `difference`."""
        self.metric, self.draws, self.paired = metric, draws, paired
        self.fake, self.other = as_features(fake, name="fake"), as_features(other, name="other")
        self.real = None
        if takes_reference(metric):
            if real is None:
                raise UserError(f"{metric.name} compares with real rows; give real=.")
            self.real = as_features(real, name="real")
            check_alike(self.real, self.fake)
        check_alike(self.fake, self.other)
        if paired and len(self.fake) != len(self.other):
            raise UserError(
                f"paired needs as many rows of fake ({len(self.fake)}) as of other ({len(self.other)}), made from the "
                "same latents in the same order; leave paired out for independent samples."
            )
        parameters = inspect.signature(metric.function).parameters
        reference = None if self.real is None else "train" if "train" in parameters else "real"
        self._given = _Given(reference=reference, draws="generator" in parameters, options=options)
        sides = [side for side in (self.real, self.fake) if side is not None]
        self.sizes = [len(side) for side in (sides if paired else [*sides, self.other])]

    def values(self, index: Sequence[Tensor], *, seed: int = 0) -> tuple[float, float]:
        """The metric of both sides on some rows.

        Args:
            index: For each of `sizes`, which rows in the order of their content (paired: of the fakes' content).
            seed: Of what the metric draws.

        Raises:
            UserError: The metric cannot be computed on so few rows.
        """
        real, fakes, others = self.chosen(index)
        return self._value(real, fakes, seed), self._value(real, others, seed)

    def chosen(self, index: Sequence[Tensor]) -> tuple[Features | None, Features, Features]:
        """The rows of real, fake and other behind an index as for `values`, each under its name.

        Raises:
            UserError: They are too few for any metric.
        """
        *reference, fakes = index if self.paired else index[:-1]
        real = None if self.real is None else _rows(self.real, self.real.order, reference[0])
        order, others = (self.fake.order, fakes) if self.paired else (self.other.order, index[-1])
        return real, _rows(self.fake, self.fake.order, fakes), _rows(self.other, order, others)

    def _value(self, real: Features | None, fake: Features, seed: int) -> float:
        return measured(self.metric, self._given, real, fake, seed)


def _rows(side: Features, order: Tensor, index: Tensor) -> Features:
    return Features(side.x[order[index.to(side.x.device)]], name=side.name)


def measured(metric: Metric, given: _Given, real: Features | None, fake: Features, seed: int) -> float:
    """The metric's value without an interval.

    Raises:
        UserError: There is none.
    """
    extra: dict[str, Any] = {"generator": torch.Generator().manual_seed(seed)} if given.draws else {}
    if given.reference is not None:
        extra[given.reference] = real
    found = metric.function(fake=fake, level=None, **extra, **given.options)
    if found.value is None:
        raise UserError(f"{metric.name} has no value here: {found.reason}.")
    return found.value


Gaps = Callable[[], tuple[Sequence[float], Sequence[float]]]


def compared(contest: Contest, whole: tuple[float, float], level: float | None, gaps: Gaps) -> Estimate:
    """The difference of two generators in one metric.

    Args:
        contest: The sides.
        whole: The metric of fake and of other on all rows.
        level: Nominal coverage; None = no interval.
        gaps: Gives the differences on the first and on the second subsamples of `resampling.subsamples`.
    """
    value = whole[0] - whole[1]
    details = {"fake": whole[0], "other": whole[1], "n_other": len(contest.other), "paired": contest.paired}
    if level is None:
        return _result(contest, value, None, (None, None), None, details)
    ends, reason, more = _around(contest, value, level, gaps)
    return _result(contest, value, level, ends, reason, details | more)


def _around(
    contest: Contest, value: float, level: float, gaps: Gaps
) -> tuple[tuple[float | None, float | None], str | None, dict[str, Any]]:
    """Ends, why one is missing, and the details that come with them."""
    if min(contest.sizes) < LEAST:
        return (None, None), f"an interval needs at least {LEAST} rows a side", {}
    try:
        found = _spread(contest, *gaps())
    except UserError as error:
        return (None, None), f"a subsample of the rows is too small: {error}", {}
    if found.error > 0:
        chance = 2 * float(stdtr(found.freedom, -abs(value) / found.error))
        more = {"p_value": chance, "standard_error": found.error, "freedom": found.freedom}
        return found.around(value, level), None, more
    metric = contest.metric
    reach = metric.high - metric.low
    if not math.isfinite(reach):
        return (None, None), "the difference was the same on every subsample, so nothing tells its spread", {}
    # No change was seen in n rows: a share of the range up to 1 - (alpha / 2)^(1 / n) may still differ.
    half = reach * (1 - ((1 - level) / 2) ** (1 / min(contest.sizes)))
    return (value - half, value + half), None, {"p_value": 1.0 if value == 0 else None, "standard_error": 0.0}


def _gaps(contest: Contest) -> tuple[list[float], list[float]]:
    """The differences on disjoint subsamples of all sides."""
    gaps: tuple[list[float], list[float]] = ([], [])
    for number, pair in enumerate(subsamples(contest.sizes, generator=contest.draws)):
        for which, (part, kept) in enumerate(zip(pair, gaps, strict=True)):
            fake, other = contest.values(part, seed=2 * number + which)
            kept.append(fake - other)
    return gaps


def _spread(contest: Contest, first: Sequence[float], second: Sequence[float]) -> Spread:
    one, two = (torch.tensor(values, dtype=torch.float64) for values in (first, second))
    found = spread(one, two, scale(contest.sizes))
    return replace(found, error=WIDER.get(contest.metric.name, 1.0) * found.error)


def _two_intervals(
    metric: Metric, fake: Rows, other: Rows, level: float | None, draws: torch.Generator, options: Mapping[str, Any]
) -> Estimate:
    """The difference of two independent estimates."""
    extra = {"generator": draws} if "generator" in inspect.signature(metric.function).parameters else {}
    sides: tuple[Rows, Rows] = fake, other
    if "distance" not in options:  # between features, not images
        sides = named = as_features(fake, name="fake"), as_features(other, name="other")
        check_alike(*named)
    one, two = (metric.function(fake=side, level=level, **extra, **options) for side in sides)
    if one.value is None or two.value is None:
        which, found = ("fake", one) if one.value is None else ("other", two)
        raise UserError(f"{metric.name} has no value here, for {which}: {found.reason}.")
    value = one.value - two.value
    below = _joined(one.value, one.low, two.high, two.value)
    above = _joined(one.high, one.value, two.value, two.low)
    ends = None if below is None else value - below, None if above is None else value + above
    details = {"fake": one.value, "other": two.value, "n_other": two.n_fake, "paired": False}
    return Estimate(
        metric=metric.name, value=value, low=ends[0] if level else None, high=ends[1] if level else None, level=level,
        n_real=None, n_fake=one.n_fake, estimand=_estimand(metric), direction=metric.direction,
        interval="the two intervals joined" if level else "none was asked for",
        conservative=level is not None and (one.conservative or two.conservative), reason=one.reason or two.reason,
        details=details,
    )  # fmt: skip


def _joined(*ends: float | None) -> float | None:
    """Root of the summed squares of two gaps; None when an end of them is missing."""
    a, b, c, d = ends
    return None if a is None or b is None or c is None or d is None else math.hypot(a - b, c - d)


def _result(
    contest: Contest,
    value: float,
    level: float | None,
    ends: tuple[float | None, float | None],
    reason: str | None,
    details: dict[str, Any],
) -> Estimate:
    metric, how = contest.metric, "Student's t with the spread of the difference over disjoint subsamples of all sides"
    how += f", times {WIDER[metric.name]:.2f}" if metric.name in WIDER else ""
    return Estimate(
        metric=metric.name, value=value, low=ends[0], high=ends[1], level=level,
        n_real=None if contest.real is None else len(contest.real), n_fake=len(contest.fake),
        estimand=_estimand(metric), interval="none was asked for" if level is None else how, reason=reason,
        conservative=level is not None and metric.name in (*SECOND_ORDER, *WIDER),
        direction=metric.direction, details=details,
    )  # fmt: skip


def _estimand(metric: Metric) -> str:
    return f"the mean, over fresh samples of the same sizes, of {metric.name} of fake minus that of other"
