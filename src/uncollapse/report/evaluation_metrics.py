"""Every metric of an evaluation with its interval, its n and what it cannot see, and the differences of two generators.

The words come from the facts of `metrics.metric`; a metric that is not listed there is shown under its own name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from uncollapse.metrics.estimate import CAUTION, Estimate
from uncollapse.metrics.metric import GROUPS, NAMES, Metric, find_metric
from uncollapse.report.evaluation_strips import Scale, Strip, difference_strip, interval_strip
from uncollapse.report.evaluation_units import counted, details, of_all, ratio, reference, told, unit
from uncollapse.report.evaluation_words import amount, signed

GOOD = {"lower": "lower is better", "higher": "higher is better", "near": "near its ideal is best", "": ""}
LISTED_ELSEWHERE = "Others"


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One metric as text.

    Attributes:
        name: Its name in code.
        title: How it is to be written.
        value: The number; empty when there is none.
        unit: What it is counted in; empty without a unit.
        beside: What it is compared with, as short texts.
        interval: Its interval with its level; empty without one.
        sizes: The n behind it.
        reason: Why the number or an end is missing; empty when all are there.
        good: Which values are good.
        ideal: The value of a perfect generator.
        measures: What it says.
        blind: What it cannot see.
        estimand: What the interval is for.
        method: How the interval was found.
        details: Further numbers.
        strip: The number on the range of the metric, when that is finite, or on a line that holds what it is compared
            with as well.
        ends: The values at the ends of that line.
    """

    name: str
    title: str
    value: str
    unit: str
    beside: tuple[str, ...]
    interval: str
    sizes: str
    reason: str
    good: str
    ideal: str
    measures: str
    blind: str
    estimand: str
    method: str
    details: tuple[tuple[str, str], ...]
    strip: Strip | None
    ends: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class DifferenceRow:
    """One metric of two generators as text; `reading` says which of them the difference favours.

    `by` holds what the columns "fake", "other" and "difference" are sorted by.
    """

    title: str
    good: str
    fake: str
    other: str
    difference: str
    interval: str
    sizes: str
    strip: Strip | None
    reading: str
    by: Mapping[str, float | None]


def metric_groups(metrics: Mapping[str, Estimate], names: Mapping[str, str]) -> list[tuple[str, list[MetricRow]]]:
    """The metrics under the headings of the list of metrics; a heading without metrics is left out."""
    headed = {**GROUPS, LISTED_ELSEWHERE: tuple(name for name in metrics if name not in NAMES)}
    found = []
    for title, group in headed.items():
        rows = [metric_row(name, metrics[name], names) for name in group if name in metrics]
        if rows:
            found.append((title, rows))
    return found


def metric_row(name: str, estimate: Estimate, names: Mapping[str, str]) -> MetricRow:
    """One metric as text.

    Args:
        name: Its name in code.
        estimate: The number.
        names: How each metric is to be written, by name.
    """
    metric = find_metric(name) if name in NAMES else None
    title, against, scale = title_of(name, names), reference(estimate), _scale(metric, estimate)
    value, interval = _value(estimate), interval_text(estimate)
    beside = tuple(text for text in (told(against, estimate), ratio(estimate)) if text)
    strip, ends = None, ("", "")
    if scale is not None:
        ends = f"{scale.low:g}", f"{scale.high:g}"
        label = f"{title}: {value}, {interval or 'no interval'}, from {ends[0]} to {ends[1]}"
        tick = None if against is None else against.value
        strip = interval_strip(label, scale, estimate.value, estimate.low, estimate.high, reference=tick)
    caution = CAUTION if estimate.conservative else ""
    return MetricRow(
        name=name,
        title=title,
        value=value,
        unit=unit(estimate) if value else "",
        beside=beside,
        interval=interval,
        sizes=sizes(estimate, metric),
        reason=f"{estimate.reason[:1].upper()}{estimate.reason[1:].rstrip('.')}." if estimate.reason else "",
        good=GOOD[estimate.direction],
        ideal=metric.ideal if metric else "",
        measures=metric.measures if metric else "",
        blind=metric.blind if metric else "",
        estimand=estimate.estimand,
        method=f"{estimate.interval}{caution}" if estimate.interval else "",
        details=details(estimate),
        strip=strip,
        ends=ends,
    )


def _value(estimate: Estimate) -> str:
    """The number, "8 of 10" where it counts things of which it is known how many there are; empty without one."""
    if estimate.value is None:
        return ""
    whole = of_all(estimate)
    return counted(estimate, estimate.value) + ("" if whole is None else f" of {whole:,.0f}")


def _scale(metric: Metric | None, estimate: Estimate) -> Scale | None:
    """The line of a number: the range of the metric; where that is endless, up to a little above all that it shows."""
    against, whole = reference(estimate), of_all(estimate)
    low, high = (metric.low, metric.high) if metric else (-math.inf, math.inf)
    if estimate.value is None:
        return None
    if whole:
        return Scale(low=0.0, high=whole)
    if math.isfinite(low) and math.isfinite(high):
        return Scale(low=low, high=high)
    shown = [end for end in (estimate.value, estimate.low, estimate.high) if end is not None]
    if against is None or min(*shown, against.value) < 0:
        return None
    top = float(f"{1.15 * max(*shown, against.value):.2g}")
    return Scale(low=0.0, high=top) if top > 0 else None


def title_of(name: str, names: Mapping[str, str]) -> str:
    """How a metric is written: as the evaluation says, else as the list of metrics says, else as its name."""
    return names.get(name) or (find_metric(name).title if name in NAMES else name)


def in_order(metrics: Mapping[str, Estimate]) -> list[str]:
    """Names of metrics in the order of the list of metrics, strangers last."""
    return [*(name for name in NAMES if name in metrics), *(name for name in metrics if name not in NAMES)]


def interval_text(estimate: Estimate) -> str:
    """The interval in words: "95 % interval 0.83 to 0.9", "95 % interval at least 0.83"; empty without ends."""
    if estimate.value is None or (estimate.low is None and estimate.high is None):
        return ""
    level = f"{100 * estimate.level:g} % interval" if estimate.level is not None else "interval"
    low, high = (counted(estimate, end) for end in (estimate.low, estimate.high))
    if estimate.low is None:
        return f"{level} at most {high}"
    if estimate.high is None:
        return f"{level} at least {low}"
    return f"{level} {low} to {high}"


def sizes(estimate: Estimate, metric: Metric | None = None) -> str:
    """The n of an estimate: "n = 10,000 real, 12,000 generated"."""
    first = "training" if metric is not None and metric.takes.startswith("training") else "real"
    pairs = ((estimate.n_real, first), (estimate.n_fake, "generated"))
    found = [f"{count:,} {word}" for count, word in pairs if count is not None]
    return f"n = {', '.join(found)}" if found else ""


def differences(
    metrics: Mapping[str, Estimate],
    others: Mapping[str, Estimate],
    changes: Mapping[str, Estimate],
    names: Mapping[str, str],
    titles: tuple[str, str],
) -> list[DifferenceRow]:
    """The differences of two generators, metric by metric, in the order of the list of metrics.

    Args:
        metrics: Estimates of the first generator.
        others: Estimates of the second.
        changes: Estimates of first minus second.
        names: How each metric is to be written.
        titles: What the two generators are called.
    """
    return [
        _difference(name, metrics.get(name), others.get(name), changes[name], names, titles)
        for name in in_order(changes)
    ]


def _difference(
    name: str,
    fake: Estimate | None,
    other: Estimate | None,
    change: Estimate,
    names: Mapping[str, str],
    titles: tuple[str, str],
) -> DifferenceRow:
    metric = find_metric(name) if name in NAMES else None
    direction = metric.direction if metric else change.direction
    title = title_of(name, names)
    strip = None
    if change.value is not None:
        label = f"{title}: difference {signed(change.value)}, {interval_text(change) or 'no interval'}"
        strip = difference_strip(label, change.value, change.low, change.high)
    return DifferenceRow(
        title=title,
        good=_good(direction, fake),
        fake=_short(fake),
        other=_short(other),
        difference=signed(change.value),
        interval=interval_text(change),
        sizes=sizes(change, metric),
        strip=strip,
        reading=_reading(change, direction, titles, (fake, other)),
        by={
            "fake": None if fake is None else fake.value,
            "other": None if other is None else other.value,
            "difference": change.value,
        },
    )


def _good(direction: str, estimate: Estimate | None) -> str:
    """Which values are good, with the ideal as a number where there is one that is neither the least nor the most."""
    against = None if estimate is None else reference(estimate)
    if direction != "near" or estimate is None or against is None:
        return GOOD[direction]
    return f"nearest to {amount(against.value)} ({against.words}) is best"


def _short(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.value is None else _value(estimate)


def _reading(
    change: Estimate, direction: str, titles: tuple[str, str], both: tuple[Estimate | None, Estimate | None]
) -> str:
    """What a difference says: who is better, or that nobody can tell."""
    if change.value is None:
        return change.reason or "not computed"
    if change.level is None or (change.low is None and change.high is None):
        return "no interval, so chance cannot be ruled out"
    if change.holds(0.0):
        return "cannot be told apart"
    if direction not in ("lower", "higher"):
        return _nearer(both, titles)
    return f"{titles[0] if (change.value > 0) is (direction == 'higher') else titles[1]} is better"


def _nearer(both: tuple[Estimate | None, Estimate | None], titles: tuple[str, str]) -> str:
    """Which of two numbers that differ is nearer to its ideal; on both sides of it their difference does not say."""
    gaps = []
    for estimate in both:
        against = None if estimate is None else reference(estimate)
        if estimate is None or estimate.value is None or against is None:
            return "they differ"
        gaps.append((estimate.value - against.value, against))
    (first, against), (second, _) = gaps
    if abs(first) == abs(second):
        return "they differ"
    name = titles[0] if abs(first) < abs(second) else titles[1]
    what = "the ideal" if against.words == "ideal" else f"the {against.words}"
    return f"{name} is nearer to {what}" if first * second > 0 else f"on two sides of {what}; {name} is nearer"
