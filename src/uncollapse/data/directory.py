"""The list of members at the end of a zip, kept in a few bytes a member and checked before any member is read.

Members must lie inside of the archive, must not overlap, and must not unpack into absurd sizes. Names are never used as
paths.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.limits import MOST_DIRECTORY_BYTES, MOST_MEMBERS, MOST_RATIO, RATIO_FREE, RATIO_FREE_TOTAL, short
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

LOCAL_HEADER = struct.Struct("<4s22xHH")
ENTRY = struct.Struct("<4s4xHH4xIIIHHH8xI")
ENTRY_START, END, END_64, LOCATOR_64 = b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
LONGEST_END = 22 + 65_535
LENGTH_64, LENGTH_LOCATOR = 56, 20
ENCRYPTED, IN_UTF_8 = 0x1, 0x800
WIDE = 2**32 - 1  # the number that stands for a longer one in the extra field of kind 1
COLUMNS = 6


@dataclass(frozen=True, slots=True)
class Member:
    """Where one member lies.

    Attributes:
        name: As the archive writes it; never used as a path.
        offset: Of its local header.
        packed: Bytes in the archive.
        unpacked: Bytes of content.
        checksum: CRC-32 of the content.
        method: 0 stored, 8 deflated; others are not read.
        flags: Bits of the format; 1 says that it is encrypted.
    """

    name: str
    offset: int
    packed: int
    unpacked: int
    checksum: int
    method: int
    flags: int

    @property
    def encrypted(self) -> bool:
        """Whether it needs a password."""
        return bool(self.flags & ENCRYPTED)


class Directory:
    """All members but folders: a name and six numbers of each.

    Attributes:
        names: As the archive writes them, in its order.
    """

    def __init__(self, names: list[str], numbers: array[int]) -> None:
        """Keeps them.

        Args:
            names: One a member.
            numbers: The other attributes of `Member`, six a member.
        """
        self.names, self._numbers = names, numbers

    def __len__(self) -> int:
        """Members."""
        return len(self.names)

    def __getitem__(self, row: int) -> Member:
        """One member."""
        if not 0 <= row < len(self.names):
            raise IndexError(row)
        return Member(self.names[row], *self._numbers[COLUMNS * row : COLUMNS * (row + 1)])

    def __iter__(self) -> Iterator[Member]:
        """All members in the archive's order."""
        return (self[row] for row in range(len(self)))

    def table(self) -> NDArray[np.float64]:
        """(members, 6): the numbers, exact up to 2 ** 53."""
        return np.frombuffer(self._numbers, dtype=np.uint64).reshape(-1, COLUMNS).astype(np.float64)


def read_directory(stream: BinaryIO, length: int, place: str, *, free: int = RATIO_FREE) -> Directory:
    """Reads and checks the directory of a zip.

    Args:
        stream: The archive.
        length: Its bytes.
        place: How messages call it.
        free: Bytes of a member's content that may be packed into however few.

    Raises:
        UserError: No zip, damaged, or built to exhaust whoever reads it.
    """
    end = _find_end(stream, length, place)
    stream.seek(end.start)
    content = stream.read(end.length)
    names: list[str] = []
    numbers = array("Q")
    try:
        count = _parse(content, end.shift, names, numbers)
    except (struct.error, ValueError, OverflowError) as error:
        raise _damaged(place) from error
    if count % 2**16 != end.entries % 2**16:  # which older programs let run over
        raise _damaged(place)
    directory = Directory(names, numbers)
    check_members(directory, length, place, free=free)
    return directory


@dataclass(frozen=True, kw_only=True)
class _End:
    """What the end of a zip says: where its directory lies, its bytes and members, and how far all offsets are off."""

    start: int
    length: int
    entries: int
    shift: int


def _find_end(stream: BinaryIO, length: int, place: str) -> _End:
    """Finds the end, and looks at the size of the directory before anybody reads it."""
    before = max(0, length - LONGEST_END - LENGTH_64 - LENGTH_LOCATOR)
    stream.seek(before)
    tail = stream.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) < at + 22:
        raise UserError(f"{place} is no zip, or its end is missing; copy or make it again.")
    entries, size, offset = struct.unpack_from("<HII", tail, at + 10)
    stop = before + at
    if tail[max(0, at - LENGTH_LOCATOR) : at].startswith(LOCATOR_64):
        at_64 = tail.rfind(END_64, 0, at - LENGTH_LOCATOR)
        if at_64 < 0 or len(tail) < at_64 + LENGTH_64:
            raise _damaged(place)
        entries, size, offset = struct.unpack_from("<QQQ", tail, at_64 + 32)
        stop = before + at_64
    if size > min(MOST_DIRECTORY_BYTES, length) or entries > MOST_MEMBERS:
        raise UserError(
            f"{place} claims {entries:,} members in a list of {size_text(size)}, more than it can hold or than the "
            f"{MOST_MEMBERS:,} members that are read; split it."
        )
    if stop - size < 0 or stop - size < offset:
        raise _damaged(place)
    # A program before the archive, as in one that unpacks itself, moves everything.
    return _End(start=stop - size, length=size, entries=entries, shift=stop - size - offset)


def _parse(content: bytes, shift: int, names: list[str], numbers: array[int]) -> int:
    """Takes apart the directory; returns how many members it lists, folders included."""
    place = count = 0
    while place < len(content):
        start, flags, method, checksum, packed, unpacked, *lengths, offset = ENTRY.unpack_from(content, place)
        if start != ENTRY_START:
            raise ValueError("no entry")
        place += ENTRY.size
        raw = content[place : place + lengths[0]]
        place += lengths[0]
        if WIDE in (packed, unpacked, offset):
            extra = content[place : place + lengths[1]]
            unpacked, packed, offset = _wide(extra, unpacked, packed, offset)
        place += lengths[1] + lengths[2]
        count += 1
        if not raw.endswith(b"/"):
            names.append(decoded(raw, flags))
            numbers.extend((offset + shift, packed, unpacked, checksum, method, flags))
    if place != len(content):
        raise ValueError("cut off")
    return count


def decoded(raw: bytes, flags: int) -> str:
    """A member's name, in the alphabet that its flags say."""
    return raw.decode("utf-8" if flags & IN_UTF_8 else "cp437", "replace")


def _wide(extra: bytes, *values: int) -> list[int]:
    """Puts the long numbers of the extra field in the place of those that were too long for theirs."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            long = iter(struct.unpack_from(f"<{length // 8}Q", extra, place + 4))
            return [next(long, value) if value == WIDE else value for value in values]
        place += 4 + length
    return list(values)


def check_members(directory: Directory, length: int, place: str, *, free: int = RATIO_FREE) -> None:
    """Refuses members that overlap, reach out of the archive, or unpack into far more than honest ones do.

    Args:
        directory: All of them.
        length: Bytes of the archive.
        place: How messages call it.
        free: As for `read_directory`.

    Raises:
        UserError: They do.
    """
    table = directory.table()
    order = np.argsort(table[:, 0], kind="stable")
    start, end = table[order, 0], table[order, 0] + LOCAL_HEADER.size + table[order, 1]
    if (start[1:] < end[:-1]).any() or (end > length).any():
        raise UserError(f"{place} has members that overlap or reach beyond its end; make the archive again.")
    for row in np.flatnonzero(table[:, 2] > np.maximum(free, MOST_RATIO * table[:, 1])).tolist():
        member = directory[row]
        check_ratio(member.unpacked, member.packed, f"{place}: {short(member.name)}", free=free)
    check_ratio(int(table[:, 2].sum()), length, place, free=max(free, RATIO_FREE_TOTAL))


def check_ratio(unpacked: int, packed: int, what: str, *, free: int) -> None:
    """Refuses content that is absurdly larger than its packed form.

    Raises:
        UserError: It is a bomb.
    """
    if unpacked > max(free, MOST_RATIO * packed):
        raise UserError(
            f"{what} unpacks {size_text(packed)} into {size_text(unpacked)}, more than {MOST_RATIO} times as much, as "
            "only an archive made to exhaust its reader does; pack it again, or give the unpacked folder."
        )


def _damaged(place: str) -> UserError:
    return UserError(f"{place} has a damaged list of members; copy or make the archive again.")
