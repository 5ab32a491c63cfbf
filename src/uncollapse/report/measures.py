"""How each measure is named, explained and printed: one row a measure, for the tables, the sentences, the glossary.

Numbers never appear without their interval and their number of seeds, so the formatting functions take both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from uncollapse.metrics.further import FURTHER, MODES, Further
from uncollapse.report.records import Cell

MINUS = "\N{MINUS SIGN}"
NARROW = "\N{NARROW NO-BREAK SPACE}"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure as the page shows it.

    Attributes:
        key: Its key in the records.
        title: Table head.
        kind: "count" (of the K modes), "share" (shown in per cent) or "number".
        better: What a reader should hope for, for example "K is best".
        meaning: The glossary's sentences.
        direction: Which values are better: "higher", "lower" or, for a ratio, near "one".
    """

    key: str
    title: str
    kind: str
    better: str
    meaning: str
    direction: str = "higher"


_BASE = (
    Measure(
        key="modes_solid",
        title="Solid modes",
        kind="count",
        better="all K is best",
        meaning="A mode counts as solid when at least 0.2 N w of the N samples fall into it and are of high quality, w "
        "being its true share. One stray sample is not enough.",
    ),
    Measure(
        key="modes_hit",
        title="Modes hit",
        kind="count",
        better="all K is best",
        meaning="Modes with at least one high-quality sample: the lenient count that many papers print.",
    ),
    Measure(
        key="high_quality_share",
        title="High-quality share",
        kind="share",
        better="near 100 % is best; real data reaches 98.9 % on 2-D mixtures",
        meaning="Share of the samples that lie within three standard deviations of a mode (mixtures), or that the "
        "digit classifier is as sure of as it is of 95 % of real held-out digits.",
    ),
    Measure(
        key="kl_high_quality",
        direction="lower",
        title="KL, high quality",
        kind="number",
        better="the sampling floor is best",
        meaning="Kullback-Leibler divergence in nats from the modes' shares among high-quality samples to the true "
        "shares. The floor is what perfect samples of the same number would show by chance; a method that is asked for "
        "labels in their true shares can lie below it.",
    ),
    Measure(
        key="kl_all",
        direction="lower",
        title="KL, all samples",
        kind="number",
        better="the sampling floor is best",
        meaning="The same divergence with every sample counted for its nearest mode, however far away it lies.",
    ),
    Measure(
        key="core_sigma_ratio",
        direction="one",
        title="Core sigma ratio",
        kind="number",
        better="1 is best; below 1 the modes are too narrow, above 1 too wide",
        meaning="Median distance of a mode's high-quality samples to their middle, divided by what it is for the true "
        "component; the mean over the modes. Real samples have 0.992, as high-quality ones end at three standard "
        "deviations. Collapse inside a mode shows here when the modes are all still counted.",
    ),
    Measure(
        key="tutorial_coverage",
        title="Lenient coverage",
        kind="share",
        better="100 % is best",
        meaning="The tutorial's own measure: share of the k-means centres of real samples that have at least one "
        "generated sample within a distance of 0.1. A single stray sample counts, so it flatters.",
    ),
    Measure(
        key="class_entropy",
        title="Class entropy, bits",
        kind="number",
        better="the real data's entropy is best",
        meaning="Entropy of the shares of the classes or modes. Ten equally frequent classes have "
        "log2(10) = 3.32 bits, one class alone has 0.",
    ),
)
# What a few measures of `metrics.further` are called where their key is no good table head, and what is best.
_TITLES = {
    "modes_five": "Modes with 5 samples",
    "modes_five_corrected": "Modes with 5, corrected",
    "kl_corrected": "KL, corrected",
    "kl_uniform": "KL to equal shares",
    "frechet_distance": "Fréchet distance",
    "within_class_diversity": "Diversity inside classes",
}
_BEST = {
    "frechet_distance": "that of real training images is best",
    "precision": "that of real training images is best",
    "recall": "that of real training images is best",
    "within_class_diversity": "1 is best",
    "label_agreement": "as often as it is right on real images is best",
    "kl_corrected": "0 is best",
    "kl_uniform": "that of the real shares is best",
}


def _further(measure: Further) -> Measure:
    kind = {MODES: "count", 1: "share"}.get(measure.high or 0, "number")
    return Measure(
        key=measure.name,
        title=_TITLES.get(measure.name, measure.name.replace("_", " ").capitalize()),
        kind=kind,
        better=_BEST.get(measure.name, {"count": "all K is best"}.get(kind, f"{measure.better} is better")),
        meaning=measure.says,
        direction=measure.better,
    )


MEASURES = (*_BASE, *(_further(measure) for measure in FURTHER.values()))
BY_KEY: Mapping[str, Measure] = {measure.key: measure for measure in MEASURES}
# Shown in a table of their own beside real images, not among the modes.
IMAGE_KEYS = ("frechet_distance", "precision", "recall", "within_class_diversity", "label_agreement")


def glossary(cells: Iterable[Cell]) -> tuple[Measure, ...]:
    """The measures that a page explains: those of every task, and what image tasks measured beside them."""
    cells = tuple(cells)
    return tuple(m for m in MEASURES if m in _BASE or any(entry_of(cell, m.key) for cell in cells))


def measure_of(key: str) -> Measure:
    """The measure of a key; an unknown key prints as a plain number under its own name."""
    return BY_KEY.get(key) or Measure(key=key, title=key.replace("_", " "), kind="number", better="", meaning="")


def spoken(key: str) -> str:
    """A measure's name inside a sentence.

    >>> spoken("kl_all"), spoken("core_sigma_ratio"), spoken("frechet_distance")
    ('KL, all samples', 'core sigma ratio', 'Fréchet distance')
    """
    title = measure_of(key).title
    return title if title[:2].isupper() or title.startswith("Fréchet") else title[:1].lower() + title[1:]


def best(means: Mapping[str, float], key: str) -> str:
    """The name with the best mean of a measure, the first among equals.

    >>> best({"a": 0.9, "b": 0.1}, "kl_all"), best({"a": 0.5, "b": 1.1}, "core_sigma_ratio")
    ('b', 'b')
    """
    return max(means, key=lambda name: goodness(key, means[name]))


def goodness(key: str, value: float) -> float:
    """A number that is the larger the better the value of a measure is.

    >>> goodness("modes_solid", 3.0), goodness("kl_all", 0.5), goodness("core_sigma_ratio", 1.5)
    (3.0, -0.5, -0.5)
    """
    return {"higher": value, "lower": -value, "one": -abs(value - 1)}[measure_of(key).direction]


def number(value: float | None, kind: str = "number") -> str:
    """A value as text: counts with one decimal, shares in per cent, other numbers with about three digits.

    >>> number(4.25, "count"), number(0.934, "share"), number(0.01234), number(1874.0), number(None)
    ('4.2', '93 %', '0.0123', '1,874', 'none')
    >>> number(-0.0004, "share"), number(-0.01, "count"), number(-0.06, "count")
    ('0.0 %', '0.0', '\u22120.1')
    """
    if value is None or not math.isfinite(value):
        return "none"
    if kind == "count":
        text = f"{value:.1f}"
    elif kind == "share":
        text = f"{100 * value:.1f}" if 0 < abs(value) < 0.01 or 0.99 < value < 1 else f"{100 * value:.0f}"
        # A share that only rounds to the whole must not read as the whole.
        text = ("99.9+" if text == "100.0" else text) + " %"
    elif abs(value) >= 1000:
        text = f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.2e}"
    elif 0 < abs(value) < 0.0001:
        text = "<0.0001" if value > 0 else ">-0.0001"
    else:
        text = f"{value:.2f}" if 0.1 <= abs(value) < 100 or value == 0 else f"{value:.{2 if abs(value) < 0.01 else 3}g}"
    # Nothing that rounds to 0 is below it.
    return text.removeprefix("-") if not text.strip("-0. %") else text.replace("-", MINUS)


def span(entry: Mapping[str, Any], kind: str) -> str:
    """The interval of an entry of `measures`: "2.7 to 5.8"."""
    low, high = entry.get("low"), entry.get("high")
    if low is None or high is None:
        return "no interval"
    first, last = number(low, kind), number(high, kind)
    return f"{first.removesuffix(' %')} to {last}" if kind == "share" else f"{first} to {last}"


def points(text: str) -> str:
    """A difference of two shares is said in percentage points.

    >>> points("+3 %")
    '+3 points'
    """
    return text.replace(" %", " points")


def signed(value: float | None, kind: str) -> str:
    """A difference with its sign, without a unit but points.

    >>> signed(3.7, "count"), signed(-0.1, "share"), signed(0.0, "count")
    ('+3.7', '\u221210 points', '0.0')
    """
    text = number(value, kind)
    return points(text if value is None or value <= 0 or text.startswith(MINUS) else f"+{text}")


def level(entry: Mapping[str, Any]) -> str:
    """The interval's level as text: "95 %"."""
    return f"{100 * float(entry.get('level') or 0.95):.0f} %"


def seeds_of(entry: Mapping[str, Any]) -> int:
    """How many seeds an entry of `measures` rests on."""
    return sum(value is not None for value in entry.get("per_seed", ()))


def seeds_text(count: int) -> str:
    """A count of seeds with its noun: "1 seed", "4 seeds"."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def p_text(p: float | None) -> str:
    """A p value as text.

    >>> p_text(0.0123), p_text(0.00002), p_text(None)
    ('0.012', 'below 0.001', 'none')
    """
    if p is None:
        return "none"
    return "below 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.2 else f"{p:.2f}"


def entry_of(cell: Cell, key: str) -> Mapping[str, Any] | None:
    """A cell's entry of one measure, None when it has no value."""
    entry = cell.measures.get(key)
    return entry if entry and entry.get("mean") is not None else None
