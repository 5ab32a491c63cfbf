"""An evaluation as text for a terminal: the verdict, its evidence, what was lost, the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from uncollapse.console import make_table
from uncollapse.data.limits import short
from uncollapse.text import clean
from uncollapse.verdict.question import percent

Columns = tuple[tuple[str, ...], list[tuple[object, ...]]]
MOST_LOST, MOST_CLASSES = 12, 20


def evaluation_table(document: Mapping[str, Any]) -> Group:
    """All that a terminal shows of ``evaluation.json``."""
    verdict = document["verdict"]
    flags = "".join(f", {flag}" for flag in verdict["flags"])
    parts: list[Any] = [Text(f"{verdict['status'].upper()}{flags}", style="bold"), Text(clean(verdict["sentence"]))]
    copied = (document.get("memorisation") or {}).get("sentence")
    parts += [Text(clean(text)) for text in (copied, verdict["quality"], *document["notes"]) if text]
    if verdict["evidence"]:
        parts += [Text(), make_table(*_evidence(verdict["evidence"]), right=("effect", "counts from", "p"))]
    if verdict["lost"]:
        parts += [Text(), make_table(*_lost(verdict["lost"]), right=("real", "fake"))]
    if document.get("per_class"):
        parts += [Text(), make_table(*_classes(document["per_class"]), right=("real", "fake"))]
    if document.get("versus"):
        parts += [Text(), *_versus(document["versus"], document["names"])]
    if document["metrics"]:
        parts += [Text(), make_table(*_metrics(document), right=("value",))]
    name, why = document["extractor"]["name"], document["extractor"]["why"]
    parts += [Text(), Text(clean(f"Features: {why if why.startswith(name) else f'{name}. {why}'}"))]
    return Group(*parts, *(Text(clean(line)) for line in reading_lines(document["inputs"])))


def reading_lines(inputs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line for each side that could not be read whole, or to whose rows something was done on reading."""
    lines = []
    for role, side in inputs.items():
        told = []
        if side["bad_count"]:
            first = side["bad"][0]
            tried = (side["rows"] or 0) + side["bad_count"]
            reason = short(f"the first: {first['name']} {first['reason']}")
            told.append(f"{side['bad_count']:,} of {tried:,} rows could not be read and are left out ({reason})")
        told += [f"{count:,} x {policy}" for policy, count in side["policies"].items()]
        if told:
            lines.append(f"Read {role}: {'; '.join(told)}.")
    return lines


def _evidence(rows: Sequence[Mapping[str, Any]]) -> Columns:
    head = ("asked", "effect", "counts from", "p", "answer")
    body: list[tuple[object, ...]] = []
    for row in rows:
        effects = _share(row["effect"]), _share(row["minimum_effect"])
        body.append((row["metric"], *effects, _chance(row["p_adjusted"]), row["sentence"]))
    return head, body


def _share(value: float | None) -> str:
    return "none" if value is None else percent(value)


def _chance(p: float | None) -> str:
    return "none" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _lost(rows: Sequence[Mapping[str, Any]]) -> Columns:
    body: list[tuple[object, ...]] = []
    for row in rows[:MOST_LOST]:
        share, low, high = (percent(row[key]) for key in ("share_fake", "low", "high"))
        body.append((row["mode"], percent(row["share_real"]), f"{share} [{low}, {high}]"))
    return ("lost", "real", "fake"), [*body, *_more(len(rows) - MOST_LOST, 3)]


def _classes(rows: Sequence[Mapping[str, Any]]) -> Columns:
    body: list[tuple[object, ...]] = [
        (row["label"], f"{row['n_real']:,}", f"{row['n_fake']:,}", row["status"], row["sentence"])
        for row in rows[:MOST_CLASSES]
    ]
    return ("class", "real", "fake", "verdict", "answer"), [*body, *_more(len(rows) - MOST_CLASSES, 5)]


def _more(count: int, columns: int) -> list[tuple[object, ...]]:
    """A last row that says how many are left out."""
    return [(f"and {count:,} more", *[""] * (columns - 1))] if count > 0 else []


def _versus(versus: Mapping[str, Any], names: Mapping[str, str]) -> list[Any]:
    told = Text(clean(f"{versus['name']}: {versus['verdict']['status']}: {versus['verdict']['sentence']}"))
    body: list[tuple[object, ...]] = [
        (names.get(name, name), number(row), interval(row), better(row)) for name, row in versus["differences"].items()
    ]
    return [told, make_table(("fake minus the other", "value", _level(versus), "better"), body, right=("value",))]


def better(row: Mapping[str, Any]) -> str:
    """Which of two generators a difference (fake minus other) speaks for, where its interval lies on one side of 0."""
    if row["direction"] not in ("lower", "higher") or row["low"] is None or row["high"] is None:
        return "" if row["value"] is None or row["direction"] == "near" else "unsure"
    if row["low"] <= 0 <= row["high"]:
        return "unsure"
    return "fake" if (row["high"] < 0) == (row["direction"] == "lower") else "the other"


def _metrics(document: Mapping[str, Any]) -> Columns:
    body: list[tuple[object, ...]] = [
        (document["names"].get(name, name), number(row), interval(row), row["direction"])
        for name, row in document["metrics"].items()
    ]
    return ("metric", "value", _level(document), "good"), body


def _level(document: Mapping[str, Any]) -> str:
    """The head of the column of intervals, with their level."""
    rows = [*document["metrics"].values(), *document.get("differences", {}).values()]
    level = next((row["level"] for row in rows if row["level"] is not None), None)
    return "interval" if level is None else f"{100 * level:g} % interval"


def number(row: Mapping[str, Any]) -> str:
    """A value, or that there is none."""
    return "none" if row["value"] is None else f"{row['value']:.4g}"


def interval(row: Mapping[str, Any]) -> str:
    """The interval in brackets, or the reason for a missing one."""
    if row["value"] is None or (row["low"] is None and row["high"] is None):
        return clean(row["reason"] or "")
    low, high = ("..." if row[end] is None else f"{row[end]:.4g}" for end in ("low", "high"))
    return f"[{low}, {high}]"
