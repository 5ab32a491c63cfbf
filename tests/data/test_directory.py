from __future__ import annotations

import struct
import zipfile
from array import array
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import write_zip

from uncollapse.data.archives import Archive
from uncollapse.data.directory import Directory, check_members, check_ratio, read_directory
from uncollapse.errors import UserError


def read(file: Path) -> Directory:
    with file.open("rb") as stream:
        return read_directory(stream, file.stat().st_size, "real (x)")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_member_is_as_the_standard_library_sees_it(tmp_path: Path, compression: int) -> None:
    content = {"a.png": b"x" * 100, "ä/日.png": b"y", "folder/": b"", "empty": b""}
    file = write_zip(tmp_path / "a.zip", content, compression)
    with zipfile.ZipFile(file) as archive:
        wanted = [info for info in archive.infolist() if not info.is_dir()]
    found = list(read(file))
    assert [member.name for member in found] == ["a.png", "ä/日.png", "empty"]
    for member, info in zip(found, wanted, strict=True):
        assert (member.offset, member.packed, member.unpacked) == (
            info.header_offset,
            info.compress_size,
            info.file_size,
        )
        assert (member.checksum, member.method, member.flags) == (info.CRC, info.compress_type, info.flag_bits)


def test_names_of_old_programs_are_read_in_their_letters(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"aXb.png": b"x"})
    file.write_bytes(file.read_bytes().replace(b"aXb", b"a\x81b"))
    assert read(file).names == ["aüb.png"]


def test_long_archives_have_long_numbers(tmp_path: Path) -> None:
    """Zip64: numbers beyond 32 bits stand in an extra field and in an end of their own."""
    plain = write_zip(tmp_path / "a.zip", {"a.png": b"x" * 100, "b.png": b"y" * 50}, zipfile.ZIP_STORED)
    with plain.open("rb") as stream:
        members = list(read_directory(stream, plain.stat().st_size, "real"))
    content = plain.read_bytes()
    start = content.index(b"PK\x01\x02")
    entries = b""
    for member in members:
        extra = (
            struct.pack("<HH", 0x5455, 5)
            + b"times"
            + struct.pack("<HHQQQ", 1, 24, member.unpacked, member.packed, member.offset)
        )
        name = member.name.encode()
        entries += struct.pack(
            "<4s6HIII5HII", b"PK\x01\x02", 45, 45, 0, 0, 0, 0, member.checksum, 2**32 - 1, 2**32 - 1,
            len(name), len(extra), 0, 0, 0, 0, 2**32 - 1,
        ) + name + extra  # fmt: skip
    end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, len(entries), start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + len(entries), 1)
    short = struct.pack("<4s4HIIH", b"PK\x05\x06", 0, 0, 65_535, 65_535, 2**32 - 1, 2**32 - 1, 0)
    (tmp_path / "long.zip").write_bytes(content[:start] + entries + end + locator + short)
    assert list(read(tmp_path / "long.zip")) == members
    archive = Archive(tmp_path / "long.zip", "real")
    assert [archive.read(member, 1000) for member in archive.members] == [b"x" * 100, b"y" * 50]
    with zipfile.ZipFile(tmp_path / "long.zip") as opened:  # so it is a zip to others too
        assert opened.read("b.png") == b"y" * 50


def test_more_members_than_fit_into_16_bits(tmp_path: Path) -> None:
    """Their number is written modulo 2 ** 16 by programs that know no Zip64."""
    local = struct.pack("<4s5HIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 9, 0)
    entry = ("<4s6HIII5HII", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0)
    names = [f"{k:05}.png".encode() for k in range(66_000)]
    members = b"".join(local + name for name in names)
    entries = b"".join(struct.pack(*entry, k * (len(local) + 9)) + name for k, name in enumerate(names))
    end = struct.pack("<4s4HIIH", b"PK\x05\x06", 0, 0, 464, 464, len(entries), len(members), 0)
    (tmp_path / "a.zip").write_bytes(members + entries + end)
    directory = read(tmp_path / "a.zip")
    assert len(directory) == 66_000
    assert directory[65_999].name == "65999.png"
    with pytest.raises(IndexError):
        directory[66_000]


def test_a_number_of_members_that_is_wrong_is_damage(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"a": b"x", "b": b"y"})
    content = bytearray(file.read_bytes())
    content[-12] = 3
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged list of members"):
        read(file)


def test_a_directory_that_is_cut_or_spoiled_is_damage(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"a": b"x", "b": b"y"})
    content = file.read_bytes()
    start = content.index(b"PK\x01\x02")
    for broken in (content[:start] + b"QQ" + content[start + 2 :], content[:start] + content[start + 10 :]):
        file.write_bytes(broken)
        with pytest.raises(UserError, match="damaged list of members"):
            read(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is no zip, or its end is missing"), (b"x" * 1000, "is no zip"), (b"PK\x05\x06" + bytes(5), "is no zip")],
)
def test_what_is_no_zip(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.zip")


def test_a_directory_that_claims_too_much_is_not_read(tmp_path: Path) -> None:
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 65_535, 65_535, 2**32 - 2, 0, 0)
    (tmp_path / "a.zip").write_bytes(bytes(100) + end)
    with pytest.raises(UserError, match=r"claims 65,535 members in a list of 4.3 GB"):
        read(tmp_path / "a.zip")
    large = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 10**9, 10**9, 50, 0)[:52]
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, 100, 1)
    (tmp_path / "b.zip").write_bytes(bytes(100) + large + locator + end)
    with pytest.raises(UserError, match="claims 1,000,000,000 members"):
        read(tmp_path / "b.zip")


def made(*members: tuple[int, int, int]) -> Directory:
    """A directory of (offset, packed, unpacked)."""
    numbers = array("Q")
    for member in members:
        numbers.extend((*member, 0, 8, 0))
    return Directory([f"m{number}" for number in range(len(members))], numbers)


def test_overlapping_members_and_absurd_ratios_are_refused() -> None:
    check_members(made(), 0, "real")
    check_members(made((130, 100, 150), (0, 100, 150)), 1000, "real")
    for wrong in (made((0, 100, 150), (60, 100, 150)), made((0, 100, 150), (0, 100, 150)), made((950, 100, 150))):
        with pytest.raises(UserError, match="overlap or reach beyond its end"):
            check_members(wrong, 1000, "real")
    check_ratio(16_000_000, 10, "real", free=16_000_000)
    check_ratio(200_000_000, 1_000_000, "real", free=0)
    with pytest.raises(UserError, match=r"unpacks 1.0 MB into 200.0 MB, more than 200 times as much"):
        check_ratio(200_000_001, 1_000_000, "real", free=16_000_000)
    with pytest.raises(UserError, match=r"real: m1 unpacks 100 B into 17.0 MB"):
        check_members(made((0, 100, 150), (500, 100, 17_000_000)), 1000, "real")
    many = made(*((k * 1000, 900, 11_000_000) for k in range(100)))
    with pytest.raises(UserError, match=r"real unpacks 100.0 kB into 1.1 GB"):  # each of them is small enough
        check_members(many, 100_000, "real")
    check_members(many, 100_000, "real", free=2_000_000_000)


def test_memory_of_a_member_is_its_name_and_a_few_bytes() -> None:
    numbers = np.frombuffer(made(*((k * 1000, 900, 900) for k in range(1000)))._numbers, dtype=np.uint8)
    assert numbers.nbytes == 48 * 1000
