"""A zip read in place and never extracted: its directory is checked first, its members are read by their offsets."""

from __future__ import annotations

import struct
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from uncollapse.data.directory import LOCAL_HEADER, Member, decoded, read_directory
from uncollapse.data.images import Unreadable, too_long
from uncollapse.data.limits import MEGA, RATIO_FREE, reason
from uncollapse.errors import UserError

STORED, DEFLATED = 0, 8
LOCAL_START = b"PK\x03\x04"
READ_AHEAD = 1 * MEGA

# What reading a torn, forged or foreign archive can raise, by this reader or by Python's.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, KeyError, EOFError, OSError, OverflowError, RuntimeError, ValueError,
    Unreadable,
)  # fmt: skip


class Archive:
    """An opened zip whose directory was checked: members do not overlap and do not unpack into absurd sizes."""

    def __init__(self, file: Path, place: str, *, free: int = RATIO_FREE) -> None:
        """Reads the directory.

        Args:
            file: The zip.
            place: How messages call it.
            free: Bytes of a member's content that may be packed into however few.

        Raises:
            UserError: No zip, damaged, or built to exhaust whoever reads it.
        """
        self.place = place
        self._lock = threading.Lock()
        try:
            self._stream: BinaryIO = file.open("rb")
        except OSError as error:
            raise UserError(f"{place} cannot be opened: {reason(error)}.") from error
        weakref.finalize(self, self._stream.close)
        self.length = self._stream.seek(0, 2)
        try:
            self.members = read_directory(self._stream, self.length, place, free=free)
        except OSError as error:
            raise UserError(f"{place} cannot be read: {reason(error)}.") from error

    def read(self, member: Member, most: int) -> bytes:
        """The content of one member, checked against its size and checksum.

        Args:
            member: One of `members`.
            most: Longest content to unpack.

        Raises:
            Unreadable: Too long, damaged, encrypted, or packed in an unknown way.
        """
        if member.unpacked > most:
            raise too_long(member.unpacked)
        _check_packing(member)
        content = self.packed(member, 0, member.packed)
        try:
            if member.method == DEFLATED:
                content = zlib.decompressobj(-15).decompress(content, member.unpacked + 1)
        except zlib.error as error:
            raise Unreadable("is damaged in the archive") from error
        if len(content) != member.unpacked or zlib.crc32(content) != member.checksum:
            raise Unreadable("is damaged in the archive")
        return content

    def reader(self, member: Member) -> Callable[[int], bytes]:
        """Reads a long member piece by piece.

        Args:
            member: One of `members`.

        Returns:
            A function that gives the next bytes of content, at most so many as asked for and none at the end. It
            raises `Unreadable` where the member turns out to be damaged, and may raise `zlib.error`.

        Raises:
            Unreadable: Encrypted, or packed in an unknown way.
        """
        _check_packing(member)
        return _Pieces(self, member).read

    def local_name(self, member: Member) -> str:
        """The name that stands before a member's content; in a whole archive it is that of the list.

        Args:
            member: One of `members`.

        Raises:
            Unreadable: The archive does not hold it.
        """
        return decoded(self._behind(member, lambda name, _: (0, name)), member.flags)

    def packed(self, member: Member, start: int, count: int) -> bytes:
        """Bytes of a member as the archive holds them.

        Args:
            member: One of `members`.
            start: Bytes of it to pass over.
            count: Bytes to read.

        Raises:
            Unreadable: The archive does not hold them.
        """
        return self._behind(member, lambda name, extra: (name + extra + start, count))

    def _behind(self, member: Member, part: Callable[[int, int], tuple[int, int]]) -> bytes:
        """Bytes behind a member's local header.

        Args:
            member: One of `members`.
            part: Lengths of the header's name and extra field to how many bytes to pass over, and how many to read.

        Raises:
            Unreadable: The archive does not hold them.
        """
        try:
            with self._lock:
                self._stream.seek(member.offset)
                begin, name, extra = LOCAL_HEADER.unpack(self._stream.read(LOCAL_HEADER.size))
                skipped, count = part(name, extra)
                self._stream.seek(skipped, 1)
                found = self._stream.read(count)
        except (struct.error, OSError, ValueError) as error:
            raise Unreadable("is cut off in the archive") from error
        if begin != LOCAL_START or len(found) != count:
            raise Unreadable("is cut off in the archive")
        return found


class _Pieces:
    """The content of one member, unpacked as it is asked for and checked at its end."""

    def __init__(self, archive: Archive, member: Member) -> None:
        self._archive, self._member = archive, member
        self._unpacker = zlib.decompressobj(-15) if member.method == DEFLATED else None
        self._taken = self._given = self._checksum = 0
        self._waiting = b""

    def read(self, count: int) -> bytes:
        """The next bytes, at most `count`, none at the end."""
        pieces = []
        while count > 0 and (piece := self._piece(count)):
            pieces.append(piece)
            count -= len(piece)
        content = b"".join(pieces)
        self._given += len(content)
        self._checksum = zlib.crc32(content, self._checksum)
        ended = count > 0
        if self._given > self._member.unpacked or (ended and self._given < self._member.unpacked):
            raise Unreadable("is damaged in the archive")
        if ended and self._checksum != self._member.checksum:
            raise Unreadable("is damaged in the archive")
        return content

    def _piece(self, count: int) -> bytes:
        while True:
            if not self._waiting:
                wanted = min(READ_AHEAD, self._member.packed - self._taken)
                self._waiting = self._archive.packed(self._member, self._taken, wanted) if wanted else b""
                self._taken += wanted
            if self._unpacker is None:
                piece, self._waiting = self._waiting[:count], self._waiting[count:]
                return piece
            piece = self._unpacker.decompress(self._waiting, count)
            self._waiting = self._unpacker.unconsumed_tail
            if piece or self._unpacker.eof or (not self._waiting and self._taken == self._member.packed):
                return piece


def _check_packing(member: Member) -> None:
    if member.encrypted:
        raise Unreadable("is encrypted")
    if member.method not in (STORED, DEFLATED):
        raise Unreadable(f"is packed by method {member.method}; pack it by deflate or store it")
