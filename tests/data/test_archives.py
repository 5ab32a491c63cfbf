from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import write_zip

from uncollapse.data.archives import Archive
from uncollapse.data.directory import Member
from uncollapse.data.images import Unreadable

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
