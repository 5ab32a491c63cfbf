"""Whatever bytes a file holds, reading it ends in the right rows or in one sentence, and soon."""

from __future__ import annotations

import importlib.util
import io
import json
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.data.hostile import SUFFIXES, valid_files
from tests.data.making import encoded, opened, pictures
from tests.laws.chance import search, searched

from uncollapse.errors import UserError

LONGEST = 10.0  # seconds for one file
PNG = encoded(pictures()[0])
OPTIONAL = all(importlib.util.find_spec(name) for name in ("pyarrow", "h5py"))
FILES = {name: content for name, content in valid_files(optional=OPTIONAL).items() if "/" not in name}
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12)


def read(what: Path) -> np.ndarray | None:
    """The features that are read, None of images or of a refusal; anything else than a sentence fails the test."""
    start = time.perf_counter()
    found = None
    try:
        source = opened(what, max_bad=0.5)
        chunks = list(source.chunks(4))
        rows = sum(len(chunk) for chunk in chunks)
        assert rows or source.kind == "statistics"
        source.content_hash()
        if source.kind == "images":
            source.fetch([rows - 1])
        elif chunks:
            found = np.concatenate([chunk.features for chunk in chunks if chunk.features is not None])
    except UserError as refused:
        message = str(refused)
        assert "\n" not in message
        assert message.endswith(".")
        assert len(message) < 1500
        assert not set(message) & set("\x1b\x07\r\u202e\u2066")
    assert time.perf_counter() - start < LONGEST
    return found


@searched(50)
def test_any_bytes_under_any_ending(examples: int, tmp_path: Path) -> None:
    @search(examples)
    @given(ending=st.sampled_from(SUFFIXES), content=st.binary(max_size=400))
    def law(ending: str, content: bytes) -> None:
        file = tmp_path / f"x{ending}"
        file.write_bytes(content)
        read(tmp_path if ending == ".png" else file)
        file.unlink()

    law()


@searched(60)
def test_any_valid_file_with_any_stretch_replaced(examples: int, tmp_path: Path) -> None:
    @search(examples)
    @given(
        name=st.sampled_from(sorted(FILES)), at=st.floats(0, 1), length=st.integers(0, 40), put=st.binary(max_size=40)
    )
    def law(name: str, at: float, length: int, put: bytes) -> None:
        content = FILES[name]
        place = int(at * len(content))
        file = tmp_path / name
        file.write_bytes(content[:place] + put + content[place + length :])
        read(file)

    law()


@searched(25)
def test_any_header_of_a_numpy_file(examples: int, tmp_path: Path) -> None:
    numbers = st.integers(-2, 2**70) | st.integers(0, 6)
    header = st.fixed_dictionaries(
        {
            "descr": st.sampled_from(
                ["<f4", ">f8", "|u1", "|O", "<U3", "<c8", "<M8[s]", [("a", "<f4")], "nonsense", 3]
            ),
            "fortran_order": st.sampled_from([True, False, 1, "x"]),
            "shape": st.lists(numbers, max_size=5).map(tuple) | numbers | st.just("(2, 3)"),
        },
        optional={"more": st.none()},
    )
    text = header.map(repr) | st.text(max_size=60)

    @search(examples)
    @given(text=text, version=st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)]), content=st.binary(max_size=100))
    def law(text: str, version: tuple[int, int], content: bytes) -> None:
        body = text.encode("utf-8", "surrogatepass") + b"\n"
        length = struct.pack("<H" if version[0] == 1 else "<I", len(body))
        forged = b"\x93NUMPY" + bytes(version) + length + body + content
        (tmp_path / "x.npy").write_bytes(forged)
        read(tmp_path / "x.npy")
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("features.npy", forged)
        read(tmp_path / "x.npz")

    law()


@searched(25)
def test_any_header_of_an_idx_file(examples: int, tmp_path: Path) -> None:
    @search(examples)
    @given(
        kind=st.sampled_from([8, 9, 11, 12, 13, 14, 0, 255]),
        sizes=st.lists(st.integers(0, 5) | st.integers(0, 2**32 - 1), max_size=6),
        content=st.binary(max_size=200),
    )
    def law(kind: int, sizes: list[int], content: bytes) -> None:
        head = bytes([0, 0, kind, len(sizes)]) + b"".join(struct.pack(">I", size) for size in sizes)
        (tmp_path / "x-images-idx3-ubyte").write_bytes(head + content)
        read(tmp_path / "x-images-idx3-ubyte")

    law()


@searched(20)
def test_any_names_in_archives_and_folders(examples: int, tmp_path: Path) -> None:
    parts = st.lists(NAMES | st.sampled_from(["..", ".", "a\\b", "C:", "con"]), min_size=1, max_size=3)
    names = parts.map("/".join) | parts.map(lambda found: "/" + "/".join(found))
    content = st.sampled_from([PNG, b"", b"no image"]) | st.binary(max_size=20)
    before = set(tmp_path.parent.iterdir())

    @search(examples)
    @given(members=st.lists(st.tuples(names, st.sampled_from([".png", ".json", ""]), content), max_size=5))
    def law(members: list[tuple[str, str, bytes]]) -> None:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            for name, ending, data in members:
                if not any(item.filename == f"{name}{ending}" for item in archive.infolist()):
                    archive.writestr(zipfile.ZipInfo(f"{name}{ending}"), data)
        read(tmp_path / "x.zip")
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        for number, (name, ending, data) in enumerate(members):
            (folder / f"{number}{name.replace('/', '_')[:40]}{ending}").write_bytes(data)
        read(folder)
        for file in folder.iterdir():
            file.unlink()
        assert set(tmp_path.parent.iterdir()) == before  # no name leads out

    law()


@searched(20)
def test_any_dataset_json(examples: int, tmp_path: Path) -> None:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("0.png")
    anything = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner), max_leaves=12
    )
    document = st.fixed_dictionaries({}, optional={"labels": anything, "classes": anything}) | anything
    (tmp_path / "0.png").write_bytes(PNG)
    (tmp_path / "1.png").write_bytes(PNG)

    @search(examples)
    @given(document=document)
    def law(document: Any) -> None:
        (tmp_path / "dataset.json").write_text(json.dumps(document))
        read(tmp_path)

    law()


@searched(25)
def test_any_text_as_a_table(examples: int, tmp_path: Path) -> None:
    cell = st.floats().map(str) | st.integers(-9, 9).map(str) | st.text(max_size=6)
    table = st.lists(st.lists(cell, max_size=4).map(",".join), max_size=5).map("\n".join)

    @search(examples)
    @given(text=table | st.text(max_size=60))
    def law(text: str) -> None:
        (tmp_path / "x.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
        read(tmp_path / "x.csv")

    law()


@searched(12)
@pytest.mark.parametrize("form", ["npy", "npz", "compressed"])
def test_any_matrix_of_numbers_comes_back(examples: int, tmp_path: Path, form: str) -> None:
    kinds = arrays.floating_dtypes(sizes=(16, 32, 64)) | arrays.integer_dtypes() | arrays.unsigned_integer_dtypes()
    matrices = kinds.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6)))

    @search(examples)
    @given(matrix=matrices, order=st.sampled_from("CF"))
    def law(matrix: np.ndarray, order: str) -> None:
        given = np.asarray(matrix, order=order)
        stream = io.BytesIO()
        if form == "npy":
            np.save(stream, given)
        else:
            (np.savez if form == "npz" else np.savez_compressed)(stream, features=given)
        file = tmp_path / ("x.npy" if form == "npy" else "x.npz")
        file.write_bytes(stream.getvalue())
        found = read(file)
        assert found is not None, "rows of numbers were refused"
        assert found.dtype == (np.float32 if given.dtype.kind == "f" and given.itemsize <= 4 else np.float64)
        np.testing.assert_array_equal(found, given.astype(found.dtype))

    law()
