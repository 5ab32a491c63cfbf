"""An evaluation as text for a terminal: the verdict, its evidence, what was lost, the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from uncollapse.console import make_table
from uncollapse.text import clean
from uncollapse.verdict.question import percent

Columns = tuple[tuple[str, ...], list[tuple[object, ...]]]
MOST_LOST, MOST_CLASSES = 12, 20


def evaluation_table(document: Mapping[str, Any]) -> Group:
    """All that a terminal shows of ``evaluation.json``."""
    verdict = document["verdict"]
    flags = "".join(f", {flag}" for flag in verdict["flags"])
    parts: list[Any] = [Text(f"{verdict['status'].upper()}{flags}", style="bold"), Text(clean(verdict["sentence"]))]
    parts += [Text(clean(text)) for text in (verdict["quality"], *document["notes"]) if text]
    if verdict["evidence"]:
        parts += [Text(), make_table(*_evidence(verdict["evidence"]), right=("effect", "counts from", "p"))]
    if verdict["lost"]:
        parts += [Text(), make_table(*_lost(verdict["lost"]), right=("real", "fake"))]
    if document.get("per_class"):
        parts += [Text(), make_table(*_classes(document["per_class"]), right=("real", "fake"))]
    if document.get("versus"):
        parts += [Text(), *_versus(document["versus"])]
    if document["metrics"]:
        parts += [Text(), make_table(*_metrics(document), right=("value",))]
    parts += [Text(), Text(clean(f"Features: {document['extractor']['name']}. {document['extractor']['why']}"))]
    return Group(*parts)


def _evidence(rows: Sequence[Mapping[str, Any]]) -> Columns:
    head = ("asked", "effect", "counts from", "p", "answer")
    body: list[tuple[object, ...]] = []
    for row in rows:
        effects = percent(row["effect"]), percent(row["minimum_effect"])
        body.append((row["metric"], *effects, f"{row['p_adjusted']:.3f}", row["sentence"]))
    return head, body


def _lost(rows: Sequence[Mapping[str, Any]]) -> Columns:
    body: list[tuple[object, ...]] = []
    for row in rows[:MOST_LOST]:
        share, low, high = (percent(row[key]) for key in ("share_fake", "low", "high"))
        body.append((row["mode"], percent(row["share_real"]), f"{share} [{low}, {high}]"))
    if len(rows) > MOST_LOST:
        body.append((f"and {len(rows) - MOST_LOST} more", "", ""))
    return ("lost", "real", "fake"), body


def _classes(rows: Sequence[Mapping[str, Any]]) -> Columns:
    body: list[tuple[object, ...]] = [
        (row["label"], f"{row['n_real']:,}", f"{row['n_fake']:,}", row["status"], row["sentence"])
        for row in rows[:MOST_CLASSES]
    ]
    return ("class", "real", "fake", "verdict", "answer"), body


def _versus(versus: Mapping[str, Any]) -> list[Any]:
    told = Text(clean(f"{versus['name']}: {versus['verdict']['status']}: {versus['verdict']['sentence']}"))
    body: list[tuple[object, ...]] = [(name, number(row), interval(row)) for name, row in versus["differences"].items()]
    return [told, make_table(("fake minus the other", "value", "interval"), body, right=("value",))]


def _metrics(document: Mapping[str, Any]) -> Columns:
    body: list[tuple[object, ...]] = [
        (document["names"].get(name, name), number(row), interval(row), row["direction"])
        for name, row in document["metrics"].items()
    ]
    return ("metric", "value", "95 % interval", "good"), body


def number(row: Mapping[str, Any]) -> str:
    """A value, or why there is none."""
    return "none" if row["value"] is None else f"{row['value']:.4g}"


def interval(row: Mapping[str, Any]) -> str:
    """The interval in brackets, or the reason for a missing one."""
    if row["value"] is None or (row["low"] is None and row["high"] is None):
        return clean(row["reason"] or "")
    low, high = ("..." if row[end] is None else f"{row[end]:.4g}" for end in ("low", "high"))
    return f"[{low}, {high}]"
