"""Images in a parquet file as Hugging Face lays them out: a column of {bytes, path} or of bytes, and perhaps a label.

Needs the extra `[parquet]`. Extension types are refused before anything is read, because older readers ran code for
them; a path in a row is never opened.
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
from uncollapse.data.images import Unreadable
from uncollapse.data.labels import LabelList, label_text
from uncollapse.data.limits import GIGA, MEGA, MOST_RATIO, reason, short
from uncollapse.errors import UserError
from uncollapse.text import clean
from uncollapse.text import size as size_text

if TYPE_CHECKING:
    import pyarrow as pa

OLDEST = (14, 0, 1)
BATCH, LABEL_BATCH = 64, 4096
IMAGE_NAMES = ("image", "img", "images", "jpg", "png", "bytes")
LABEL_NAMES = ("label", "labels", "fine_label", "cls", "class")
NO_LABELS = "column {!r} of type {} is named as labels are, but holds no numbers or texts: not used"
MOST_GROUP_BYTES = 8 * GIGA
MOST_METADATA_BYTES = 16 * MEGA


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
            schema = self._file.schema_arrow
            self._check(schema, file.stat().st_size)
            self._column = self._image_column(schema)
            self._labels = self._read_labels(schema, label_column)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # pyarrow raises errors of its own, of Python and of the system
            raise UserError(f"{place} is no readable parquet file ({reason(error)}).") from error
        self._lock = threading.Lock()
        metadata = self._file.metadata
        rows = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._starts = list(itertools.accumulate(rows, initial=0))  # first row of each group
        self._group = -1  # the group at hand, and its rows from the batch at hand on
        self._batches: Iterator[Any] = iter(())
        self._first = 0  # number of the first row in the batch at hand
        self._batch: list[Any] = []
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
                    end, why = self._first + len(self._batch), reason(error)
                    self._damaged[group], self._group = (end, why), -1
            if row >= end:
                raise Unreadable(f"lies in a damaged part of the file ({why})")
            value = self._batch[row - self._first]
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise Unreadable("holds no bytes (a path in a parquet file is never opened)")
        return content

    def _move_to(self, row: int, group: int) -> None:
        if group != self._group or row < self._first:
            self._group, self._first, self._batch = group, self._starts[group], []
            self._batches = self._file.iter_batches(
                batch_size=BATCH, row_groups=[group], columns=[self._column], use_threads=False
            )
        while row >= self._first + len(self._batch):
            batch = next(self._batches, None)
            if batch is None:
                raise EOFError("it has fewer rows than it says")
            values = batch.column(0).to_pylist()
            self._first += len(self._batch)
            self._batch = values

    def _check(self, schema: pa.Schema, length: int) -> None:
        """Refuses extension types and row groups that unpack into absurd sizes."""
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
        sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
        if max(sizes) > MOST_GROUP_BYTES or sum(sizes) > max(GIGA, MOST_RATIO * length):
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
            or (pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
        ]
        if not fitting:
            raise UserError(
                f"{self._place} has the columns {short(', '.join(schema.names))}, none of image bytes; it needs one as "
                "Hugging Face writes it."
            )
        return next((name for name in IMAGE_NAMES if name in fitting), fitting[0])

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
        for batch in self._file.iter_batches(batch_size=LABEL_BATCH, columns=[name], use_threads=False):
            for value in batch.column(0).to_pylist():
                if isinstance(value, float) and value.is_integer():
                    value = int(value)  # as pandas writes whole numbers where some are missing
                known = isinstance(value, int) and 0 <= value < len(classes)
                found.add(classes[value] if known else value)
        if len(found.texts) != len(self):
            raise UserError(f"{self._place} has {len(self):,} rows and {len(found.texts):,} labels; it is damaged.")
        return found.texts

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
        kind = kind.value_type
    tests = ("is_integer", "is_floating", "is_boolean", "is_string", "is_large_string", "is_string_view")
    return any(getattr(pa.types, test)(kind) for test in tests if hasattr(pa.types, test))  # old ones lack the last


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
