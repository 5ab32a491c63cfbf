"""Which lines of `history.jsonl` have the form that the pictures rely on; the others are left out, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

Line = Mapping[str, Any]
MEASURES = ("measures", "measures_live")
SHARES = ("shares", "shares_live")


def sound_lines(lines: Iterable[Line], lanes: int) -> tuple[tuple[Line, ...], int]:
    """The lines in their order without those of another form, and the number of the latter.

    Args:
        lines: What was read: objects of JSON.
        lanes: Number of seeds of the run; numbers of every seed come in lists of this length.
    """
    every = tuple(lines)
    kept = tuple(line for line in every if _is_sound(line, lanes))
    return kept, len(every) - len(kept)


def _is_sound(line: Line, lanes: int) -> bool:
    update = line.get("update", 0)
    if not isinstance(update, int) or isinstance(update, bool) or update < 0:
        return False
    if "update" not in line and (line.get("losses") or line.get("snapshot")):
        return False
    tables = [line.get(name) or {} for name in ("losses", *MEASURES)]
    if not all(isinstance(table, Mapping) and all(_row(row, lanes) for row in table.values()) for table in tables):
        return False
    if None in tables[0].values():
        return False
    shares = [line.get(name) or [] for name in SHARES]
    # One width for all seeds; a seed that diverged has none.
    return all(
        isinstance(table, list)
        and (not table or len(table) == lanes)
        and all(row is None or _row(row, len(row) if isinstance(row, list) else 0) for row in table)
        and len({len(row) for row in table if row}) <= 1
        for table in shares
    )


def _row(row: object, length: int) -> bool:
    """Whether it is a list of so many numbers or nulls, or null where there is none at all."""
    if row is None:
        return True
    return isinstance(row, list) and len(row) == length and all(x is None or _is_number(x) for x in row)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
