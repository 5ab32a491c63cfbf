"""What may be wrong with a generator: four symptoms, each with its stated threshold and the measure that shows it.

`advice.py` ranks what helps against each; the report says which of them a comparison shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from uncollapse.errors import unknown

MEASURES = ("modes_solid", "high_quality_share", "core_sigma_ratio")
QUALITY, CORE = 0.9, 0.9

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """Something that may be wrong with a generator.

    Attributes:
        name: As ``methods --for`` takes it.
        title: As the report heads it.
        rule: When a cell shows it, as a sentence without its subject.
        measure: What the paired difference from the plain GAN is about.
        heads: Heads of the two columns: the value of a row, and its difference.
        shown: Whether a row of evidence shows it.
        level: How good a row is, for ranking; more is better.
        value: The row's value with interval.
        absolute: Whether a method is judged by the symptom alone, not by its paired difference from the plain GAN.
    """

    name: str
    title: str
    rule: str
    measure: str
    heads: tuple[str, str]
    shown: Callable[[Row], bool]
    level: Callable[[Row], float]
    value: Callable[[Row], str]
    absolute: bool = False


def _mean(row: Row, key: str) -> float | None:
    entry = row["measures"].get(key)
    return entry["mean"] if entry else None


def _below(key: str, limit: float) -> Callable[[Row], bool]:
    return lambda row: (value := _mean(row, key)) is not None and value < limit


def _level(row: Row, key: str) -> float:
    return _mean(row, key) or 0.0


def _entry(row: Row, key: str, kind: str) -> str:
    entry = row["measures"].get(key)
    return span(entry["mean"], entry["low"], entry["high"], kind) if entry else "not measured"


def span(value: float, low: float | None, high: float | None, kind: str = "", *, sign: bool = False) -> str:
    """A value with its interval.

    >>> span(0.934, 0.9, 0.96, "%"), span(3.25, 1.2, 5.3, sign=True)
    ('93.4 % [90, 96]', '+3.25 [+1.2, +5.3]')
    """
    scale = 100 if kind == "%" else 1
    texts = [
        f"{scale * number:{'+' if sign else ''}.3g}" for number in (value, *(x for x in (low, high) if x is not None))
    ]
    unit = " %" if kind == "%" else ""
    return f"{texts[0]}{unit}" + (f" [{texts[1]}, {texts[2]}]" if len(texts) == 3 else ", no interval")


def _success(row: Row) -> str:
    rate = row["success_rate"]
    return f"{rate['successes']} of {rate['n']} seeds, {span(rate['value'], rate['low'], rate['high'], '%')}"


def _divergence(row: Row) -> str:
    found = row["diverged"]
    return f"{found['count']} of {found['n']} seeds, {span(found['value'], found['low'], found['high'], '%')}"


SYMPTOMS: Mapping[str, Symptom] = {
    item.name: item
    for item in (
        Symptom(
            name="missing-modes",
            title="Missing modes",
            rule="in at least one seed that did not diverge not every mode is solid",
            measure="modes_solid",
            heads=("all modes solid", "solid modes against vanilla"),
            shown=lambda row: row["success_rate"]["successes"] + row["diverged"]["count"] < row["seeds"],
            level=lambda row: row["success_rate"]["value"],
            value=_success,
        ),
        Symptom(
            name="low-precision",
            title="Low precision",
            rule=f"on average less than {100 * QUALITY:.0f} % of the samples are of high quality",
            measure="high_quality_share",
            heads=("high-quality share", "points against vanilla"),
            shown=_below("high_quality_share", QUALITY),
            level=lambda row: _level(row, "high_quality_share"),
            value=lambda row: _entry(row, "high_quality_share", "%"),
        ),
        Symptom(
            name="shrunken-variance",
            title="Shrunken variance",
            rule=f"the core sigma ratio is on average below {CORE}",
            measure="core_sigma_ratio",
            heads=("core sigma ratio", "nearer to 1 than vanilla by"),
            shown=_below("core_sigma_ratio", CORE),
            level=lambda row: -abs(_level(row, "core_sigma_ratio") - 1),
            value=lambda row: _entry(row, "core_sigma_ratio", ""),
        ),
        Symptom(
            name="divergence",
            title="Divergence",
            rule="the losses of at least one seed became infinite or not a number",
            measure="diverged",
            heads=("diverged", "diverged less than vanilla by"),
            shown=lambda row: row["diverged"]["count"] > 0,
            level=lambda row: -row["diverged"]["high"],
            value=_divergence,
            absolute=True,
        ),
    )
}


def find_symptom(name: str) -> Symptom:
    """The symptom of that name.

    Raises:
        UserError: There is none; names the nearest.
    """
    if name not in SYMPTOMS:
        raise unknown("symptom", name, SYMPTOMS)
    return SYMPTOMS[name]
