"""What was compared with what: the data sets as they were read, what was done to them, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uncollapse.report.evaluation_record import Evaluation, Side
from uncollapse.report.evaluation_values import LONGEST_NAME, shortened
from uncollapse.text import duration

HEADS = {"real": "Real", "fake": "Generated", "other": "Other generator", "train": "Training"}
MOST_KINDS = 6  # sizes, channels or policies listed for one side


@dataclass(frozen=True, kw_only=True)
class InputTable:
    """The data sets side by side: heads, and rows of (fact, one text a side)."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class BadRows:
    """Rows of one side that could not be read: (name, reason), and how many are not listed."""

    head: str
    rows: tuple[tuple[str, str], ...]
    more: int


def input_table(record: Evaluation) -> InputTable:
    """One column a data set; a fact that no side has is left out."""
    sides = [(head, record.inputs[key]) for key, head in HEADS.items() if key in record.inputs]
    facts = [
        ("Name", [side.name for _, side in sides]),
        ("What it is", [side.form for _, side in sides]),
        ("Rows", ["" if side.rows is None else f"{side.rows:,}" for _, side in sides]),
        ("Kind", [_kind(side) for _, side in sides]),
        ("Size", [_tally(side.sizes) for _, side in sides]),
        ("Channels", [_tally(side.channels) for _, side in sides]),
        ("Done on reading", [_tally(side.policies) for _, side in sides]),
        ("Could not be read", [f"{side.bad_count:,}" if side.bad_count else "" for _, side in sides]),
    ]
    return InputTable(
        heads=tuple(head for head, _ in sides),
        rows=tuple((fact, tuple(texts)) for fact, texts in facts if any(texts)),
    )


def _kind(side: Side) -> str:
    return f"{side.kind}, with labels" if side.labelled and side.kind else side.kind


def _tally(counts: Mapping[str, int]) -> str:
    """Texts with their counts, the most frequent first: "28 x 28 (10,000)"."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    shown = [f"{text} ({count:,})" for text, count in ranked[:MOST_KINDS]]
    return "; ".join([*shown, *([f"{len(ranked) - MOST_KINDS} more"] if len(ranked) > MOST_KINDS else [])])


def bad_rows(record: Evaluation) -> list[BadRows]:
    """What could not be read, a list a side; sides without are left out."""
    found = []
    for key, head in HEADS.items():
        side = record.inputs.get(key)
        if side is not None and side.bad_count:
            shown = side.bad[:100]
            found.append(BadRows(head=head, rows=shown, more=max(0, side.bad_count - len(shown))))
    return found


def generators(record: Evaluation, most: int = LONGEST_NAME) -> tuple[str, str]:
    """What the two generators are called, each name cut to `most` characters, the second empty where there is none.

    Where that is the same text, as for two arrays of one shape, a word behind each tells them apart.
    """
    if record.versus is None:
        return shortened(record.fake_name, most), ""
    names = shortened(record.fake_name, most), shortened(record.versus.name, most)
    return names if names[0] != names[1] else (f"{names[0]} (generated)", f"{names[1]} (other generator)")


def subtitle(record: Evaluation) -> str:
    """What was compared, in one sentence."""
    real, fake = record.inputs.get("real"), record.inputs.get("fake")
    if real is None or fake is None:
        return ""
    counts = ["" if side.rows is None else f"{side.rows:,} " for side in (fake, real)]
    noun = "images" if fake.kind == "images" else "rows"
    extractor = f" (features: {record.extractor.name})" if record.extractor and record.extractor.name else ""
    return f"{counts[0]}generated {noun} judged against {counts[1]}real ones of {real.name}{extractor}."


def took(record: Evaluation) -> str:
    """How long it took: "reading 3 s, features 12 s"; empty when no clock was recorded."""
    return ", ".join(f"{name} {duration(seconds)}" for name, seconds in record.seconds.items())
