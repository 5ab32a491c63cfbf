"""Rows that can be read only once, or that are packed in a file, kept in a temporary file that has no name.

The system removes such a file when the process ends, however it ends.
"""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.limits import MEGA, reason
from uncollapse.errors import UserError

BLOCK = 4 * MEGA


class Spool:
    """A growing list of arrays on disk; memory holds 9 bytes a row."""

    def __init__(self, place: str) -> None:
        """Opens the file.

        Args:
            place: How messages call the source that is kept.

        Raises:
            UserError: There is no room for a temporary file.
        """
        self._place = place
        self._stream = _temporary(place)
        weakref.finalize(self, self._stream.close)
        self._offsets = array("q")
        self._kinds = array("H")
        self._known: dict[tuple[tuple[int, ...], str], int] = {}
        self._end = 0

    def __len__(self) -> int:
        """Rows kept."""
        return len(self._offsets)

    def append(self, row: NDArray[Any]) -> None:
        """Keeps one more array of at most 65,535 different shapes and types.

        Raises:
            UserError: The disk is full, or there are too many different shapes.
        """
        kind = self._known.setdefault((row.shape, row.dtype.str), len(self._known))
        content = np.ascontiguousarray(row).tobytes()
        try:
            self._stream.seek(self._end)
            self._stream.write(content)
            self._kinds.append(kind)
        except OSError as error:
            raise no_room(self._place, error) from error
        except OverflowError as error:
            raise UserError(f"{self._place} has images of more than 65,535 different sizes; give a folder.") from error
        self._offsets.append(self._end)
        self._end += len(content)

    def __getitem__(self, row: int) -> NDArray[Any]:
        """One array again."""
        shape, dtype = list(self._known)[self._kinds[row]]
        self._stream.seek(self._offsets[row])
        length = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return np.frombuffer(bytearray(self._stream.read(length)), dtype=dtype).reshape(shape)


def mapped(read: Callable[[int], bytes], shape: tuple[int, ...], dtype: np.dtype[Any], place: str) -> NDArray[Any]:
    """Copies the numbers of an array into a temporary file and maps it, so that they take no memory.

    Args:
        read: Gives at most so many of the next bytes, fewer only at the end.
        shape: The array's.
        dtype: Type of its numbers.
        place: How messages call the source.

    Raises:
        UserError: There are fewer or more bytes than the array has, or the disk is full.
    """
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    stream = _temporary(place)
    try:
        kept = 0
        while kept <= wanted and (block := read(min(BLOCK, wanted - kept + 1))):
            stream.write(block)
            kept += len(block)
        if kept != wanted:
            there = "more" if kept > wanted else f"only {kept:,}"
            raise UserError(f"{place} announces {wanted:,} bytes of numbers and holds {there}; copy or save it again.")
        stream.flush()
        rows: NDArray[Any] = np.memmap(stream, dtype=dtype, mode="r", shape=shape)
        return rows
    except OSError as error:
        raise no_room(place, error) from error
    finally:
        stream.close()  # the mapping keeps the content


def no_room(place: str, error: OSError) -> UserError:
    """The sentence for a temporary file that cannot be written."""
    return UserError(
        f"{place} cannot be kept in a temporary file in {tempfile.gettempdir()} ({reason(error)}); "
        "make room there, or set TMPDIR to another folder."
    )


def _temporary(place: str) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="uncollapse-")
    except OSError as error:
        raise no_room(place, error) from error
