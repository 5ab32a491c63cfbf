"""What the numbers of the metrics are counted in, and what each is to be compared with; further numbers as text.

A metric without an absolute ideal is read against the real data's own number, or against what chance alone gives; both
are among the details of its estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uncollapse.metrics.estimate import Estimate
from uncollapse.report.evaluation_words import amount
from uncollapse.report.measures import p_text

REAL, CHANCE = "real data", "by chance alone"
UNITS = {"class_entropy": "bits", "mode_coverage": "classes", "birthday": "different fakes"}
# Metric -> which of its details it is compared with, and what that is.
COMPARED = {
    "diversity": ("real", REAL),
    "vendi_score": ("real", REAL),
    "class_entropy": ("real", REAL),
    "duplicates": ("real_share", REAL),
    "class_kl": ("floor", CHANCE),
    "chi_square": ("freedom", CHANCE),
    "ndb": ("expected_by_chance", CHANCE),
    "inception_score": ("classes", "at most"),
}
IDEALS = {"c2st": (0.5, "a coin"), "density": (1.0, "ideal")}
WHOLE = ("mode_coverage", "birthday")  # numbers that are counts


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A number that a metric is compared with, and what it is."""

    value: float
    words: str


def unit(estimate: Estimate) -> str:
    """What the number of a metric is counted in; empty without a unit."""
    told = estimate.details.get("unit")
    return told if isinstance(told, str) else UNITS.get(estimate.metric, "")


def reference(estimate: Estimate) -> Reference | None:
    """What the number of a metric is compared with; None where the file does not say or nothing is."""
    if estimate.metric in IDEALS:
        value, words = IDEALS[estimate.metric]
        return Reference(value=value, words=words)
    key, words = COMPARED.get(estimate.metric, ("", ""))
    found = _number(estimate.details, key)
    return None if found is None else Reference(value=found, words=words)


def told(reference: Reference | None, estimate: Estimate) -> str:
    """What a number is compared with: "real data: 22.36"; empty without anything."""
    if reference is None:
        return ""
    size = unit(estimate)
    return f"{reference.words}: {_plain(reference.value)}{f' {size}' if size else ''}"


def ratio(estimate: Estimate) -> str:
    """The number as a ratio to the real data's, with its interval; empty where it is not in the file."""
    value, ends = _number(estimate.details, "ratio_to_real"), estimate.details.get("ratio_interval")
    if value is None:
        return ""
    around = f", interval {amount(ends[0])} to {amount(ends[1])}" if isinstance(ends, tuple | list) else ""
    return f"ratio to the real data {amount(value)}{around}"


def counted(estimate: Estimate, value: float | None) -> str:
    """A number of a metric as text: counts without digits after the point."""
    if value is not None and estimate.metric in WHOLE and value == int(value):
        return f"{value:,.0f}"
    return amount(value)


def of_all(estimate: Estimate) -> float | None:
    """How many there are of what a metric counts, for "8 of 10"; None where it counts nothing, or nobody knows."""
    return _number(estimate.details, "classes") if estimate.metric == "mode_coverage" else None


def details(estimate: Estimate) -> tuple[tuple[str, str], ...]:
    """Further numbers of a metric with their names, rounded."""
    return tuple((key.replace("_", " "), _text(key, value)) for key, value in estimate.details.items())


def _text(key: str, value: object) -> str:
    if isinstance(value, tuple | list):
        return (" to " if "interval" in key else ", ").join(_text("", item) for item in value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    return p_text(value) if key == "p_value" else _plain(value)


def _plain(value: float) -> str:
    """A number as text; a whole one has no digits after the point, however it is stored."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e9 else amount(value)


def _number(content: Mapping[str, object], key: str) -> float | None:
    value = content.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
