"""Tables of numbers as CSV; a column headed `label`, or one that was named, holds the labels.

The heads of the other columns are kept, so that two tables are compared by the names of their columns and not by the
places where these happen to stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from uncollapse.data.arrays import ArrayRows
from uncollapse.data.labels import label_texts
from uncollapse.data.limits import MOST_CSV_BYTES, reason, short, where
from uncollapse.data.numpy_files import Labelled
from uncollapse.data.source import Source
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

LEFT_OUT = "column {!r} left out, because it is headed as labels are and another holds them"
NUMBERING = "column {!r} left out, because it has no title of its own and only numbers the rows"
BY_PLACE = (
    "name them alike, or give one side without titles (a file without its line of heads, a DataFrame as an array) to "
    "compare columns by their place"
)


def open_csv(file: Path, place: str, label_column: str | None = None) -> Labelled:
    """The numbers of a CSV file as rows (n, d) float64, their heads, and its labels.

    Args:
        file: Lines of equally many numbers, perhaps under a line of titles.
        place: How messages call it.
        label_column: Head of the column that holds labels; None = "label" or "labels".

    Raises:
        UserError: Not such a table, or too long for a table in memory.
    """
    from uncollapse.tasks.array_files import read_table  # whose package needs torch

    try:
        length = file.stat().st_size
        if length > MOST_CSV_BYTES:
            raise UserError(f"{place} has {size_text(length)}, more than {size_text(MOST_CSV_BYTES)}; save it as .npy.")
        table = read_table(file, label_column)
    except UserError as error:
        raise UserError(short(error)) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{place} cannot be read: {reason(error)}.") from error
    if table.rows.size == 0:
        raise UserError(f"{place} holds no numbers beside its labels.")
    return Labelled(
        rows=table.rows,
        labels=None if table.labels is None else label_texts(table.labels, len(table.rows), place),
        heads=table.heads,
        policies=policies_of(table.left_out, table.numbering),
    )


def policies_of(left_out: Sequence[str], numbering: Sequence[str]) -> Counter[str]:
    """What is said of the columns that are no features.

    Args:
        left_out: Titles of those that are headed as labels are.
        numbering: Titles of those that only number the rows.
    """
    kinds = ((LEFT_OUT, left_out), (NUMBERING, numbering))
    return Counter(words.format(short(head)) for words, heads in kinds for head in heads)


def match_columns(source: Source, real: Source, role: str) -> Source:
    """A source with its columns in the order of the real side's, where both are tables with heads; else as it is.

    Args:
        source: Another side.
        real: The real side.
        role: How messages call the other side.

    Raises:
        UserError: A column is on one side only, or heads that are there twice leave the order open.
    """
    if source.heads is None or real.heads is None or source.heads == real.heads:
        return source
    here, there = Counter(source.heads), Counter(real.heads)
    if here != there:
        apart = " and ".join(
            f"{short(', '.join(map(repr, heads)))} only in {side}"
            for side, heads in ((where(role, source.name), here - there), (where("real", real.name), there - here))
            if heads
        )
        raise UserError(f"The tables do not have the same columns ({apart}); {BY_PLACE}.")
    twice = next((head for head, count in here.items() if count > 1), None)
    if twice is not None:
        raise UserError(
            f"{where(role, source.name)} and {where('real', real.name)} have several columns headed {short(twice)!r} "
            f"and another order of columns; {BY_PLACE}."
        )
    if not isinstance(source, ArrayRows):
        raise UserError(
            f"{where(role, source.name)} draws its columns in another order than that of the real side "
            f"({short(', '.join(map(repr, real.heads)))}); draw them in that order."
        )
    return source.arranged([source.heads.index(head) for head in real.heads])
