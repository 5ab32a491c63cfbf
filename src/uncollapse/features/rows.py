"""A growing matrix of rows: in memory as long as it is small, beyond that in a temporary file."""

from __future__ import annotations

import tempfile
import weakref
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.errors import UserError

IN_MEMORY = 2_000_000_000
GROWTH = 1.5


class GrowingRows:
    """Rows of one width and type, added block by block.

    Beyond `limit` bytes they move to a file without a name in the system's temporary folder, which the system removes
    when the process ends.
    """

    def __init__(self, expected: int | None = None, *, limit: int = IN_MEMORY) -> None:
        """Starts without rows.

        Args:
            expected: Rows that will come, where that is known: memory for them is asked for once, and is taken only
                as they come.
            limit: Bytes kept in memory.
        """
        self._limit, self._count, self._expected = limit, 0, expected or 0
        self._memory: NDArray[Any] | None = None
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, block: NDArray[Any]) -> None:
        """Adds rows (n, d).

        Raises:
            UserError: The width changed, or the temporary folder is full.
        """
        if self._memory is None:
            row = block.shape[1] * block.dtype.itemsize
            reserved = self._expected if self._expected * row <= self._limit else 0
            self._memory = np.empty((reserved, block.shape[1]), dtype=block.dtype)
        if block.shape[1] != self._memory.shape[1]:
            raise UserError(f"Rows of {block.shape[1]} numbers follow rows of {self._memory.shape[1]}; give one width.")
        if self._file is None and (self._count + len(block)) * self._row_bytes > self._limit:
            self._move()
        if self._file is not None:
            self._write(np.ascontiguousarray(block, dtype=self._memory.dtype))
        else:
            needed = self._count + len(block)
            if needed > len(self._memory):
                # Resizing in place extends the block of memory, where joining copies would hold all rows twice.
                self._memory.resize((max(needed, int(len(self._memory) * GROWTH)), block.shape[1]), refcheck=False)
            self._memory[self._count : needed] = block
        self._count += len(block)

    def finish(self) -> NDArray[Any]:
        """All rows (n, d), in memory or mapped from the file; nothing can be added afterwards."""
        if self._memory is None:
            return np.empty((0, 0), dtype=np.float32)
        shape = (self._count, self._memory.shape[1])
        if self._file is None:
            self._memory.resize(shape, refcheck=False)
            return self._memory
        self._file.flush()
        rows = np.memmap(self._file, dtype=self._memory.dtype, mode="r+", shape=shape)
        self._file.close()  # the mapping keeps the content
        return rows

    @property
    def _row_bytes(self) -> int:
        return 0 if self._memory is None else self._memory.shape[1] * self._memory.dtype.itemsize

    def _move(self) -> None:
        assert self._memory is not None
        self._file = tempfile.TemporaryFile(prefix="uncollapse-rows-")  # noqa: SIM115 - lives as long as its rows
        weakref.finalize(self, self._file.close)
        self._write(self._memory[: self._count])
        self._memory = np.empty((0, self._memory.shape[1]), dtype=self._memory.dtype)

    def _write(self, block: NDArray[Any]) -> None:
        assert self._file is not None
        try:
            self._file.write(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise UserError(
                f"The temporary folder {tempfile.gettempdir()} has no room for the rows ({error.strerror}); set TMPDIR "
                "to a larger disk."
            ) from error
