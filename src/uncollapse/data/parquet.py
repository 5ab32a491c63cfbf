"""Images in a parquet file as Hugging Face lays them out: a column of {bytes, path} or of bytes, and perhaps a label.

Needs the extra `[parquet]`. Extension types are refused before anything is read, because older readers ran code for
them; a path in a row is never opened. Equal values are stored once, so that a batch of rows may be any number of times
larger than the file: images and texts are read one at a time.
"""

from __future__ import annotations

import bisect
import itertools
import json
import re
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncollapse.data.encoded import Container
from uncollapse.data.images import Unreadable, too_long
from uncollapse.data.labels import LabelList, label_text
from uncollapse.data.limits import (
    GIGA,
    MEGA,
    MOST_IMAGE_BYTES,
    MOST_LETTERS_TOLD_APART,
    MOST_MEMBERS,
    MOST_RATIO,
    reason,
    short,
)
from uncollapse.errors import UserError
from uncollapse.text import clean
from uncollapse.text import size as size_text

if TYPE_CHECKING:
    import pyarrow as pa

OLDEST = (14, 0, 1)
LABEL_BATCH = 65_536  # numbers, or numbers of categories
IMAGE_NAMES = ("image", "img", "images", "jpg", "png", "bytes")
LABEL_NAMES = ("label", "labels", "fine_label", "cls", "class")
NO_LABELS = "column {!r} of type {} is named as labels are, but holds no numbers or texts: not used"
MOST_GROUP_BYTES = 8 * GIGA
MOST_METADATA_BYTES = 16 * MEGA
MOST_LABEL_BYTES = 4 * MOST_LETTERS_TOLD_APART  # a letter has at most four
TEXTS = ("is_string", "is_large_string", "is_string_view")
BYTES = ("is_binary", "is_large_binary", "is_binary_view", "is_fixed_size_binary")


class Parquet(Container):
    """The images of one parquet file, in its order."""

    form = "parquet file"
    in_order = True

    def __init__(self, file: Path, place: str, label_column: str | None = None) -> None:
        """Looks at the schema and reads the labels.

        Args:
            file: The file.
            place: How messages call it.
            label_column: Which column holds the labels, for example prompts; None = one that is named as labels are.

        Raises:
            UserError: pyarrow is missing or too old; no parquet file; extension types; or no column of images.
        """
        parquet = _pyarrow_parquet()
        self.policies = Counter()
        self._place = place
        try:
            self._file = parquet.ParquetFile(file, memory_map=True)
            weakref.finalize(self, self._file.close)
            schema, length = self._file.schema_arrow, file.stat().st_size
            self._most = max(GIGA, MOST_RATIO * length)
            self._check(schema, length)
            self._column = self._image_column(schema)
            self._path = self._image_path(schema)
            self._labels = self._read_labels(schema, label_column)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # pyarrow raises errors of its own, of Python and of the system
            raise UserError(f"{place} is no readable parquet file ({reason(error)}).") from error
        self._lock = threading.Lock()
        metadata = self._file.metadata
        rows = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._starts = list(itertools.accumulate(rows, initial=0))  # first row of each group
        self._group = -1  # the group at hand, and its rows after the one at hand
        self._batches: Iterator[Any] = iter(())
        self._next = 0  # number of the row after the one at hand
        self._image: Any = None  # pyarrow's scalar of the row at hand
        self._damaged: dict[int, tuple[int, str]] = {}  # from which row on a group cannot be read, and why

    def __len__(self) -> int:
        """Rows."""
        return int(self._file.metadata.num_rows)

    def name(self, row: int) -> str:
        """The number of the row."""
        return f"row {row}"

    def read(self, row: int) -> bytes:
        """The bytes of one image; quick from the first row to the last.

        A damaged part ends its group of rows; the groups after it are read.

        Raises:
            Unreadable: The row holds none, or lies in a damaged part of the file.
        """
        with self._lock:
            group = bisect.bisect_right(self._starts, row) - 1
            end, why = self._damaged.get(group, (row + 1, ""))
            if row < end:
                try:
                    self._move_to(row, group)
                except Exception as error:  # as above
                    end, why = self._next, reason(error)
                    self._damaged[group], self._group = (end, why), -1
            if row >= end:
                raise Unreadable(f"lies in a damaged part of the file ({why})")
            image = self._image
        if not image.is_valid:
            raise Unreadable("holds no bytes (a path in a parquet file is never opened)")
        if image.as_buffer().size > MOST_IMAGE_BYTES:
            raise too_long(image.as_buffer().size)
        content: bytes = image.as_py()
        return content

    def _move_to(self, row: int, group: int) -> None:
        if group != self._group or row < self._next - 1:
            self._group, self._next, self._image = group, self._starts[group], None
            self._batches = self._file.iter_batches(
                batch_size=1, row_groups=[group], columns=[self._path], use_threads=False
            )
        while row >= self._next:
            batch = next(self._batches, None)
            if batch is None:
                raise EOFError("it has fewer rows than it says")
            column = batch.column(0)
            self._image = (column if self._path == self._column else column.flatten()[0])[0]
            self._next += 1

    def _check(self, schema: pa.Schema, length: int) -> None:
        """Refuses extension types, more rows than bytes, and row groups that unpack into absurd sizes."""
        import pyarrow as pa

        foreign = next((field.name for field in schema if _is_foreign(field.type, pa)), None)
        marked = any(b"ARROW:extension:name" in (field.metadata or {}) for field in schema)
        if foreign is not None or marked:
            raise UserError(
                f"{self._place} holds a column of an extension type, which is not read because such types can run "
                "code; save it with plain columns."
            )
        metadata = self._file.metadata
        if not metadata.num_rows:
            raise UserError(f"{self._place} has no rows.")
        if metadata.num_rows > max(MOST_MEMBERS, length):
            raise UserError(
                f"{self._place} has {size_text(length)} and {metadata.num_rows:,} rows, more than one a byte; save it "
                "again without the repeated ones."
            )
        sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
        if max(sizes) > MOST_GROUP_BYTES or sum(sizes) > self._most:
            raise UserError(
                f"{self._place} has {size_text(length)} and unpacks into {size_text(sum(sizes))}, the largest group of "
                f"rows into {size_text(max(sizes))}; save it again in groups of 1,000 rows."
            )

    def _image_column(self, schema: pa.Schema) -> str:
        import pyarrow as pa

        fitting = [
            field.name
            for field in schema
            if pa.types.is_binary(field.type)
            or pa.types.is_large_binary(field.type)
            or (pa.types.is_struct(field.type) and _holds_bytes(field.type))
        ]
        if not fitting:
            raise UserError(
                f"{self._place} has the columns {short(', '.join(schema.names))}, none of image bytes; it needs one as "
                "Hugging Face writes it."
            )
        return next((name for name in IMAGE_NAMES if name in fitting), fitting[0])

    def _image_path(self, schema: pa.Schema) -> str:
        """What of the column of images is read: never the paths beside the bytes."""
        import pyarrow as pa

        nested = pa.types.is_struct(schema.field(self._column).type)
        path = f"{self._column}.bytes" if nested else self._column
        self._check_alone(schema, path)
        return path

    def _check_alone(self, schema: pa.Schema, path: str) -> None:
        """Refuses a second column under the name of one, because pyarrow would read that, too, whatever it holds."""
        columns = self._file.metadata.schema
        paths = [columns.column(place).path for place in range(len(columns))]
        # Of names without a point, other columns whose names only begin so can be told apart.
        alone = "." not in path and schema.names.count(path) == 1
        others = tuple(f"{name}." for name in schema.names if alone and name.startswith(f"{path}."))
        dotted = [f"{known}." for known in paths]
        same = [known for known in dotted if known.startswith(f"{path}.") and not known.startswith(others)]
        if len(same) != 1:
            raise UserError(
                f"{self._place} has {len(same)} columns called {short(path)!r}; rename or remove all but one."
            )

    def _read_labels(self, schema: pa.Schema, chosen: str | None) -> list[str] | None:
        if chosen is not None and (chosen not in schema.names or not _is_label_type(schema.field(chosen).type)):
            fitting = [name for name in schema.names if _is_label_type(schema.field(name).type)]
            listed = f"; there are {', '.join(clean(name) for name in fitting)}" if fitting else ""
            raise UserError(f"{self._place} has no column {clean(chosen)!r} of numbers or texts{listed}.")
        name = chosen or self._label_column(schema)
        if name is None:
            return None
        classes = class_names(schema.metadata or {}, name)
        found = LabelList(self._place)
        for value in itertools.islice(self._label_values(schema, name), len(self) + 1):
            if isinstance(value, float) and value.is_integer():
                value = int(value)  # as pandas writes whole numbers where some are missing
            known = isinstance(value, int) and 0 <= value < len(classes)
            found.add(classes[value] if known else value)
        if len(found.texts) != len(self):
            raise UserError(f"{self._place} has {len(self):,} rows and {len(found.texts):,} labels; it is damaged.")
        return found.texts

    def _label_values(self, schema: pa.Schema, name: str) -> Iterator[Any]:
        """The labels in order; a text of a row of its own is the only one in memory, one of a category is made once."""
        import pyarrow as pa

        self._check_alone(schema, name)
        texts = _is_one(schema.field(name).type, TEXTS)
        unpacked = 0
        for batch in self._file.iter_batches(batch_size=1 if texts else LABEL_BATCH, columns=[name], use_threads=False):
            column = batch.column(0)
            # Views do not count the letters that they point to.
            unpacked += _bytes_of(column[0]) if texts else column.nbytes
            if unpacked > self._most:
                raise UserError(
                    f"{self._place} has labels of more than {size_text(self._most)} in its column {short(name)!r}; "
                    "give shorter or fewer ones."
                )
            if texts:
                yield _text(column[0])
            elif pa.types.is_dictionary(column.type):
                dictionary, places = column.dictionary, column.indices.to_pylist()
                known = {place: label_text(_text(dictionary[place])) for place in set(places) - {None}}
                yield from (known.get(place) for place in places)
            else:
                yield from column.to_pylist()

    def _label_column(self, schema: pa.Schema) -> str | None:
        """The first column that is named as labels are and holds some; the others of such a name are counted."""
        named = [name for name in LABEL_NAMES if name in schema.names and name != self._column]
        fitting = [name for name in named if _is_label_type(schema.field(name).type)]
        for name in named:
            if name not in fitting:
                self.policies[NO_LABELS.format(name, short(schema.field(name).type))] += 1
        return fitting[0] if fitting else None


def class_names(metadata: dict[bytes, bytes], column: str) -> list[str]:
    """Names of the labels that Hugging Face keeps in the schema; empty where it keeps none."""
    content = metadata.get(b"huggingface", b"")
    if len(content) > MOST_METADATA_BYTES:
        return []
    try:
        names = json.loads(content or b"{}")["info"]["features"][column]["names"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [label_text(name) for name in names] if isinstance(names, list) else []


def _is_foreign(kind: pa.DataType, pa: Any) -> bool:
    """Whether a type is an extension type or has one inside."""
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    inner += [kind.value_type] if pa.types.is_dictionary(kind) else []
    return isinstance(kind, pa.BaseExtensionType) or any(_is_foreign(part, pa) for part in inner)


def _is_label_type(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):  # as pandas writes categories
        return _is_one(kind.value_type, TEXTS)
    return _is_one(kind, ("is_integer", "is_floating", "is_boolean", *TEXTS))


def _holds_bytes(kind: pa.StructType) -> bool:
    place = kind.get_field_index("bytes")
    return place >= 0 and _is_one(kind.field(place).type, BYTES)


def _is_one(kind: pa.DataType, tests: tuple[str, ...]) -> bool:
    import pyarrow as pa

    return any(getattr(pa.types, test)(kind) for test in tests if hasattr(pa.types, test))  # old ones know no views


def _bytes_of(scalar: Any) -> int:
    return scalar.as_buffer().size if scalar.is_valid else 0


def _text(scalar: Any) -> str | bytes | None:
    """A label, None where there is none; of one beyond all measure the bytes of the letters that count."""
    if _bytes_of(scalar) <= MOST_LABEL_BYTES:
        found: str | None = scalar.as_py()
        return found
    return bytes(scalar.as_buffer()[:MOST_LABEL_BYTES])


def _pyarrow_parquet() -> Any:
    """pyarrow's reader, or one sentence."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError("Reading parquet needs pyarrow; install it with pip install 'uncollapse[parquet]'.") from error
    version = tuple(int(part) for part in re.findall(r"\d+", pyarrow.__version__)[:3])
    if version < OLDEST:
        raise UserError(
            f"pyarrow {pyarrow.__version__} can be made to run code by a parquet file; install 14.0.1 or newer with "
            "pip install 'uncollapse[parquet]'."
        )
    return pyarrow.parquet
