"""What is in a data set, at one look: behind `uncollapse data inspect`."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.limits import CHUNK_BYTES
from uncollapse.data.opening import open_source
from uncollapse.data.sheet import contact_sheet, reduced
from uncollapse.data.source import Chunk, Notes, Pixels, Source
from uncollapse.errors import UserError
from uncollapse.files import write_atomic
from uncollapse.text import clean

if TYPE_CHECKING:
    from rich.table import Table

CHUNK_ROWS = 500
LISTED_GROUPS, LISTED_NAMES, LISTED_LABELS, LISTED_SIZES, LISTED_BAD = 20, 5, 20, 5, 10
MOST_IN_GROUP = 100
LABELS_SHOWN, PER_LABEL, UNLABELLED_SHOWN = 20, 10, 64


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found.

    Attributes:
        name: What the user wrote.
        form: What it is, in words.
        kind: "images", "features" or "statistics".
        rows: Readable rows; of statistics the rows that they are of, None where that is not known.
        tried: Rows there are, readable or not.
        labels: How many rows have which label, most first; None without labels.
        repeated: Rows that equal an earlier row exactly: its decoded pixels, or its numbers.
        groups: Names of rows that equal each other, the largest groups first, at most `MOST_IN_GROUP` names each.
        group_count: How many such groups there are; `groups` lists the first.
        width: Numbers of a feature row.
        lowest: The smallest finite number of the features, or value of the images as bytes.
        highest: The largest.
        not_finite: Feature rows that hold a number that is not finite.
        notes: Bad rows, policies, sizes and channels.
        content_hash: sha256 of the content; None where it cannot be known.
        source: What was read.
        shown: Rows that a picture shows, one list a label in the order of labels, or a single list.
    """

    name: str
    form: str
    kind: str
    rows: int | None
    tried: int
    labels: dict[str, int] | None
    repeated: int
    groups: tuple[tuple[str, ...], ...]
    group_count: int
    width: int | None
    lowest: float | None
    highest: float | None
    not_finite: int
    notes: Notes
    content_hash: str | None
    source: Source = field(repr=False)
    shown: tuple[tuple[int, ...], ...] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "schema": 1,
            "name": self.name,
            "form": self.form,
            "kind": self.kind,
            "tried": self.tried,
            **self.notes.to_json(),
            "rows": self.rows,
            "labels": self.labels,
            "duplicates": {
                "rows": self.repeated,
                "groups": self.group_count,
                "listed": [list(group) for group in self.groups],
            },
            "features": None
            if self.width is None
            else {
                "width": self.width,
                "lowest": self.lowest,
                "highest": self.highest,
                "rows_not_finite": self.not_finite,
            },
            "values": None if self.kind != "images" else {"lowest": self.lowest, "highest": self.highest},
            "content_hash": self.content_hash,
        }

    def card(self) -> dict[str, object]:
        """The same for people, one entry a line; texts from files are not cleaned here."""
        notes = self.notes
        bad = f"; {notes.bad_count:,} more cannot be read" if notes.bad_count else ""
        what = {"images": "images", "features": "feature rows"}.get(self.kind, "rows behind mean and covariance")
        values = "" if self.lowest is None else f"{self.lowest:.6g} to {self.highest:.6g}"
        return {
            "data": self.name,
            "form": self.form,
            "rows": f"{'unknown number of' if self.rows is None else f'{self.rows:,}'} {what}{bad}",
            "sizes": _listing(
                Counter({f"{height} x {width}": count for (height, width), count in notes.sizes.items()}), LISTED_SIZES
            ),
            "channels": _listing(notes.channels, LISTED_SIZES),
            "numbers a row": self.width or "",
            "values": values + (f"; {self.not_finite:,} rows hold some that are not finite" if self.not_finite else ""),
            "labels": "none" if self.labels is None else _listing(self.labels, LISTED_LABELS),
            "exact duplicates": self._duplicates(),
            "policies": _listing(notes.policies, LISTED_LABELS),
            "cannot be read": [f"{name} {reason}" for name, reason in notes.bad[:LISTED_BAD]]
            + (["..."] if notes.bad_count > LISTED_BAD else []),
            "content sha256": self.content_hash or "",
        }

    def table(self) -> Table:
        """The card as a table for the terminal; every text is cleaned on the way."""
        from uncollapse.console import card_table

        return card_table(self.card())

    def picture(self, file: Path) -> None:
        """Writes some images as one PNG: a line a label, or a square of 64 without labels.

        Raises:
            UserError: There are no images, or the file cannot be written.
        """
        if self.kind != "images" or not self.rows:
            raise UserError(f"{clean(self.name)} holds no readable images to show.")
        titles = [clean(label) for label in self.labels][:LABELS_SHOWN] if self.labels else None
        try:
            write_atomic(file, contact_sheet(self._lines(), titles))
        except OSError as error:
            raise UserError(f"{clean(file)} cannot be written ({error.strerror}); choose another --out.") from error

    def _lines(self) -> list[list[Pixels]]:
        """The images that a picture shows, reduced while they are fetched, so that few large ones are held at once."""
        rows = sorted({row for line in self.shown for row in line})
        at_once = max(1, CHUNK_BYTES // max(3 * height * width for height, width in self.notes.sizes))
        small: dict[int, Pixels] = {}
        for first in range(0, len(rows), at_once):
            part = rows[first : first + at_once]
            small.update(zip(part, map(reduced, self.source.fetch(part)), strict=True))
        return [[small[row] for row in line] for line in self.shown]

    def _duplicates(self) -> str | list[str]:
        if not self.repeated:
            return "none" if self.kind != "statistics" else ""
        rows = "1 row repeats" if self.repeated == 1 else f"{self.repeated:,} rows repeat"
        groups = "" if self.group_count == 1 else f", in {self.group_count:,} groups"
        lines = [f"{rows} an earlier one{groups}"]
        for group in self.groups[:LISTED_NAMES]:
            more = f" = ... ({len(group)})" if len(group) > LISTED_NAMES else ""
            lines.append(" = ".join(group[:LISTED_NAMES]) + more)
        return lines


def inspect(
    given: object,
    *,
    side: str = "data",
    n: int | None = None,
    labels: object = None,
    seed: int = 0,
    plugins: Sequence[object] = (),
    label_column: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Inspection:
    """Reads a data set once, tolerating any number of unreadable rows, and says what is in it.

    Args:
        given: As for `open_source`.
        side: What messages call it.
        n: As for `open_source`.
        labels: As for `open_source`.
        seed: As for `open_source`.
        plugins: As for `open_source`.
        label_column: As for `open_source`.
        progress: Called after every chunk with the rows read and their number, None when unknown.

    Raises:
        UserError: As `open_source`, or the source as a whole cannot be read.
    """
    source = open_source(
        given, side=side, n=n, labels=labels, seed=seed, max_bad=1.0, plugins=plugins, label_column=label_column
    )
    found = _Findings()
    for chunk in source.chunks(CHUNK_ROWS):
        found.add(chunk)
        if progress is not None:
            progress(len(found.names), source.count)
    counted = Counter(found.labels) if source.labelled else None
    groups = found.groups()
    return Inspection(
        name=source.name,
        form=source.form,
        kind=source.kind,
        rows=getattr(source, "rows", None) if source.kind == "statistics" else len(found.names),
        tried=source.notes.rows + source.notes.bad_count,
        labels=None if counted is None else {label: counted[label] for label in sorted(counted, key=natural)},
        repeated=sum(len(group) - 1 for group in groups),
        groups=tuple(tuple(found.names[row] for row in group[:MOST_IN_GROUP]) for group in groups[:LISTED_GROUPS]),
        group_count=len(groups),
        width=found.width or (len(source.mean) if hasattr(source, "mean") else None),
        lowest=found.lowest,
        highest=found.highest,
        not_finite=found.not_finite,
        notes=source.notes,
        content_hash=source.content_hash(),
        source=source,
        shown=found.shown(),
    )


class _Findings:
    """What is gathered over the chunks; memory holds a name, a label and 16 bytes a row."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.labels: list[str] = []
        self.width: int | None = None
        self.lowest: float | None = None
        self.highest: float | None = None
        self.not_finite = 0
        self._digests = array("Q")

    def add(self, chunk: Chunk) -> None:
        """Takes in one chunk."""
        self.names += chunk.names
        self.labels += chunk.labels or ()
        for row in chunk.images if chunk.features is None else chunk.features:
            content = f"{row.shape}".encode() + row.tobytes()
            self._digests.frombytes(hashlib.blake2b(content, digest_size=16).digest())
        for image in chunk.images:
            self._widen(float(image.min()), float(image.max()))
        if chunk.features is not None:
            self._take_features(chunk.features)

    def groups(self) -> list[list[int]]:
        """Rows that equal each other, the largest groups first, then by their first row."""
        if not self._digests:
            return []
        halves = np.frombuffer(self._digests, dtype=np.uint64).reshape(-1, 2)
        order = np.lexsort((halves[:, 0], halves[:, 1]))
        changes = (halves[order][1:] != halves[order][:-1]).any(1)
        starts = np.flatnonzero(np.concatenate([[True], changes]))
        ends = np.append(starts[1:], len(order))
        stretches = [order[start:end] for start, end in zip(starts, ends, strict=True) if end - start > 1]
        several: list[list[int]] = [sorted(stretch.tolist()) for stretch in stretches]
        return sorted(several, key=lambda group: (-len(group), group[0]))

    def shown(self) -> tuple[tuple[int, ...], ...]:
        """Rows for a picture, chosen at random by a fixed seed: equally many of each label, at most `PER_LABEL`."""
        draw = np.random.default_rng(0)
        if not self.labels:
            return (_some(np.arange(len(self.names)), UNLABELLED_SHOWN, draw),) if self.names else ()
        values = np.array(self.labels, dtype=object)
        shown = sorted(set(self.labels), key=natural)[:LABELS_SHOWN]
        return tuple(_some(np.flatnonzero(values == label), PER_LABEL, draw) for label in shown)

    def _take_features(self, rows: NDArray[Any]) -> None:
        self.width = rows.shape[1]
        finite = np.isfinite(rows)
        self.not_finite += int((~finite.all(1)).sum())
        if finite.any():
            self._widen(float(rows[finite].min()), float(rows[finite].max()))

    def _widen(self, low: float, high: float) -> None:
        self.lowest = low if self.lowest is None else min(self.lowest, low)
        self.highest = high if self.highest is None else max(self.highest, high)


def natural(label: str) -> tuple[bool, float, str]:
    """Sorts labels as people do: numbers by their value, then texts."""
    try:
        return (False, float(label), label)
    except ValueError:
        return (True, 0.0, label)


def _some(rows: NDArray[np.int64], most: int, draw: np.random.Generator) -> tuple[int, ...]:
    chosen = draw.choice(rows, min(most, len(rows)), replace=False)
    return tuple(sorted(int(row) for row in chosen))


def _listing(counts: Any, most: int) -> list[str]:
    """Counts as lines, in their order for labels, else most first."""
    pairs = counts.most_common() if isinstance(counts, Counter) else list(counts.items())
    lines = [f"{count:,} x {name}" for name, count in pairs[:most]]
    return lines + ([f"... and {len(pairs) - most:,} more"] if len(pairs) > most else [])
