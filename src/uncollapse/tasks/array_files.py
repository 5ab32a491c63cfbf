"""Reads the user's .npy, .npz and .csv files for `arrays`, and says in one sentence what is wrong with them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncollapse.data.limits import LONGEST_TEXT, reason, short, short_label
from uncollapse.data.npz_files import NpzFile, check_size
from uncollapse.data.numpy_files import open_npy
from uncollapse.errors import UserError

# The last is what `uncollapse sample` writes.
KEYS = ("features", "x", "images", "samples")
NPY_START, ZIP_START = b"\x93NUMPY", b"PK"
LABEL_HEADS = ("label", "labels")
# How the index that pandas writes is headed: not at all and, once it was read again, so.
UNTITLED = re.compile(r"(unnamed: 0(\.\d+)*)?")
# What stands between cells in other tables, and how messages call it.
SEPARATORS = {";": "';'", "\t": "tabs"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of numbers.

    Attributes:
        rows: float64 (n, d).
        labels: One text a row, long ones cut; None without a column of labels.
        heads: Titles of the d columns in small letters; None without a line of titles.
        left_out: Titles of columns that are headed as labels are and are not those that were asked for.
        numbering: Titles of the columns that were left out because they only number the rows.
    """

    rows: NDArray[np.float64]
    labels: list[str] | None
    heads: tuple[str, ...] | None
    left_out: tuple[str, ...]
    numbering: tuple[str, ...]


def read_numpy(file: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Rows and perhaps labels of a .npy or .npz file; pickled objects are never loaded.

    Raises:
        UserError: It cannot be read, holds none of `KEYS`, or there is too little memory for it.
    """
    try:
        if not _is_npz(file):
            rows = open_npy(file, str(file))
            check_size(rows.nbytes, str(file))
            return np.array(rows), None
        opened = NpzFile(file, str(file))
        key = next((key for key in KEYS if key in opened.names), None)
        if key is None:
            held = ", ".join(map(short, opened.names)) or "nothing"
            raise UserError(f"{file} holds {held}; name the rows one of {', '.join(KEYS)}.")
        return opened.read(key), opened.read("labels") if "labels" in opened.names else None
    except MemoryError as error:
        raise UserError(f"{file} needs more memory than there is; give fewer rows.") from error


def _is_npz(file: Path) -> bool:
    """Whether a file is to be read as .npz: by its beginning, or by its ending where it begins as neither form does."""
    try:
        with file.open("rb") as stream:
            beginning = stream.read(len(NPY_START))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {reason(error)}.") from error
    return beginning.startswith(ZIP_START) or (beginning != NPY_START and file.suffix.lower() == ".npz")


def read_csv(file: Path) -> Table:
    """A .csv file as `read_table` finds it, with a sentence where there is too little memory for it."""
    try:
        return read_table(file)
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
    _check_lines(table, body, file)
    at, left_out = label_columns(header, label_column, str(file))
    numbering = numbering_columns(header, lambda place: _numbers([row[place] for row in body]), at, str(file))
    taken = [i for i in range(len(body[0])) if i not in (at, *left_out, *numbering)]
    for number, row in enumerate(body, start=2 if header else 1):
        for column in taken:
            if not _is_number(row[column]):
                _check_separator(row[column], file)
                held = repr(row[column]) if row[column].strip() else "an empty cell"
                raise UserError(
                    f"{file} has {held} in line {number}, column {column + 1}, where a number is wanted; "
                    f"only a column headed {LABEL_HEADS[0] if at is None else header[at]!r} may hold text."
                )
    return Table(
        rows=np.array([[float(row[i]) for i in taken] for row in body]),
        labels=None if at is None else [_cut(row[at]) for row in body],
        heads=tuple(header[i] for i in taken) if header else None,
        left_out=tuple(header[i] for i in left_out),
        numbering=tuple(header[i] for i in numbering),
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


def numbering_columns(
    heads: Sequence[str], values: Callable[[int], ArrayLike | None], labels: int | None, place: str
) -> list[int]:
    """The columns at the beginning of a table that are no features because they only number its rows.

    pandas writes its index as such a column. As a feature it is the same on all sides, and hides what is lost.

    Args:
        heads: Titles in small letters.
        values: The numbers of a column; None where it holds something else.
        labels: The column that holds the labels.
        place: How messages call the table.

    Raises:
        UserError: Such a column without a title holds anything but the rows' numbers from 0 or from 1.
    """
    found: list[int] = []
    for column, title in enumerate(heads):
        if column == labels or not UNTITLED.fullmatch(title):
            break
        given = values(column)
        counted = np.arange(0 if given is None else len(np.asarray(given)))
        if given is None or not any(np.array_equal(given, counted + first) for first in (0, 1)):
            raise UserError(
                f"{place} has a first column headed {title!r}, as pandas heads an index, which does not number the "
                "rows 0, 1, 2, ...; give it a title if it is a feature, or save the table without it (index=False)."
            )
        found.append(column)
    return found


def _check_lines(table: Sequence[Sequence[str]], body: Sequence[Sequence[str]], file: Path) -> None:
    """Refuses a table without rows, and lines of different length."""
    if not table:
        raise UserError(f"{file} is empty; give lines of numbers with commas between them.")
    wide = {len(row) for row in table}
    if not body or len(wide) != 1:
        _check_separator("".join(table[0]), file)
    if not body:
        raise UserError(f"{file} holds titles and no rows; give at least one line of numbers below them.")
    if len(wide) != 1:
        raise UserError(f"{file} must hold lines with equally many cells, not {sorted(wide)}.")


def _check_separator(cell: str, file: Path) -> None:
    """Refuses a table whose cells are separated by something else than commas, as a cell that is none shows."""
    for separator, name in SEPARATORS.items():
        if separator in cell:
            raise UserError(
                f"{file} has {name} between its cells; save it with commas between them, and with decimal points."
            )


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
    return label if len(label) <= LONGEST_TEXT else short_label(label)


def _numbers(cells: Sequence[str]) -> list[float] | None:
    """Cells as numbers; None where one is none."""
    return [float(cell) for cell in cells] if all(map(_is_number, cells)) else None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
