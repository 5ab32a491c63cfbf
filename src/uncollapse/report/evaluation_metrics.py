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
        strip: The number on the range of the metric, when that is finite.
        ends: The values at the ends of that line.
    """

    name: str
    title: str
    value: str
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
    low, high = (metric.low, metric.high) if metric else (-math.inf, math.inf)
    title = title_of(name, names)
    bounded = math.isfinite(low) and math.isfinite(high) and estimate.value is not None
    value, interval = amount(estimate.value), interval_text(estimate)
    label = f"{title}: {value}, {interval or 'no interval'}, from {low:g} to {high:g}"
    strip = None
    if bounded:
        strip = interval_strip(label, Scale(low=low, high=high), estimate.value, estimate.low, estimate.high)
    caution = CAUTION if estimate.conservative else ""
    return MetricRow(
        name=name,
        title=title,
        value="" if estimate.value is None else value,
        interval=interval,
        sizes=sizes(estimate, metric),
        reason=f"{estimate.reason[:1].upper()}{estimate.reason[1:].rstrip('.')}." if estimate.reason else "",
        good=GOOD[estimate.direction],
        ideal=metric.ideal if metric else "",
        measures=metric.measures if metric else "",
        blind=metric.blind if metric else "",
        estimand=estimate.estimand,
        method=f"{estimate.interval}{caution}" if estimate.interval else "",
        details=tuple((key.replace("_", " "), str(text)) for key, text in estimate.details.items()),
        strip=strip,
        ends=(f"{low:g}", f"{high:g}") if bounded else ("", ""),
    )


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
    if estimate.low is None:
        return f"{level} at most {amount(estimate.high)}"
    if estimate.high is None:
        return f"{level} at least {amount(estimate.low)}"
    return f"{level} {amount(estimate.low)} to {amount(estimate.high)}"


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
        good=GOOD[direction],
        fake=_short(fake),
        other=_short(other),
        difference=signed(change.value),
        interval=interval_text(change),
        sizes=sizes(change, metric),
        strip=strip,
        reading=_reading(change, direction, titles),
        by={
            "fake": None if fake is None else fake.value,
            "other": None if other is None else other.value,
            "difference": change.value,
        },
    )


def _short(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.value is None else amount(estimate.value)


def _reading(change: Estimate, direction: str, titles: tuple[str, str]) -> str:
    """What a difference says: who is better, or that nobody can tell."""
    if change.value is None:
        return change.reason or "not computed"
    if change.level is None or (change.low is None and change.high is None):
        return "no interval, so chance cannot be ruled out"
    if change.holds(0.0):
        return "cannot be told apart"
    if direction not in ("lower", "higher"):
        return "they differ"
    return f"{titles[0] if (change.value > 0) is (direction == 'higher') else titles[1]} is better"
