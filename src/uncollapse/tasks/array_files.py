"""Reads the user's .npy, .npz and .csv files for `arrays`, and says in one sentence what is wrong with them."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.limits import LONGEST_TEXT, short
from uncollapse.errors import UserError

KEYS = ("features", "x", "images")
LABEL_HEADS = ("label", "labels")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of numbers.

    Attributes:
        rows: float64 (n, d).
        labels: One text a row, long ones cut; None without a column of labels.
        heads: Titles of the d columns in small letters; None without a line of titles.
        left_out: Titles of columns that are headed as labels are and are not those that were asked for.
    """

    rows: NDArray[np.float64]
    labels: list[str] | None
    heads: tuple[str, ...] | None
    left_out: tuple[str, ...]


def read_numpy(file: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Rows and perhaps labels of a .npy or .npz file; pickled objects are never loaded."""
    try:
        with file.open("rb") as opened:
            content = np.load(opened, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content, None
            key = next((key for key in KEYS if key in content), None)
            if key is None:
                raise UserError(
                    f"{file} holds {', '.join(content) or 'nothing'}; name the rows one of {', '.join(KEYS)}."
                )
            return content[key], content.get("labels")
    except UserError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file} cannot be read as NumPy arrays without pickled objects; save it again.") from error
    except MemoryError as error:
        raise UserError(f"{file} needs more memory than there is; give fewer rows.") from error


def read_csv(file: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Rows and perhaps labels of a .csv file, as `read_table` finds them."""
    try:
        table = read_table(file)
        return table.rows, None if table.labels is None else np.array(table.labels)
    except MemoryError as error:
        raise UserError(f"{file} needs more memory than there is; save its rows as .npy, or give fewer.") from error


def read_table(file: Path, label_column: str | None = None) -> Table:
    """A .csv file; a first line with any text in it is the header.

    Args:
        file: The file.
        label_column: Head of the column that holds labels; None = "label" or "labels".

    Raises:
        UserError: It is no table of numbers, or has no such column.
        OSError: It cannot be opened.
    """
    table = _lines(file)
    header = [cell.strip().lower() for cell in table[0]] if table and not all(map(_is_number, table[0])) else []
    body = table[1:] if header else table
    wide = {len(row) for row in table}
    if not body or len(wide) != 1:
        raise UserError(f"{file} must hold lines with equally many cells, not {sorted(wide) or 'none'}.")
    at, left_out = label_columns(header, label_column, str(file))
    taken = [i for i in range(len(body[0])) if i != at and i not in left_out]
    for number, row in enumerate(body, start=2 if header else 1):
        for column in taken:
            if not _is_number(row[column]):
                raise UserError(
                    f"{file} has {row[column]!r} in line {number}, column {column + 1}, where a number is wanted; "
                    f"only a column headed {LABEL_HEADS[0] if at is None else header[at]!r} may hold text."
                )
    return Table(
        rows=np.array([[float(row[i]) for i in taken] for row in body]),
        labels=None if at is None else [_cut(row[at]) for row in body],
        heads=tuple(header[i] for i in taken) if header else None,
        left_out=tuple(header[i] for i in left_out),
    )


def label_columns(heads: Sequence[str], label_column: str | None, place: str) -> tuple[int | None, list[int]]:
    """Which column of a table holds the labels, and which others are no features because they are headed as labels are.

    Args:
        heads: Titles in small letters.
        label_column: Head of the column that holds labels; None = "label" or "labels".
        place: How messages call the table.

    Raises:
        UserError: There is no such column.
    """
    names = LABEL_HEADS if label_column is None else (label_column.strip().lower(),)
    at = next((i for i, title in enumerate(heads) if title in names), None)
    if label_column is not None and at is None:
        raise UserError(
            f"{place} has no column headed {label_column!r}; its heads are {short(', '.join(heads)) or 'missing'}."
        )
    return at, [i for i, title in enumerate(heads) if i != at and title in (*names, *LABEL_HEADS)]


def _lines(file: Path) -> list[list[str]]:
    """The cells of every line that is not empty."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return [row for row in csv.reader(lines) if row]
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not text in UTF-8; save it again as CSV in UTF-8.") from error
    except csv.Error as error:
        raise UserError(f"{file} cannot be read as a table ({error}); save it again as plain CSV.") from error


def _cut(label: str) -> str:
    """A label, short enough that one long one does not give all others its room in an array."""
    return label if len(label) <= LONGEST_TEXT else short(label)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
