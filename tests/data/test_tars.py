from __future__ import annotations

import gzip
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import dataset_json, encoded, everything, opened, pictures, png_files, write_tar

from uncollapse.data.tars import NO_END, NO_LABEL
from uncollapse.errors import UserError

X = pictures()
NAMES = ("a.tar", "a.tar.gz", "a.tgz")


@pytest.mark.parametrize("name", NAMES)
def test_a_tar_keeps_its_own_order_and_folders_are_labels(tmp_path: Path, name: str) -> None:
    order = ["k1/5.png", "k0/4.png", "k1/3.png", "k0/2.png", "k1/1.png", "k0/0.png"]
    source = opened(write_tar(tmp_path / name, png_files(X, order)))
    images, labels, names = everything(source)
    assert names == order
    assert labels == ["k1", "k0"] * 3
    np.testing.assert_array_equal(np.stack(images), X)
    for row, image in zip([5, 0, 3], source.fetch([5, 0, 3]), strict=True):
        np.testing.assert_array_equal(image, X[row])
    assert (source.count, source.form) == (6, "tar archive")


@pytest.mark.parametrize("name", NAMES)
def test_webdataset_finds_labels_beside_images(tmp_path: Path, name: str) -> None:
    files = {
        "s/000.cls": b"7",
        "s/000.png": encoded(X[0]),
        "s/001.seg.png": encoded(X[1]),
        "s/001.json": b'{"label": "cat", "url": "x"}',
        "s/002.png": encoded(X[2]),
        "s/002.json": b"not json",
        "s/003.png": encoded(X[3]),
        "s/003.json": b'{"label": 1}',
        "s/003.cls": b" dog\n",
    }
    source = opened(write_tar(tmp_path / name, files))
    assert everything(source)[1] == ["7", "cat", "(no label)", "dog"]
    assert source.notes.policies[NO_LABEL] == 1


def test_dataset_json_in_a_tar(tmp_path: Path) -> None:
    files = {**png_files(X[:2], ["d/0.png", "d/1.png"]), "d/dataset.json": dataset_json({"0.png": 5, "1.png": 6})}
    assert everything(opened(write_tar(tmp_path / "a.tar", files)))[1] == ["5", "6"]


def test_a_tar_that_is_cut_off_or_damaged_does_not_pass_for_a_short_one(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", png_files(X)).read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        third = archive.getmembers()[2]
    header, content = third.offset, third.offset_data
    damaged = bytearray(whole)
    damaged[header + 20] ^= 1
    (tmp_path / "b.tar").write_bytes(damaged)
    with pytest.raises(UserError, match=rf"is no readable tar \(.*it is damaged at byte {header:,}\)"):
        opened(tmp_path / "b.tar")
    (tmp_path / "c.tar").write_bytes(whole[: content + 100])
    with pytest.raises(UserError, match="is no readable tar"):
        opened(tmp_path / "c.tar")
    (tmp_path / "d.tar").write_bytes(whole[:header])
    source = opened(tmp_path / "d.tar")
    assert source.notes.policies[NO_END] == 1
    assert source.count == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tar", b""),
        ("a.tar", b"x" * 5000),
        ("a.tar.gz", b"x" * 5000),
        ("a.tar.gz", gzip.compress(b"x" * 5000, mtime=0)),
        ("a.tgz", b"\x1f\x8b"),
    ],
)
def test_what_is_no_tar(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"is no readable tar|cannot be read|holds no image"):
        opened(tmp_path / name)


def test_gzip_that_ends_too_early_is_noticed(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "a.tar.gz", png_files(X))
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(UserError, match="is no readable tar"):
        opened(file)


def test_a_name_of_any_length_asks_for_no_memory(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "a.tar.gz", {"a" * 20_000_000 + ".png": b""})
    assert file.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(UserError, match=r"a member has a header of 20.0 MB, more than 1.0 MB"):
        opened(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000
    large = {"d/" * 2000 + "0.png": encoded(pictures(1, 700)[0])}  # an honest long name, and content above the cap
    large["dataset.json"] = dataset_json({"x" * 2_000_000: 1, next(iter(large)): 5})
    assert everything(opened(write_tar(file, large)))[1] == ["5"]


def test_a_tar_without_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no image by the endings"):
        opened(write_tar(tmp_path / "a.tar", {"a.txt": b"x"}))
