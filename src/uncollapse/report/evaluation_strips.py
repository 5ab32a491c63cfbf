"""Values and intervals as marks on a line of HTML: positions in per cent, and the words that say the same.

The comparison draws its seeds in the same way; the rules of the marks are in `page.css` and `evaluation.css`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One line with its marks.

    Attributes:
        label: What it shows, for those who cannot see it.
        spans: (left, right, class) of the bars, as distances from both ends in per cent.
        marks: (left, class) of the ticks in per cent.
    """

    label: str
    spans: tuple[tuple[float, float, str], ...] = ()
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The values at both ends of a strip.

    Attributes:
        low: Value at the left end.
        high: Value at the right end, above `low`.
    """

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value stands, in per cent of the width; values beyond an end stand at it."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)

    def span(self, low: float | None, high: float | None, kind: str = "span") -> tuple[float, float, str]:
        """A bar between two values; a missing end reaches to the end of the line."""
        left = 0.0 if low is None else self.at(low)
        right = 100.0 if high is None else self.at(high)
        return left, round(100 - right, 2), kind


def interval_strip(
    label: str,
    scale: Scale,
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    reference: float | None = None,
) -> Strip:
    """A value with its interval, and the value of the real data as a grey tick.

    Args:
        label: What it shows.
        scale: The values at the ends.
        value: The value; None draws no tick for it.
        low: Lower end of its interval; without both ends no interval is drawn.
        high: Upper end.
        reference: What it is compared with.
    """
    known = low is not None or high is not None
    marks = [] if reference is None else [(scale.at(reference), "reference")]
    marks += [] if value is None else [(scale.at(value), "mean")]
    return Strip(label=label, spans=(scale.span(low, high),) if known else (), marks=tuple(marks))


def effect_scale(effect: float, minimum: float | None) -> Scale:
    """The line of an effect: shares of what could be lost stand on 0 to 1, others on one that holds both values."""
    values = [0.0, effect, *([] if minimum is None else [minimum])]
    low, high = min(values), max(values)
    return Scale(low=1.1 * low, high=1.0 if high <= 1 else 1.15 * high)


def effect_strip(label: str, effect: float | None, minimum: float | None, kind: str) -> Strip | None:
    """An effect as a bar from zero with a tick at the minimum effect; None without an effect.

    Args:
        label: What it shows.
        effect: The effect; negative where the fakes have more than the real data.
        minimum: The minimum effect.
        kind: "effect large", "effect small" or "effect unsure": how the bar is filled.
    """
    if effect is None:
        return None
    scale = effect_scale(effect, minimum)
    spans = (scale.span(min(0.0, effect), max(0.0, effect), kind),)
    marks = [] if minimum is None else [(scale.at(minimum), "limit")]
    marks += [(scale.at(0.0), "zero")] if scale.low < 0 else []
    return Strip(label=label, spans=spans, marks=tuple(marks))


def ratio_strip(label: str, ratio: float, low: float | None, high: float | None, *, reach: float = 16.0) -> Strip:
    """A ratio to the real data on a logarithmic line from 1 / `reach` to `reach`, with a tick at 1."""
    scale = Scale(low=-math.log2(reach), high=math.log2(reach))

    def placed(value: float | None) -> float | None:
        return None if value is None else math.log2(max(value, 1e-9))

    span = scale.span(placed(low), placed(high))
    at = placed(ratio)
    known = low is not None or high is not None
    marks = ((scale.at(0.0), "reference"), *([] if at is None else [(scale.at(at), "mean")]))
    return Strip(label=label, spans=(span,) if known else (), marks=marks)


def difference_strip(label: str, value: float, low: float | None, high: float | None) -> Strip:
    """A difference with its interval around zero in the middle of the line."""
    reach = 1.1 * max([abs(end) for end in (value, low, high) if end is not None]) or 1.0
    return interval_strip(label, Scale(low=-reach, high=reach), value, low, high, reference=0.0)


def spread_strip(label: str, scale: Scale, real: tuple[float, float], fake: tuple[float, float]) -> Strip:
    """Mean and standard deviation of both sides, the real one above.

    Args:
        label: What it shows.
        scale: The values at the ends.
        real: Mean and standard deviation of the real rows.
        fake: The same of the fakes.
    """
    spans = [scale.span(mean - sd, mean + sd, f"span {side}") for side, (mean, sd) in _sides(real, fake)]
    marks = [(scale.at(mean), f"mean {side}") for side, (mean, _) in _sides(real, fake)]
    return Strip(label=label, spans=tuple(spans), marks=tuple(marks))


def _sides(
    real: tuple[float, float], fake: tuple[float, float]
) -> tuple[tuple[str, tuple[float, float]], tuple[str, tuple[float, float]]]:
    return ("upper", real), ("lower", fake)
