from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import write_zip

from uncollapse.data.archives import Archive, Member, check_members, check_ratio
from uncollapse.data.images import Unreadable
from uncollapse.errors import UserError

CONTENT = {"a": b"short", "b": np.random.default_rng(0).bytes(3_000_000), "c": bytes(2_500_000), "d": b""}


def in_pieces(archive: Archive, member: Member, step: int) -> list[bytes]:
    """A member read by so many bytes at a time."""
    read = archive.reader(member)
    pieces = []
    while piece := read(step):
        pieces.append(piece)
    return pieces


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("step", [7_000, 1_000_000, 10_000_000])
def test_members_whole_and_in_pieces_are_what_was_written(tmp_path: Path, compression: int, step: int) -> None:
    archive = Archive(write_zip(tmp_path / "a.zip", CONTENT, compression), "real")
    for member in archive.members:
        assert archive.read(member, 10**9) == CONTENT[member.name]
        pieces = in_pieces(archive, member, step)
        assert b"".join(pieces) == CONTENT[member.name]
        assert all(len(piece) == step for piece in pieces[:-1])


def test_members_behind_other_data_are_found(tmp_path: Path) -> None:
    """A self-extracting archive: a program, then the zip."""
    file = write_zip(tmp_path / "a.zip", CONTENT)
    file.write_bytes(b"#!/bin/sh\n" * 100 + file.read_bytes())
    archive = Archive(file, "real")
    assert archive.read(archive.members[0], 100) == b"short"


def test_a_comment_at_the_end_does_not_hide_the_directory(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", CONTENT)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"x" * 60_000
    assert len(Archive(file, "real").members) == 4


def test_damage_is_found_whole_and_in_pieces(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", CONTENT)
    content = bytearray(file.read_bytes())
    content[1_000_000] ^= 1  # within b
    file.write_bytes(content)
    archive = Archive(file, "real")
    member = archive.members[1]
    with pytest.raises(Unreadable, match="damaged"):
        archive.read(member, 10**9)
    with pytest.raises(Unreadable, match="damaged"):
        in_pieces(archive, member, 500_000)


def test_a_member_longer_than_asked_for_is_not_unpacked(tmp_path: Path) -> None:
    archive = Archive(write_zip(tmp_path / "a.zip", CONTENT), "real")
    with pytest.raises(Unreadable, match=r"has 3.0 MB, more than"):
        archive.read(archive.members[1], 1000)


def test_a_member_that_unpacks_into_more_than_it_says_is_damaged(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"a": bytes(100_000)})
    content = file.read_bytes()
    file.write_bytes(content.replace(struct.pack("<I", 100_000), struct.pack("<I", 10)))
    archive = Archive(file, "real")
    assert archive.members[0].unpacked == 10
    with pytest.raises(Unreadable, match="damaged"):
        archive.read(archive.members[0], 10**9)
    with pytest.raises(Unreadable, match="damaged"):
        archive.reader(archive.members[0])(1000)


def test_encrypted_members_are_bad(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"a": b"x" * 50}, zipfile.ZIP_STORED)
    content = bytearray(file.read_bytes())
    directory = content.rfind(b"PK\x01\x02")
    content[directory + 8] |= 1
    file.write_bytes(content)
    archive = Archive(file, "real")
    with pytest.raises(Unreadable, match="is encrypted"):
        archive.read(archive.members[0], 100)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is no zip, or its end is missing"), (b"x" * 1000, "is no zip"), (b"PK\x05\x06" + bytes(5), "is no zip")],
)
def test_what_is_no_zip(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=message):
        Archive(tmp_path / "a.zip", "real (a.zip)")


def test_a_directory_that_claims_too_much_is_not_read(tmp_path: Path) -> None:
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 65_535, 65_535, 2**32 - 2, 0, 0)
    (tmp_path / "a.zip").write_bytes(bytes(100) + end)
    with pytest.raises(UserError, match=r"claims 65,535 members in a list of 4.3 GB"):
        Archive(tmp_path / "a.zip", "real")
    large = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 10**9, 10**9, 50, 0)[:52]
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, 100, 1)
    (tmp_path / "b.zip").write_bytes(bytes(100) + large + locator + end)
    with pytest.raises(UserError, match="claims 1,000,000,000 members"):
        Archive(tmp_path / "b.zip", "real")


def member(offset: int, packed: int, unpacked: int) -> Member:
    return Member("m", offset, packed, unpacked, 0, 8, False)


def test_overlapping_members_and_absurd_ratios_are_refused() -> None:
    check_members([member(0, 100, 150), member(130, 100, 150)], 1000, "real")
    for members in ([member(0, 100, 150), member(60, 100, 150)], [member(0, 100, 150)] * 2, [member(950, 100, 150)]):
        with pytest.raises(UserError, match="overlap or reach beyond its end"):
            check_members(members, 1000, "real")
    check_ratio(16_000_000, 10, "real")
    check_ratio(200_000_000, 1_000_000, "real")
    with pytest.raises(UserError, match=r"unpacks 1.0 MB into 200.0 MB, more than 200 times as much"):
        check_ratio(200_000_001, 1_000_000, "real")
    with pytest.raises(UserError, match=r"unpacks 100.0 kB into 20.1 MB"):  # of many small ones
        check_members([member(k * 1000, 900, 201_000) for k in range(100)], 100_000, "real")
