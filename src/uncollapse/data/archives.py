"""A zip read in place and never extracted: its directory is checked first, its members are read by their offsets.

Names of members are never used as paths. The central directory is read by the standard library once its size is known
to be sane; nothing but names and offsets stays in memory.
"""

from __future__ import annotations

import struct
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from uncollapse.data.images import Unreadable, too_long
from uncollapse.data.limits import (
    MEGA,
    MOST_DIRECTORY_BYTES,
    MOST_MEMBERS,
    MOST_RATIO,
    RATIO_FREE,
    reason,
    short,
)
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

LOCAL_HEADER = struct.Struct("<4s22xHH")
END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
LONGEST_END = 22 + 65_535
ENCRYPTED = 1
READ_AHEAD = 1 * MEGA
DAMAGED = (zipfile.BadZipFile, struct.error, ValueError, EOFError, NotImplementedError, OverflowError, RuntimeError)


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
        encrypted: Whether it needs a password.
    """

    name: str
    offset: int
    packed: int
    unpacked: int
    checksum: int
    method: int
    encrypted: bool


class Archive:
    """An opened zip whose directory was checked: members do not overlap and do not unpack into absurd sizes."""

    def __init__(self, file: Path, place: str) -> None:
        """Reads the directory.

        Args:
            file: The zip.
            place: How messages call it.

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
        self._check_directory()
        try:
            with zipfile.ZipFile(self._stream) as opened:
                members = [_member(info) for info in opened.infolist() if not info.is_dir()]
        except OSError as error:
            raise UserError(f"{place} cannot be read: {reason(error)}.") from error
        except DAMAGED as error:
            raise UserError(f"{place} is no readable zip ({short(error)}); make it again.") from error
        check_members(members, self.length, place)
        self.members: Sequence[Member] = members

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
            if member.method == zipfile.ZIP_DEFLATED:
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

    def packed(self, member: Member, start: int, count: int) -> bytes:
        """Bytes of a member as the archive holds them.

        Args:
            member: One of `members`.
            start: Bytes of it to pass over.
            count: Bytes to read.

        Raises:
            Unreadable: The archive does not hold them.
        """
        try:
            with self._lock:
                self._stream.seek(member.offset)
                begin, name, extra = LOCAL_HEADER.unpack(self._stream.read(LOCAL_HEADER.size))
                self._stream.seek(name + extra + start, 1)
                content = self._stream.read(count)
        except (struct.error, OSError, ValueError) as error:
            raise Unreadable("is cut off in the archive") from error
        if begin != b"PK\x03\x04" or len(content) != count:
            raise Unreadable("is cut off in the archive")
        return content

    def _check_directory(self) -> None:
        """Looks at the size of the central directory before anybody reads all of it."""
        self._stream.seek(max(0, self.length - LONGEST_END - 76))
        tail = self._stream.read()
        at = tail.rfind(END)
        if at < 0 or len(tail) < at + 22:
            raise UserError(f"{self.place} is no zip, or its end is missing; copy or make it again.")
        entries, length = struct.unpack_from("<HI", tail, at + 10)
        at_64 = tail.rfind(END_64, 0, at)
        if at_64 >= 0 and tail.find(LOCATOR_64, at_64, at) >= 0 and len(tail) >= at_64 + 56:
            entries, length = struct.unpack_from("<QQ", tail, at_64 + 32)
        if length > min(MOST_DIRECTORY_BYTES, self.length) or entries > MOST_MEMBERS:
            raise UserError(
                f"{self.place} claims {entries:,} members in a list of {size_text(length)}, more than it can hold or "
                f"than the {MOST_MEMBERS:,} members that are read; split it."
            )


class _Pieces:
    """The content of one member, unpacked as it is asked for and checked at its end."""

    def __init__(self, archive: Archive, member: Member) -> None:
        self._archive, self._member = archive, member
        self._unpacker = zlib.decompressobj(-15) if member.method == zipfile.ZIP_DEFLATED else None
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
    if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Unreadable(f"is packed by method {member.method}; pack it by deflate or store it")


def check_members(members: Sequence[Member], length: int, place: str) -> None:
    """Refuses an archive whose members overlap or unpack into far more than an honest archive does.

    Args:
        members: All of them.
        length: Bytes of the archive.
        place: How messages call it.

    Raises:
        UserError: They do.
    """
    end = 0
    for member in sorted(members, key=lambda member: member.offset):
        if member.offset < end or member.offset + LOCAL_HEADER.size + member.packed > length:
            raise UserError(f"{place} has members that overlap or reach beyond its end; make the archive again.")
        end = member.offset + LOCAL_HEADER.size + member.packed
        check_ratio(member.unpacked, member.packed, f"{place}: {short(member.name)}")
    check_ratio(sum(member.unpacked for member in members), length, place)


def check_ratio(unpacked: int, packed: int, what: str) -> None:
    """Refuses content that is absurdly larger than its packed form.

    Raises:
        UserError: It is a bomb.
    """
    if unpacked > max(RATIO_FREE, MOST_RATIO * packed):
        raise UserError(
            f"{what} unpacks {size_text(packed)} into {size_text(unpacked)}, more than {MOST_RATIO} times as much, as "
            "only an archive made to exhaust its reader does; pack it again, or give the unpacked folder."
        )


def _member(info: zipfile.ZipInfo) -> Member:
    return Member(
        name=info.filename,
        offset=info.header_offset,
        packed=info.compress_size,
        unpacked=info.file_size,
        checksum=info.CRC,
        method=info.compress_type,
        encrypted=bool(info.flag_bits & ENCRYPTED),
    )
