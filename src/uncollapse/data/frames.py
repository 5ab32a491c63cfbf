"""DataFrames of pandas and polars and tables of pyarrow: rows of numbers with titles, and perhaps labels.

None of these packages is needed or imported: a frame is what has two axes, titles and columns that NumPy can read.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.labels import is_nothing, label_texts
from uncollapse.data.limits import reason, short
from uncollapse.data.numpy_files import Labelled
from uncollapse.data.tables import policies_of
from uncollapse.errors import UserError


@dataclass(frozen=True)
class Frame:
    """A table in memory.

    Attributes:
        given: What the user gave.
        titles: Of its columns, of any type.
    """

    given: Any
    titles: tuple[object, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """The titles as those of files: texts in small letters; of titles of several levels all levels."""
        levels = (title if isinstance(title, tuple) else (title,) for title in self.titles)
        return tuple(" ".join(filter(None, map(str, title))).strip().lower() for title in levels)

    def column(self, place: int) -> Any:
        """One column, by its place, as titles can be there twice."""
        if hasattr(self.given, "iloc"):  # pandas
            return self.given.iloc[:, place]
        if hasattr(self.given, "to_series"):  # polars
            return self.given.to_series(place)
        if hasattr(self.given, "column_names"):  # pyarrow
            return self.given.column(place)
        return np.asarray(self.given)[:, place]


def as_frame(given: object) -> Frame | None:
    """A table in memory with titles; None where something is none."""
    shape = getattr(given, "shape", None)
    titles = getattr(given, "column_names", getattr(given, "columns", None))
    if not isinstance(shape, tuple) or len(shape) != 2 or not hasattr(given, "__array__"):
        return None
    if titles is None or callable(titles) or not hasattr(titles, "__iter__"):
        return None
    listed = tuple(titles)
    return Frame(given, listed) if len(listed) == shape[1] else None


def open_frame(frame: Frame, place: str, label_column: str | None = None, *, labels: bool = True) -> Labelled:
    """The numbers of a table in memory as rows (n, d), their heads, and its labels, as of a CSV file.

    Args:
        frame: The table.
        place: How messages call it.
        label_column: Head of the column that holds labels; None = "label" or "labels".
        labels: Whether its own labels are wanted.

    Raises:
        UserError: It has no such column, another column holds anything but numbers, there is no other, or its labels
            are no labels.
    """
    from uncollapse.tasks.array_files import label_columns, numbering_columns  # whose package needs torch

    heads = frame.heads
    at, left_out = label_columns(heads, label_column, place)
    numbering = numbering_columns(heads, lambda i: _numbers(_array(frame, i, place), frame.titles[i], place), at, place)
    taken = [i for i in range(len(heads)) if i not in (at, *left_out, *numbering)]
    if not taken:
        raise UserError(f"{place} holds no numbers beside its labels.")
    arrays = [_array(frame, i, place) for i in taken]
    columns = [_numbers(array, frame.titles[i], place) for array, i in zip(arrays, taken, strict=True)]
    as_they_are = len(taken) == len(heads) and all(map(operator.is_, arrays, columns))
    rows = _whole(frame, {column.dtype for column in columns}) if as_they_are else None
    # Whole numbers as titles are places.
    places = all(isinstance(frame.titles[i], int | np.integer) for i in taken)
    return Labelled(
        rows=_joined(columns) if rows is None else rows,
        labels=None if at is None or not labels else label_texts(_labels(frame, at, place), len(columns[0]), place),
        heads=None if places else tuple(heads[i] for i in taken),
        policies=policies_of([heads[i] for i in left_out], [heads[i] for i in numbering]),
    )


def without_frame(given: object, labels: object, place: str) -> tuple[object, object]:
    """Data and labels with a table in memory replaced by its numbers and, unless labels are given, its labels.

    Raises:
        UserError: As `open_frame`.
    """
    frame = as_frame(given)
    if frame is None:
        return given, labels
    found = open_frame(frame, place, labels=labels is None)
    return found.rows, found.labels if labels is None else labels


def _whole(frame: Frame, types: set[np.dtype[Any]]) -> NDArray[Any] | None:
    """The frame as one array, without a copy where it is one; None where its columns are of different types."""
    rows = np.asarray(frame.given) if len(types) == 1 else None
    return rows if rows is not None and {rows.dtype} == types else None


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Columns as rows, of the smallest type that holds them all."""
    rows = np.empty((len(columns[0]), len(columns)), dtype=np.result_type(*columns))
    for place, column in enumerate(columns):
        rows[:, place] = column
    return rows


def _numbers(values: NDArray[Any], title: object, where: str) -> NDArray[Any]:
    """One column of numbers, as it is where it is an array of them; what is missing is NaN."""
    if values.ndim == 1 and values.dtype.kind in "biuf":
        return values
    wrong = f"type {values.dtype}" if values.ndim == 1 else "several numbers a row"
    if values.ndim == 1 and values.dtype.kind in "OUS":
        listed = values.tolist()
        bad = [value for value in listed if not _is_number(value) and not is_nothing(value)]
        if bad:
            wrong = short(repr(bad[0]))
        else:
            try:
                return np.array([np.nan if is_nothing(value) else float(value) for value in listed])
            except (OverflowError, ValueError):
                wrong = "a number beyond computing"
    raise UserError(
        f"{where} has {wrong} in column {short(title)!r}, where numbers are wanted; turn the column into "
        "numbers or leave it out (labels go into a column headed 'label')."
    )


def _labels(frame: Frame, place: int, where: str) -> object:
    """One column of labels; of polars and pyarrow as a list, since NumPy rounds whole numbers beside missing ones."""
    column = frame.column(place)
    if not hasattr(frame.given, "iloc"):
        for name in ("to_list", "to_pylist"):
            if hasattr(column, name):
                return getattr(column, name)()
    return _array(frame, place, where)


def _array(frame: Frame, place: int, where: str) -> NDArray[Any]:
    try:
        return np.asarray(frame.column(place))
    except Exception as error:  # whatever the package of the frame raises
        raise UserError(
            f"{where} has a column {short(frame.titles[place])!r} that NumPy cannot read ({reason(error)}); give the "
            "numbers as a NumPy array."
        ) from error


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real | Decimal | np.bool_)
