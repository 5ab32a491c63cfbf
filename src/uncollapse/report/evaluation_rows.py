"""Rows of vectors as lists, because nobody can look at them: by label, a few numbers each, the others folded away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uncollapse.report.evaluation_exhibits import Tile, Whole
from uncollapse.report.evaluation_record import SIDES
from uncollapse.report.evaluation_values import shortened

# Numbers of rows, and labels, that stand in a line; numbers of rows of each label; characters of a label.
MOST_NUMBERS, MOST_LABELS, OF_LABEL, LONGEST = 10, 10, 3, 60


@dataclass(frozen=True, kw_only=True)
class Line:
    """One list of rows.

    Attributes:
        lead: What is shown at once, or how that begins.
        parts: How it goes on: one part a label, none of which shall be torn apart.
        head: What stands above the folded part.
        folded: The folded part: everything that the file lists; empty where `text` has it all.
    """

    lead: str
    parts: tuple[str, ...] = ()
    head: str = ""
    folded: str = ""

    @property
    def text(self) -> str:
        """All that is shown at once."""
        return f"{self.lead} {'; '.join(self.parts)}" if self.parts else self.lead


def line(tiles: Sequence[Tile], whole: Whole | None) -> Line:
    """The rows of a group: "real rows 12, 90 and 238 more", or "real rows: label 7: 230 rows (12, 90, ...); ..."."""
    sides = {SIDES.get(tile.side, tile.side) for tile in tiles}
    count = len(tiles) if whole is None else max(whole.rows, len(tiles))
    side = f"{sides.pop()} " if len(sides) == 1 else ""
    head = f"{side}row{'s' * (count > 1)}"
    if any(tile.label for tile in tiles):
        lead, parts = f"{head}:", _labelled(tiles, whole)
        cut = len(tiles) > sum(min(OF_LABEL, len(group)) for group in _by_label(tiles).values())
        folded = "; ".join(f"{_label(label)}: {_numbers(group)}" for label, group in _by_label(tiles).items())
    else:
        lead, parts = f"{head} {_numbers(tiles[:MOST_NUMBERS])}{_more(count - len(tiles[:MOST_NUMBERS]))}", ()
        cut, folded = len(tiles) > MOST_NUMBERS, _numbers(tiles)
    if not cut:
        return Line(lead=lead, parts=parts)
    rest = f"; {count - len(tiles):,} more are not listed" if count > len(tiles) else ""
    return Line(lead=lead, parts=parts, head=f"The {len(tiles)} rows that are listed", folded=f"{folded}{rest}")


def pair(tiles: Sequence[Tile]) -> str:
    """A row and its neighbours: "generated row 3: real rows 8 (0.31), 9", with a label once where all have it."""
    first, near = tiles[0], tiles[1:]
    labels = {tile.label for tile in tiles}
    shared = labels.pop() if len(labels) == 1 else ""
    head = f"{SIDES.get(first.side, first.side)} row {_number(first)}"
    head += f" of {_label(first.label)}" if first.label and not shared else ""
    if not near:
        return head + (f", {_label(shared)}" if shared else "")
    sides = [SIDES.get(tile.side, tile.side) for tile in near]
    rows = f"{sides[0]} row{'s' * (len(near) > 1)}"
    if shared or not any(tile.label for tile in near):
        return f"{head}: {rows} {_numbers(near)}" + (f"; all of {_label(shared)}" if shared else "")
    parts = [f"{_numbers(group)} of {_label(label)}" for label, group in _by_label(near).items()]
    return f"{head}: {rows} {'; '.join(parts)}"


def _labelled(tiles: Sequence[Tile], whole: Whole | None) -> tuple[str, ...]:
    """Labels with their counts and a few numbers each, the most frequent first, and how many labels are left out."""
    found = _by_label(tiles)
    counts = {label: len(group) for label, group in found.items()}
    kinds = len(counts)
    if whole is not None:
        counts |= dict(whole.labels)
        kinds = max(kinds, whole.kinds)
    ranked = sorted(counts.items(), key=lambda item: -item[1])[:MOST_LABELS]
    parts = []
    for label, count in ranked:
        group = found.get(label, [])[:OF_LABEL]
        some = f" ({_numbers(group)}{', …' if count > len(group) else ''})" if group else ""
        parts.append(f"{_label(label)}: {count:,} row{'s' * (count > 1)}{some}")
    left_out = kinds - len(ranked)
    parts += [f"{left_out:,} further label{'s' * (left_out > 1)}"] if left_out else []
    return tuple(parts)


def _by_label(tiles: Sequence[Tile]) -> dict[str, list[Tile]]:
    found: dict[str, list[Tile]] = {}
    for tile in tiles:
        found.setdefault(tile.label, []).append(tile)
    return found


def _label(label: str) -> str:
    return f"label {shortened(label, LONGEST)}" if label else "no label"


def _numbers(tiles: Sequence[Tile]) -> str:
    return ", ".join(f"{_number(tile)} ({tile.note})" if tile.note else _number(tile) for tile in tiles)


def _number(tile: Tile) -> str:
    """The number of a row, which begins at 0 and has no separators: commas stand between numbers."""
    return str(tile.row) if tile.row is not None else shortened(tile.name, LONGEST)


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""
