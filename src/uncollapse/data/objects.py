"""Data sets, sequences, iterators and generators of a program as a source.

What can be asked for by number (a torch `Dataset`, a list, a Hugging Face data set) is asked again when it is needed
again. What can be gone through only once is kept, as pixels, in a temporary file.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.images import DARK, Unreadable, check_decoder
from uncollapse.data.items import Converter, Row, Unpacker
from uncollapse.data.labels import UNLABELLED, label_text
from uncollapse.data.limits import CHUNK_BYTES, check_bad, short
from uncollapse.data.scaling import DECIDING, DIM, Brightness
from uncollapse.data.source import Chunk, Kind, Notes, Pixels, Source
from uncollapse.data.spool import Spool
from uncollapse.errors import UserError
from uncollapse.source_code import place as user_line

AHEAD = 32  # rows that are converted at a time
MOST_WAITING = 10_000  # unreadable rows that are held until a readable one says what all are
# What a damaged image makes a data set raise; anything else is a mistake in the data set itself.
BAD_ROW = (OSError, SyntaxError, ValueError)


class Indexed(Protocol):
    """Anything with a length that gives an item for a number."""

    def __len__(self) -> int:
        """Items."""

    def __getitem__(self, row: int, /) -> Any:
        """One item."""


class ObjectRows(Source):
    """Rows that a program gives one by one or in batches."""

    kind: Kind

    def __init__(
        self,
        rows: Iterator[Row],
        *,
        name: str,
        form: str,
        place: str,
        count: int | None,
        max_bad: float,
        labels: Sequence[str] | None = None,
        again: Callable[[int], Row] | None = None,
    ) -> None:
        """Takes rows up to the first readable one, to learn what they are.

        Args:
            rows: All rows, once.
            name: A description.
            form: What it is, in words.
            place: How messages call it.
            count: How many rows there are, readable or not; None when unknown.
            max_bad: Largest share of rows that may be unreadable.
            labels: One a row, instead of their own.
            again: Gives a row by its number among all; None keeps every readable row in a temporary file.

        Raises:
            UserError: There is no row, or the first readable one is nothing that is known.
        """
        self.name, self.form, self.place = name, form, place
        self._labels, self._again, self._max_bad, self._count = labels, again, max_bad, count
        self.notes = Notes()
        waiting = _until_readable(rows)
        if not waiting:
            raise UserError(f"{place} gives no rows.")
        self._converter, self._brightness = Converter(place=place), Brightness(place=place)
        self.kind = "features" if self._converter.is_features(waiting[-1]) else "images"
        self.labelled = labels is not None or waiting[-1].label is not None
        self._rows = itertools.chain(waiting, rows)
        self._tried = 0
        self._width: int | None = None  # of feature rows
        self._kept: Spool | None = Spool(place) if again is None else None
        self._texts: list[str] = []  # label of each readable row
        self._known: dict[str, str] = {}  # a million rows share a few labels
        self._numbers = array("q")  # number among all rows of each readable row

    @property
    def count(self) -> int | None:
        """Rows that reading will try."""
        return self._count

    def chunks(self, size: int) -> Iterator[Chunk]:
        """All readable rows; those that were passed before come from where they are kept."""
        check_decoder()
        held: list[NDArray[Any]] = []
        start, weight = 0, 0
        for value in self._values():
            held.append(value)
            weight += value.nbytes
            if len(held) >= size or weight >= CHUNK_BYTES:
                yield self._chunk(start, held)
                start, held, weight = start + len(held), [], 0
        if held:
            yield self._chunk(start, held)
        self._check_end()

    def fetch(self, rows: Sequence[int]) -> list[Pixels]:
        """Some images again."""
        return [self._get(row) for row in rows]

    def _values(self) -> Iterator[NDArray[Any]]:
        """Pixels or features of every readable row: first those that were passed before, then the others."""
        passed = 0
        while True:
            while passed < len(self._numbers):
                yield self._get(passed)
                passed += 1
            fresh = self._take(AHEAD)
            if not fresh:
                return
            for value in fresh:
                yield value
                passed += 1

    def _take(self, most: int) -> list[NDArray[Any]]:
        """Converts more rows until so many are readable, or as many bytes as a chunk has."""
        if self._converter.scaling is None:
            self._decide()
        values: list[NDArray[Any]] = []
        weight = 0
        for row in self._rows:
            value = self._convert(row)
            if value is None:
                continue
            values.append(value)
            weight += value.nbytes
            if len(values) >= most or weight >= CHUNK_BYTES:
                break
        return values

    def _decide(self) -> None:
        """Lets the first rows decide what floats mean; they come again afterwards."""
        first: list[Row] = []
        weight = 0
        while len(first) < DECIDING and weight < CHUNK_BYTES and (row := next(self._rows, None)) is not None:
            first.append(row)
            weight += row.value.nbytes if isinstance(row.value, np.ndarray) else 0
        self._converter.decide(first)
        self._rows = itertools.chain(first, self._rows)

    def _convert(self, row: Row) -> NDArray[Any] | None:
        """One row, counted and kept; None if it cannot be read."""
        number, self._tried = self._tried, self._tried + 1
        try:
            if self.kind == "features":
                value = self._converter.features(row, self._width)
                self._width = len(value)
                self.notes.rows += 1
            else:
                value, policies = self._converter.pixels(row, number)
                self.notes.accept((value,))
                self.notes.policies.update(policies)
                if not isinstance(row.value, np.ndarray) and DARK not in policies:  # arrays were looked at by type
                    self._brightness.look(value)
        except Unreadable as finding:
            self.notes.refuse(f"row {number}", str(finding))
            check_bad(self.notes, self._tried, self._count, self._max_bad, self.place, finished=False)
            return None
        self._numbers.append(number)
        if self.labelled:
            text = self._label_of(row, number)
            self._texts.append(self._known.setdefault(text, text))
        if self._kept is not None:
            self._kept.append(value)
        return value

    def _label_of(self, row: Row, number: int) -> str:
        if self._labels is None:
            return UNLABELLED if row.label is None else row.label
        if number >= len(self._labels):
            raise UserError(f"{self.place} has more rows than the {len(self._labels):,} labels; give one label a row.")
        return self._labels[number]

    def _get(self, row: int) -> NDArray[Any]:
        if self._kept is not None:
            return self._kept[row]
        assert self._again is not None
        number = self._numbers[row]
        try:
            again = self._again(number)
            if self.kind == "features":
                return self._converter.features(again, self._width)
            return self._converter.pixels(again, number)[0]
        except Unreadable as finding:
            raise UserError(f"{self.place} {finding} in row {number}, which it did not before.") from finding

    def _chunk(self, start: int, values: list[NDArray[Any]]) -> Chunk:
        numbers = self._numbers[start : start + len(values)]
        return Chunk(
            first=start,
            images=values if self.kind == "images" else (),
            features=np.stack(values) if self.kind == "features" else None,
            labels=tuple(self._texts[start : start + len(values)]) if self.labelled else None,
            names=tuple(f"row {number}" for number in numbers),
        )

    def _check_end(self) -> None:
        if self._brightness.end():
            self.notes.policies[DIM] += self.notes.rows
        check_bad(self.notes, self._tried, self._count, self._max_bad, self.place, finished=True)
        if self._labels is not None and self._tried != len(self._labels):
            raise UserError(
                f"{self.place} has {self._tried:,} rows and {len(self._labels):,} labels; give one label a row."
            )
        if self._count is not None and self._tried != self._count:
            raise UserError(f"{self.place} ended after {self._tried:,} of {self._count:,} rows.")


def _until_readable(rows: Iterator[Row]) -> list[Row]:
    """The rows up to the first readable one."""
    waiting: list[Row] = []
    for row in itertools.islice(rows, MOST_WAITING):
        waiting.append(row)
        if not isinstance(row.value, Unreadable):
            break
    return waiting


def indexed_rows(
    given: Indexed,
    *,
    name: str,
    form: str,
    place: str,
    max_bad: float,
    picks: NDArray[np.int64] | None,
    labels: Sequence[str] | None,
) -> ObjectRows:
    """A source of a torch `Dataset`, a sequence, or a Hugging Face data set.

    Args:
        given: The object; each item is one row.
        name: A description.
        form: What it is, in words.
        place: How messages call it.
        max_bad: Largest share of rows that may be unreadable.
        picks: Which items, ascending; None for all.
        labels: One an item, instead of their own.

    Raises:
        UserError: It is empty, or its first item is nothing that is known.
    """
    unpacker = Unpacker(place=place, name_label=label_names(given))
    chosen = np.arange(len(given)) if picks is None else picks

    def item(number: int) -> Row:
        row = int(chosen[number])
        try:
            found = given[row]
        except BAD_ROW as error:
            return Row(value=Unreadable(f"cannot be got ({short(error)})"), label=None)
        except Exception as error:
            raise failed(place, f"asking for row {row}", error) from error
        rows = unpacker.rows(found)
        if len(rows) != 1:
            raise UserError(f"{place} gives {len(rows)} rows for one number; give an iterator of batches instead.")
        return rows[0]

    return ObjectRows(
        (item(number) for number in range(len(chosen))),
        name=name,
        form=form,
        place=place,
        count=len(chosen),
        max_bad=max_bad,
        labels=None if labels is None else [labels[row] for row in chosen.tolist()],
        again=item,
    )


def streamed_rows(
    given: Iterator[Any],
    *,
    name: str,
    form: str,
    place: str,
    max_bad: float,
    n: int | None,
    most: int | None,
    labels: Sequence[str] | None,
    largest: float = 0,
) -> ObjectRows:
    """A source of an iterator of images, (image, label) pairs, or batches of these.

    Args:
        given: The iterator.
        name: A description.
        form: What it is, in words.
        place: How messages call it.
        max_bad: Largest share of rows that may be unreadable.
        n: How many rows there must be; None for any number.
        most: How many rows to take from the beginning at most; None for all.
        labels: One a row, instead of their own.
        largest: Rows of the largest batch, where every array is known to be a batch.

    Raises:
        UserError: It gives nothing, or nothing that is known.
    """
    unpacker = Unpacker(place=place, largest=largest)

    def rows() -> Iterator[Row]:
        while True:
            try:
                item = next(given)
            except StopIteration:
                return
            except Exception as error:
                raise failed(place, "asking for the next item", error) from error
            yield from unpacker.rows(item)

    return ObjectRows(
        itertools.islice(rows(), most), name=name, form=form, place=place, count=n, max_bad=max_bad, labels=labels
    )


def label_names(given: object) -> Callable[[object], str]:
    """How labels become text: by the names that a Hugging Face data set keeps for them, else as they are."""
    features = getattr(given, "features", None)
    try:
        kept = next((features[key] for key in ("label", "labels", "fine_label") if key in features), None)  # type: ignore[operator, index]
    except TypeError:
        return label_text
    names = getattr(kept, "names", None)
    if not isinstance(names, list | tuple):
        return label_text

    def text(label: object) -> str:
        known = isinstance(label, int | np.integer) and 0 <= int(label) < len(names)
        return label_text(names[int(label)] if known else label)  # type: ignore[call-overload]

    return text


def failed(place: str, doing: str, error: BaseException) -> UserError:
    """The sentence for an error in code that the user gave."""
    where = user_line(error)
    return UserError(
        f"{place} failed at {doing} ({type(error).__name__}: {short(error)}{f'; {where}' if where else ''})."
    )
