"""Tables of numbers as CSV; a column headed `label`, or one that was named, holds the labels."""

from __future__ import annotations

from pathlib import Path

from uncollapse.data.labels import label_texts
from uncollapse.data.limits import MOST_CSV_BYTES, reason, short
from uncollapse.data.numpy_files import Labelled
from uncollapse.errors import UserError
from uncollapse.text import size as size_text


def open_csv(file: Path, place: str, label_column: str | None = None) -> Labelled:
    """The numbers of a CSV file as rows (n, d) float64, and its labels.

    Args:
        file: Lines of equally many numbers, perhaps under a line of titles.
        place: How messages call it.
        label_column: Head of the column that holds labels; None = "label" or "labels".

    Raises:
        UserError: Not such a table, or too long for a table in memory.
    """
    from uncollapse.tasks.array_files import read_csv  # whose package needs torch

    try:
        length = file.stat().st_size
        if length > MOST_CSV_BYTES:
            raise UserError(f"{place} has {size_text(length)}, more than {size_text(MOST_CSV_BYTES)}; save it as .npy.")
        rows, labels = read_csv(file, label_column)
    except UserError as error:
        raise UserError(short(error)) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{place} cannot be read: {reason(error)}.") from error
    if rows.size == 0:
        raise UserError(f"{place} holds no numbers beside its labels.")
    return Labelled(rows=rows, labels=None if labels is None else label_texts(labels, len(rows), place))
