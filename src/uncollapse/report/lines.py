"""Which lines of `history.jsonl` have the form that the pictures rely on; the others are left out, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

Line = Mapping[str, Any]
MEASURES = ("measures", "measures_live")
SHARES = ("shares", "shares_live")
# Beyond it a float does not hold every whole number exactly.
LARGEST = 2**53


def sound_lines(lines: Iterable[Line], lanes: int) -> tuple[tuple[Line, ...], int]:
    """The lines in their order without those of another form, and the number of the latter.

    Args:
        lines: What was read: objects of JSON.
        lanes: Number of seeds of the run; numbers of every seed come in lists of this length.
    """
    every = tuple(lines)
    sound = [line for line in every if _is_sound(line, lanes)]
    # The pictures stack the shares of all lines: as many modes as most lines have.
    modes = Counter(width for line in sound for width in _widths(line)).most_common(1)
    kept = tuple(line for line in sound if _widths(line) <= {width for width, _ in modes})
    return kept, len(every) - len(kept)


def _is_sound(line: Line, lanes: int) -> bool:
    update = line.get("update", 0)
    if not isinstance(update, int) or isinstance(update, bool) or not 0 <= update <= LARGEST:
        return False
    if "update" not in line and (line.get("losses") or line.get("snapshot")):
        return False
    losses, *measures = (line.get(name) or {} for name in ("losses", *MEASURES))
    if not all(isinstance(table, Mapping) for table in (losses, *measures)):
        return False
    # A measure that no seed has is null.
    rows = [*losses.values(), *(row for table in measures for row in table.values() if row is not None)]
    if not all(_row(row, lanes) for row in rows):
        return False
    shares = [line.get(name) or [] for name in SHARES]
    return all(
        isinstance(table, list)
        and (not table or len(table) == lanes)
        # A seed that diverged has none.
        and all(row is None or (isinstance(row, list) and _row(row, len(row))) for row in table)
        for table in shares
    )


def _widths(line: Line) -> set[int]:
    """How many modes the shares of a line are of."""
    tables = [line.get(name) for name in SHARES]
    return {len(row) for table in tables if isinstance(table, list) for row in table if isinstance(row, list) and row}


def _row(row: object, length: int) -> bool:
    """Whether it is a list of so many numbers or nulls."""
    return isinstance(row, list) and len(row) == length and all(x is None or _is_number(x) for x in row)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST)
