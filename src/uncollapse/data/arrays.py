"""Arrays as a source: in memory, mapped from a file, or anything that gives NumPy arrays for slices."""

from __future__ import annotations

import copy
import functools
import hashlib
import mmap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.layout import Layout, layout_of
from uncollapse.data.limits import CHUNK_BYTES, MEGA, MOST_ARRAY_BYTES
from uncollapse.data.scaling import DECIDING, DIM, Scaling, check_whole
from uncollapse.data.source import Chunk, Kind, Met, Notes, Pixels, Source
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

FEWEST_BYTES_READ = 4 * MEGA
# Bytes of a mapped file after whose reading their pages are handed back; they would count as this process's memory.
HANDED_BACK = 64 * MEGA
MOVED = "column moved to the place that its head has on the real side"
VERSION = b"uncollapse arrays 1"


class Rows(Protocol):
    """What an `ArrayRows` reads: an array, a mapped file, an HDF5 data set."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, ...)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its numbers."""

    def __getitem__(self, part: slice, /) -> Any:
        """Consecutive rows as a NumPy array."""


class ArrayRows(Source):
    """Rows of one array; (n, d) are features, everything else images."""

    kind: Kind

    def __init__(
        self,
        rows: Rows,
        *,
        name: str,
        form: str,
        place: str,
        labels: Sequence[str] | None = None,
        picks: NDArray[np.int64] | None = None,
        tensor: bool = False,
        policies: Counter[str] | None = None,
        heads: tuple[str, ...] | None = None,
    ) -> None:
        """Looks at the shape and at the first rows.

        Args:
            rows: (n, d), (n, h, w), (n, h, w, c) or (n, c, h, w); see `layout_of` for how it is read.
            name: What the user wrote, or a description.
            form: What it is, in words.
            place: How messages call it.
            labels: One a row.
            picks: Which rows, ascending; None for all.
            tensor: Whether it came as a torch tensor.
            policies: What was decided when it was opened.
            heads: Name of each column of features; None where there are none.

        Raises:
            UserError: No rows, a shape or type without a meaning, or values that contradict their type.
        """
        self._rows, self.place, self._labels = rows, place, labels
        self._opened = policies or Counter()
        check_numbers(rows.dtype, rows.shape, place)
        self._layout: Layout = layout_of(tuple(rows.shape[1:]), place, tensor=tensor)
        self._picks = np.arange(rows.shape[0]) if picks is None else picks
        self.name, self.form, self.kind = name, form, self._layout.kind
        self.labelled, self.heads = labels is not None, heads
        self.notes = Notes(policies=Counter(self._opened))
        self._dim = False
        self._scaling = self._decide() if self.kind == "images" else None

    @property
    def count(self) -> int:
        """Rows."""
        return len(self._picks)

    def chunks(self, size: int) -> Iterator[Chunk]:
        """All rows in their order; a chunk is shorter where rows are large."""
        self.notes = Notes(policies=Counter(self._opened))
        most = max(1, min(size, CHUNK_BYTES // max(1, self._row_bytes)))
        read = 0
        for start in range(0, self.count, most):
            picks = self._picks[start : start + most]
            block = self._block(picks)
            images = self._images(block, picks) if self._scaling else ()
            self.notes.rows += 0 if self._scaling else len(picks)
            features = None if self._scaling else as_features(block)
            del block
            read += most * self._row_bytes
            if read >= HANDED_BACK:
                _hand_back(self._rows)
                read = 0
            yield Chunk(
                first=start,
                images=images,
                features=features,
                labels=None if self._labels is None else tuple(self._labels[row] for row in picks.tolist()),
                names=tuple(f"row {row}" for row in picks.tolist()),
            )

    def fetch(self, rows: Sequence[int]) -> list[Pixels]:
        """Some images again."""
        assert self._scaling is not None
        found = []
        for row in rows:
            block = self._block(self._picks[row : row + 1])
            found.append(self._scaling.to_bytes(self._layout.upright(block), self._picks[row : row + 1])[0][0])
        return found

    def content_hash(self) -> str:
        """sha256 over numbers, shape, type, labels and order."""
        digest = hashlib.sha256(VERSION)
        digest.update(f"{self._rows.dtype.str} {self._rows.shape[1:]} {self._layout} {self.count}".encode())
        step = max(1, FEWEST_BYTES_READ // max(1, self._row_bytes))
        for start in range(0, self.count, step):
            digest.update(np.ascontiguousarray(self._block(self._picks[start : start + step])).tobytes())
        for row in self._picks.tolist() if self._labels is not None else ():
            label = self._labels[row].encode(errors="surrogatepass") if self._labels is not None else b""
            digest.update(f"{len(label)} ".encode() + label)
        return digest.hexdigest()

    def part(self, first: int, stop: int) -> ArrayRows:
        """The same array with fewer picks."""
        found = copy.copy(self)
        found._picks, found._opened = self._picks[first:stop], Counter()
        found.notes = Notes()
        return found

    def take(self, parts: Sequence[Met]) -> None:
        """Joins the notes."""
        self.notes = functools.reduce(Notes.joined, (met.notes for met in parts), Notes(policies=Counter(self._opened)))

    def arranged(self, order: Sequence[int]) -> ArrayRows:
        """The same features with their columns in another order.

        Args:
            order: Number of the column that comes first, second, ...
        """
        found = copy.copy(self)
        found._rows = np.asarray(self._rows[0 : self._rows.shape[0]])[:, list(order)]
        found.heads = None if self.heads is None else tuple(self.heads[column] for column in order)
        moved = sum(place != column for place, column in enumerate(order))
        found._opened = self._opened + Counter({MOVED: moved})
        found.notes = Notes(policies=Counter(found._opened))
        return found

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self._rows.shape[1:], dtype=np.float64)) * self._rows.dtype.itemsize

    def _block(self, picks: NDArray[np.int64]) -> NDArray[Any]:
        """The numbers of some rows, ascending."""
        first, last = int(picks[0]), int(picks[-1])
        try:
            if last - first == len(picks) - 1:
                return np.asarray(self._rows[first : last + 1])
            return np.concatenate([np.asarray(self._rows[row : row + 1]) for row in picks.tolist()])
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.place} cannot be read to its end; copy or save it again.") from error

    def _images(self, block: NDArray[Any], picks: NDArray[np.int64]) -> list[Pixels]:
        assert self._scaling is not None
        pixels, policies = self._scaling.to_bytes(self._layout.upright(block), picks)
        self.notes.accept(pixels)
        for policy in (*policies, *((DIM,) if self._dim else ())):
            self.notes.policies[policy] += len(pixels)
        return list(np.array(pixels, order="C"))  # never a view on the user's array or on a mapped file

    def _decide(self) -> Scaling:
        most = min(self.count, DECIDING, max(1, CHUNK_BYTES // max(1, self._row_bytes)))
        block = self._block(self._picks[:most])
        self._dim = check_whole([block], self.place)
        lowest, highest = (float(block.min()), float(block.max())) if block.dtype.kind == "f" else (0.0, 0.0)
        return Scaling.decided(lowest, highest, self.place)


def check_numbers(dtype: np.dtype[Any], shape: tuple[int, ...], place: str) -> None:
    """Refuses what is no array of rows of real numbers.

    Args:
        dtype: Type of its entries.
        shape: Its shape, (n, ...).
        place: How messages call the source.

    Raises:
        UserError: It is none.
    """
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise UserError(f"{place} has entries of type {dtype}; give real numbers of at most 64 bits.")
    if len(shape) < 2:
        raise UserError(
            f"{place} has shape {shape}; give one row a sample, (n, d) for features or (n, h, w) for images."
        )
    if shape[0] < 1:
        raise UserError(f"{place} has no rows (shape {shape}).")
    total = float(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    if total > MOST_ARRAY_BYTES:
        raise UserError(f"{place} has {size_text(total)}, more than {size_text(MOST_ARRAY_BYTES)}.")


def as_features(block: NDArray[Any]) -> NDArray[Any]:
    """Rows (n, d) as float32 or float64: half precision is widened, integers become float64."""
    native = block.dtype.newbyteorder("=")
    if native == np.float16:
        return block.astype(np.float32)
    kept = native if block.dtype.kind == "f" else np.dtype(np.float64)
    return np.array(block, dtype=kept, copy=True)  # a mapped file is not kept open by its rows


def _hand_back(rows: Rows) -> None:
    """Lets the system have the memory of a mapped file's pages, which it can read again; of other arrays nothing.

    A mapping that can be changed is left alone: its pages may be all that holds the changes.
    """
    mapping = getattr(rows, "_mmap", None)
    if isinstance(mapping, mmap.mmap) and getattr(rows, "mode", "") == "r" and hasattr(mapping, "madvise"):
        mapping.madvise(mmap.MADV_DONTNEED)
