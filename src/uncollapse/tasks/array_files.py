"""Reads the user's .npy, .npz and .csv files for `arrays`, and says in one sentence what is wrong with them."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.errors import UserError

KEYS = ("features", "x", "images")


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


def read_csv(file: Path, label_column: str | None = None) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Rows and perhaps labels of a .csv file; a first line with any text in it is the header.

    Args:
        file: The file.
        label_column: Head of the column that holds labels; None = "label" or "labels".
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = [row for row in csv.reader(lines) if row]
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not text in UTF-8; save it again as CSV in UTF-8.") from error
    except csv.Error as error:
        raise UserError(f"{file} cannot be read as a table ({error}); save it again as plain CSV.") from error
    header = [cell.strip().lower() for cell in table[0]] if table and not all(map(_is_number, table[0])) else []
    body = table[1:] if header else table
    wide = {len(row) for row in table}
    if not body or len(wide) != 1:
        raise UserError(f"{file} must hold lines with equally many cells, not {sorted(wide) or 'none'}.")
    names = ("label", "labels") if label_column is None else (label_column.strip().lower(),)
    at = next((i for i, title in enumerate(header) if title in names), None)
    if label_column is not None and at is None:
        raise UserError(
            f"{file} has no column headed {label_column!r}; its heads are {', '.join(header) or 'missing'}."
        )
    for number, row in enumerate(body, start=2 if header else 1):
        for column, cell in enumerate(row):
            if column != at and not _is_number(cell):
                raise UserError(
                    f"{file} has {cell!r} in line {number}, column {column + 1}, where a number is wanted; "
                    f"only a column headed {names[0]!r} may hold text."
                )
    x = np.array([[float(cell) for i, cell in enumerate(row) if i != at] for row in body])
    return x, None if at is None else np.array([row[at] for row in body])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
