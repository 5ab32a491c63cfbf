from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import everything, features, opened, pictures, write_idx

from uncollapse.data.idx import is_idx, labels_beside, read_idx
from uncollapse.errors import UserError

X = pictures(9)


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("labels_packed", ["", ".gz"])
@pytest.mark.parametrize(
    "names", [("t-images-idx3-ubyte", "t-labels-idx1-ubyte"), ("t-images.idx3-ubyte", "t-labels.idx1-ubyte")]
)
def test_images_find_their_labels(tmp_path: Path, packed: str, labels_packed: str, names: tuple[str, str]) -> None:
    images = write_idx(tmp_path / f"{names[0]}{packed}", X)
    write_idx(tmp_path / f"{names[1]}{labels_packed}", np.arange(9))
    source = opened(images)
    found, labels, _ = everything(source)
    np.testing.assert_array_equal(np.stack(found), X)
    assert labels == [str(k) for k in range(9)]
    assert source.form == "IDX file"


def test_images_without_labels_and_labels_without_images(tmp_path: Path) -> None:
    images = write_idx(tmp_path / "t-images-idx3-ubyte", X)
    assert not opened(images).labelled
    write_idx(tmp_path / "t-labels-idx1-ubyte", np.arange(8))
    with pytest.raises(UserError, match="has 9 rows and 8 labels"):
        opened(images)
    with pytest.raises(UserError, match="as labels are kept; give the file of the images"):
        opened(tmp_path / "t-labels-idx1-ubyte")
    assert labels_beside(tmp_path / "other.idx") is None


@pytest.mark.parametrize(("kind", "dtype"), [(0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")])
def test_other_types_of_numbers(tmp_path: Path, kind: int, dtype: str) -> None:
    rows = np.array([[1, -2, 3], [4, 5, -6]]).astype(dtype)
    (tmp_path / "a.idx").write_bytes(struct.pack(">HBBII", 0, kind, 2, 2, 3) + rows.tobytes())
    np.testing.assert_array_equal(features(opened(tmp_path / "a.idx")), rows.astype(float))


def test_names() -> None:
    assert all(map(is_idx, ["train-images-idx3-ubyte", "a.idx3-ubyte.gz", "A.IDX", "a.idx3", "a.idx.gz"]))
    assert not any(map(is_idx, ["a.gz", "idx.png", "a.idx.zip"]))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file, or cut off"),
        (b"\0\0\x08", "no IDX file, or cut off"),
        (b"\0\0\x08\x03\0\0", "no IDX file, or cut off"),
        (b"\x80\x04\x95abcdefgh", "no IDX file"),
        (struct.pack(">HBB", 0, 7, 1) + bytes(20), "no IDX file by its first bytes"),
        (struct.pack(">HBB4I", 0, 8, 4, 9, 9, 9, 9), "announces"),
        (struct.pack(">HBB2I", 0, 8, 2, 3, 3) + bytes(10), "announces"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "announces .* it is damaged or forged"),
        (struct.pack(">HBB2I", 0, 8, 2, 0, 5), "has no rows"),
    ],
)
def test_damaged_and_forged_files(tmp_path: Path, packed: bool, content: bytes, message: str) -> None:
    file = tmp_path / f"a.idx{'.gz' if packed else ''}"
    file.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(UserError, match=message):
        opened(file)


def test_gzip_that_is_damaged(tmp_path: Path) -> None:
    file = write_idx(tmp_path / "a.idx.gz", X)
    for content in (file.read_bytes()[:-20], b"no gzip at all", file.read_bytes()[:40] + b"\xff" * 40):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"cannot be read|no IDX file|announces"):
            opened(file)


def test_mnist_has_the_published_counts(data_folder: Path) -> None:
    labels = read_idx(data_folder / "mnist" / "t10k-labels-idx1-ubyte.gz", "labels")
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    source = opened(data_folder / "mnist" / "t10k-images-idx3-ubyte.gz", n=500)
    images, texts, names = everything(source, 100)
    rows = [int(name.split()[1]) for name in names]
    assert texts == [str(label) for label in labels[rows]]
    assert np.stack(images).shape == (500, 28, 28)
    assert np.stack(images).mean() == pytest.approx(33.79, abs=2)  # mean grey of the 10,000 is 33.79
