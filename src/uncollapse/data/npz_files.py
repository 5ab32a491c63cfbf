"""The arrays of an .npz in memory, whoever wrote it: a checked archive, checked headers, caps, and nothing pickled.

For the samples of runs, the pictures of evaluations and the points of tasks. The rows of data sets, which may be larger
than memory, are mapped by `numpy_files.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.archives import DAMAGE, Archive
from uncollapse.data.directory import Member
from uncollapse.data.images import Unreadable
from uncollapse.data.limits import GIGA, MEGA, RATIO_FREE_ARRAY, short
from uncollapse.data.numpy_files import HEADER_BYTES, Header, read_header
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

ENDING = ".npy"
MOST_ARRAYS = 1_000
MOST_BYTES = 16 * GIGA  # of all arrays: 256 seeds with 1,000 colour images of 32 x 32 and both generators have 6
BLOCK = 4 * MEGA


class NpzFile:
    """An opened .npz whose list of members was checked.

    Attributes:
        names: Of its arrays, in the order of the file.
    """

    def __init__(self, file: Path, place: str) -> None:
        """Reads the list of members.

        Args:
            file: The file.
            place: How messages call it.

        Raises:
            UserError: It is no regular file, no .npz, or built to exhaust whoever reads it.
        """
        self._place = place
        with self._sentences(""):
            if not file.is_file():  # opening a named pipe would wait for its writer
                raise UserError(f"{place} is no file that can be read.")
            self._archive = Archive(file, place, free=RATIO_FREE_ARRAY)
        members = self._archive.members
        if len(members) > MOST_ARRAYS:
            raise UserError(f"{place} has {len(members):,} arrays, more than {MOST_ARRAYS:,}; give fewer.")
        self._members = {member.name.removesuffix(ENDING): member for member in members}
        self.names = tuple(self._members)
        check_size(sum(member.unpacked for member in members), place)

    def read(self, name: str) -> NDArray[Any]:
        """One array, checked against the file's own checksum.

        Args:
            name: One of `names`.

        Raises:
            UserError: Damaged, encrypted, Python objects, or a header that its content does not fit.
            MemoryError: There is too little memory for it.
        """
        with self._sentences(f": {short(name)}"):
            header, pieces = self._opened(self._members[name])
            # Memory is asked for as a whole and used as it is filled, so that what only claims to be long costs little.
            content = np.empty(header.length - header.start, np.uint8)
            filled = 0
            for piece in pieces:
                content.data[filled : filled + len(piece)] = piece
                filled += len(piece)
            return content.view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")

    def verify(self) -> None:
        """Reads every member to its end and keeps nothing of it.

        Raises:
            UserError: As `read`, of the first member that cannot be read.
        """
        for member in self._archive.members:
            with self._sentences(f": {short(member.name.removesuffix(ENDING))}"):
                for _ in self._opened(member)[1]:
                    pass

    def _opened(self, member: Member) -> tuple[Header, Iterator[bytes]]:
        """The header of an array and the content behind it, whose last piece tells whether all was as written."""
        if self._archive.local_name(member) != member.name:
            raise Unreadable("bears another name in the list of members")
        read = self._archive.reader(member)
        beginning = read(HEADER_BYTES)
        header = read_header(beginning, member.unpacked, f"{self._place}: {short(member.name)}")
        return header, itertools.chain((beginning[header.start :],), iter(lambda: read(BLOCK), b""))

    @contextmanager
    def _sentences(self, what: str) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Unreadable as finding:
            raise UserError(f"{self._place}{what} {finding}; save it again.") from finding
        except DAMAGE as error:
            raise UserError(f"{self._place}{what} is damaged; save it again.") from error


def check_size(count: int, place: str) -> None:
    """Refuses more bytes of numbers than are read into memory.

    Raises:
        UserError: There are more.
    """
    if count > MOST_BYTES:
        raise UserError(
            f"{place} has {size_text(count)} of numbers, more than the {size_text(MOST_BYTES)} that are read into "
            "memory; give fewer."
        )
