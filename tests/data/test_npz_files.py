"""Arrays come back as they were written, or the file is refused in one sentence; what a file claims costs nothing."""

from __future__ import annotations

import copy
import io
import os
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.making import write_zip

from uncollapse.data.npz_files import BLOCK, NpzFile, check_size
from uncollapse.errors import UserError

RNG = np.random.default_rng(0)
WRITTEN: dict[str, np.ndarray] = {
    "samples": RNG.normal(size=(2, 30, 2)).astype(np.float32),
    "labels": np.tile(np.arange(30) % 3, (2, 1)),
}
SMALL = {"samples": np.arange(6, dtype=np.float32).reshape(1, 3, 2), "labels": np.zeros((1, 3), np.int64)}


def everything(file: Path) -> dict[str, np.ndarray]:
    """All arrays of a file."""
    opened = NpzFile(file, file.name)
    return {name: opened.read(name) for name in opened.names}


def refusal(file: Path) -> str:
    """The one sentence with which both ways to read a file refuse it."""
    messages = []
    for read in (everything, lambda file: NpzFile(file, file.name).verify()):
        with pytest.raises(UserError) as caught:
            read(file)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    assert messages[0].endswith(".")
    return messages[0]


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    """The beginning of a .npy file that announces this shape."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_they_were_written(tmp_path: Path, save: Any) -> None:
    arrays = {
        **WRITTEN,
        "columns": np.asfortranarray(RNG.normal(size=(4, 5))),
        "long": RNG.integers(0, 9, size=BLOCK + 100_000, dtype=np.uint8),
        "none": np.zeros((0, 3), np.float32),
        "one": np.array(7.5),
        "other order": np.arange(5, dtype=">i4"),
        "texts": np.array(["cat", "ü"]),
        "yes": np.array([True, False]),
    }
    save(tmp_path / "a.npz", **arrays)
    found = everything(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable
    NpzFile(tmp_path / "a.npz", "a").verify()


def unnoticed(file: Path, written: dict[str, np.ndarray], at: int, change: int, content: bytes) -> bool:
    """Whether a changed byte gives other arrays than were written; a refusal must come from both ways to read."""
    changed = bytearray(content)
    changed[at] ^= change
    file.write_bytes(changed)
    try:
        found = everything(file)
    except UserError:
        refusal(file)
        return False
    NpzFile(file, file.name).verify()
    same = found.keys() == written.keys() and all(np.array_equal(found[name], written[name]) for name in written)
    return not same


def test_no_flipped_bit_in_the_list_of_members_goes_unnoticed_or_escapes(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **SMALL)
    content = (tmp_path / "a.npz").read_bytes()
    start = content.index(b"PK\x01\x02")
    places = [(at, 1 << bit) for at in range(start, start + 46 + len("samples.npy")) for bit in range(8)]
    assert not [place for place in places if unnoticed(tmp_path / "b.npz", SMALL, *place, content)]


def test_no_changed_byte_goes_unnoticed_or_escapes(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **SMALL)
    content = (tmp_path / "a.npz").read_bytes()
    assert not [at for at in range(len(content)) if unnoticed(tmp_path / "b.npz", SMALL, at, 0xFF, content)]


def test_an_encrypted_member_is_a_sentence(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **SMALL)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert refusal(tmp_path / "a.npz") == "a.npz: samples is encrypted; save it again."


def test_what_only_claims_to_be_long_asks_for_no_memory(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.npz", {"samples.npy": header((1, 10**11)) + bytes(100)})
    write_zip(tmp_path / "b.npz", {"samples.npy": header((10**12,), "<U0")})
    tracemalloc.start()
    assert "announces 400.0 GB of numbers in a file of 228 B; it is damaged or forged" in refusal(tmp_path / "a.npz")
    assert "holds texts or bytes of no length" in refusal(tmp_path / "b.npz")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_members_that_share_one_stream_are_refused_before_it_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples.npy", header((1_000_000,)) + bytes(4_000_000))
        for number in range(500):
            archive.filelist.append(copy.copy(archive.filelist[0]))
            archive.filelist[-1].filename = f"{number}.npy"
    assert "members that overlap" in refusal(tmp_path / "a.npz")


def test_numbers_and_sizes_are_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", **WRITTEN)
    assert everything(tmp_path / "a.npz")
    monkeypatch.setattr("uncollapse.data.npz_files.MOST_BYTES", 1000)
    assert "1.2 kB of numbers, more than the 1.0 kB that are read into memory" in refusal(tmp_path / "a.npz")
    check_size(1000, "x")
    with pytest.raises(UserError, match=r"^x has 1\.0 kB of numbers"):
        check_size(1001, "x")
    monkeypatch.setattr("uncollapse.data.npz_files.MOST_ARRAYS", 1)
    assert "has 2 arrays, more than 1; give fewer" in refusal(tmp_path / "a.npz")
    monkeypatch.setattr("uncollapse.data.npz_files.RATIO_FREE_ARRAY", 50_000_000)
    monkeypatch.setattr("uncollapse.data.directory.RATIO_FREE_TOTAL", 50_000_000)
    np.savez_compressed(tmp_path / "b.npz", samples=np.zeros(60_000_000, np.uint8))
    assert "made to exhaust its reader" in refusal(tmp_path / "b.npz")


def test_what_is_no_file_or_no_npz_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", tmp_path, tmp_path / "gone.npz"):
        assert refusal(path).endswith("is no file that can be read.")
    np.save(tmp_path / "a.npy", WRITTEN["samples"])
    (tmp_path / "b.npz").write_bytes(b"")
    for name in ("a.npy", "b.npz"):
        assert "is no zip, or its end is missing" in refusal(tmp_path / name)
    write_zip(tmp_path / "c.npz", {"samples.npy": b"text"})
    assert "c.npz: samples.npy is no readable .npy file" in refusal(tmp_path / "c.npz")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", samples=np.array([{}], dtype=object))
    assert "never loaded" in refusal(tmp_path / "a.npz")


def test_a_member_under_another_name_is_damage(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **SMALL)
    content = (tmp_path / "a.npz").read_bytes()
    start = content.index(b"PK\x01\x02")
    (tmp_path / "a.npz").write_bytes(content[:start] + content[start:].replace(b"samples", b"simples"))
    assert "simples bears another name in the list of members" in refusal(tmp_path / "a.npz")
