"""Intervals over a few seeds: a share of successes, and the mean of a measure that may sit at its ceiling.

Records and reports print no mean without one of these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri, stdtrit

from uncollapse.errors import UserError

Diverged = float | Literal["omit"] | None
BOTH, BOUNDED, STUDENT = "Student t with exact binomial", "bounded mean, identical values", "Student t"
NO_SPREAD = "none: identical values without bounds"
NO_VALUES = "none: no values"

# Gaps of values, as a share of the range of their bounds, that are rounding.
ROUNDING = 1e-9
# Standard deviations from the mean to a bound, below which a continuous measure's tail away from it is long.
CROWDED = 1.5


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over seeds and how sure it is.

    Attributes:
        mean: The mean; None when every value was omitted.
        low: Lower end; None when nothing honest can be said.
        high: Upper end; None likewise.
        level: Nominal coverage, for example .95.
        n: Values behind the mean.
        method: How the ends were found.
        omitted: Diverged or undefined values that the caller left out.
    """

    mean: float | None
    low: float | None
    high: float | None
    level: float
    n: int
    method: str
    omitted: int = 0


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share of successes, within [0, 1]; (0, 1) for n = 0.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Reference: Wilson (1927), JASA 22.

    Raises:
        UserError: successes outside 0 .. n.
    """
    _check_level(level)
    if not 0 <= successes <= n:
        raise UserError(f"successes must be from 0 to n = {n}, not {successes}.")
    if n == 0:
        return 0.0, 1.0
    z, share = float(ndtri(0.5 + level / 2)), successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)


def mean_interval(
    values: Sequence[float | None],
    *,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
    diverged: Diverged = None,
) -> Interval:
    """The mean over seeds with an interval that stays honest near a ceiling.

    Student's t has width 0 when all seeds agree, and is far too narrow when all but one do. With finite bounds [a, b]
    the interval is therefore the hull of Student's t and an exact binomial (Clopper-Pearson) interval of the steps up
    and the steps down from the commonest value. A step of counts is the smallest gap between two of them; of other
    numbers that gap is an accident, and where their mean lies within 1.5 standard deviations of a bound the largest
    move from the commonest value is taken. In the middle of the range the hull is nearly Student's t. When all values
    are identical no step has been seen, so a step may be as long as the range allows: for a value v the ends are
    v - (v - a)(1 - (alpha/2)^(1/n)) and v + (b - v)(1 - (alpha/2)^(1/n)), which by Markov's inequality hold for any
    distribution on [a, b].

    Blind spot: a rare catastrophe that no seed showed is allowed for only when the values are identical. When one seed
    in ten loses all but one of 8 modes and one in five loses one, 8 seeds cover the mean in 73 % of studies, not 95 %.
    Shares of a Beta(20, 1) law are covered in 91, 95 and 97 % of studies of 4, 8 and 12 seeds, those of a Beta(2, .2),
    half of which are above .99, in 79, 89 and 93 %.

    Args:
        values: One value a seed; None or not finite means that the seed diverged or that the measure is undefined.
        bounds: What the measure can reach. Without finite bounds the interval is Student's t (cut at a finite bound),
            and identical values get no ends at all, because an interval must not claim certainty.
        level: Nominal coverage, between 0 and 1.
        diverged: What a missing value counts as: a number, or "omit" to leave it out and count it in `omitted`.

    Raises:
        UserError: No values, values outside the bounds, or a missing value without a rule.
    """
    _check_level(level)
    if not len(values):
        raise UserError("An interval needs at least one value; give one value for each seed.")
    kept, omitted = settle(values, diverged)
    if not len(kept):
        return Interval(mean=None, low=None, high=None, level=level, n=0, method=NO_VALUES, omitted=omitted)
    low, high = (-math.inf, math.inf) if bounds is None else (float(bounds[0]), float(bounds[1]))
    kept = _within(kept, low, high)
    ends, method = _ends(kept, low, high, (1 - level) / 2)
    # A mean of bounded floats may leave the ends by one rounding step.
    mean = float(np.clip(kept.mean(), kept.min(), kept.max()))
    bottom, top = (None, None) if ends is None else (max(low, min(ends[0], mean)), min(high, max(ends[1], mean)))
    return Interval(mean=mean, low=bottom, high=top, level=level, n=len(kept), method=method, omitted=omitted)


def _within(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """The values, those that left the bounds by no more than rounding put back.

    Raises:
        UserError: One lies outside by more.
    """
    ends = [abs(end) for end in (low, high) if math.isfinite(end)]
    slack = ROUNDING * max(ends, default=0.0)
    if not low < high or values.min() < low - slack or values.max() > high + slack:
        raise UserError(
            f"Values from {values.min():g} to {values.max():g} do not fit in the bounds {low:g} to {high:g}."
        )
    within: NDArray[np.float64] = np.clip(values, low, high)
    return within


def settle(values: Sequence[float | None], diverged: Diverged) -> tuple[NDArray[np.float64], int]:
    """Values with the missing ones replaced or left out as the caller ordered, and the number left out.

    Raises:
        UserError: There are missing values and no order.
    """
    missing = [value is None or not math.isfinite(value) for value in values]
    if any(missing) and diverged is None:
        raise UserError(
            f"{sum(missing)} of {len(values)} values are missing (diverged or undefined); say what they count as with "
            "diverged=NUMBER, or leave them out with diverged='omit'."
        )
    if diverged == "omit" or diverged is None:
        kept = [value for value, gone in zip(values, missing, strict=True) if not gone]
    else:
        kept = [diverged if gone else value for value, gone in zip(values, missing, strict=True)]
    return np.array(kept, dtype=np.float64), len(values) - len(kept)


def _ends(values: NDArray[np.float64], low: float, high: float, tail: float) -> tuple[tuple[float, float] | None, str]:
    bounded = math.isfinite(low) and math.isfinite(high)
    if bounded:
        values = _settled(values, ROUNDING * (high - low))
    identical = values.min() == values.max()
    if identical:
        return (_steps(values, low, high, tail), BOUNDED) if bounded else (None, NO_SPREAD)
    n = len(values)
    half = float(stdtrit(n - 1, 1 - tail)) * float(values.std(ddof=1)) / math.sqrt(n)
    student = (float(values.mean()) - half, float(values.mean()) + half)
    if not bounded:
        return student, STUDENT
    steps = _steps(values, low, high, tail)
    return (min(student[0], steps[0]), max(student[1], steps[1])), BOTH


def _settled(values: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Values that differ by no more than rounding made equal: their gap is no step that a seed has taken."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    group = np.concatenate([[0], np.cumsum(np.diff(ranked) > unit)])
    firsts = np.flatnonzero(np.diff(group, prepend=-1))
    found = np.empty_like(values)
    found[order] = ranked[firsts][group]
    return found


def _steps(values: NDArray[np.float64], low: float, high: float, tail: float) -> tuple[float, float]:
    """The mean as the commonest value plus steps up minus steps down, each with an exact binomial interval.

    Of several commonest values it is the one nearest to the median; two that are equally near both count, so that
    values seen in a mirror have the interval in the mirror.
    """
    distinct, times = np.unique(values, return_counts=True)
    commonest = distinct[times == times.max()]
    apart = np.abs(commonest - np.median(values))
    whole = bool((distinct == np.round(distinct)).all())
    room = min(high - float(values.mean()), float(values.mean()) - low)
    crowded = len(distinct) > 1 and room < CROWDED * float(values.std(ddof=1))
    ends = []
    for anchor in map(float, commonest[apart <= apart.min() + ROUNDING * (high - low)]):
        # Counts move by their smallest gap. Of other numbers that gap is an accident: where they crowd at a bound, the
        # largest move seen is taken, as a tail away from the bound is what Student's t misses there.
        moves = np.abs(distinct - anchor).max(keepdims=True) if crowded and not whole else np.diff(distinct)
        step = float(moves.min()) if len(distinct) > 1 else math.inf
        up = _side(float(np.clip(values - anchor, 0, None).sum()), len(values), high - anchor, step, tail)
        down = _side(float(np.clip(anchor - values, 0, None).sum()), len(values), anchor - low, step, tail)
        ends.append((anchor + up[0] - down[1], anchor + up[1] - down[0]))
    return min(low for low, _ in ends), max(high for _, high in ends)


def _side(total: float, n: int, reach: float, step: float, tail: float) -> tuple[float, float]:
    """Interval of the mean deviation in [0, reach], from a total seen over n values in units of `step`."""
    if reach <= 0:
        return 0.0, 0.0
    step = min(step, reach)
    trials, seen = n * reach / step, total / step
    least = 0.0 if seen <= 0 else float(betaincinv(seen, trials - seen + 1, tail))
    most = 1.0 if seen >= trials else float(betaincinv(seen + 1, trials - seen, 1 - tail))
    return least * reach, most * reach


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UserError(f"level must be between 0 and 1, for example 0.95, not {level!r}.")
