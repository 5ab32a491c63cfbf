from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import dataset_json, everything, opened, pictures, png_files, write_folder, write_zip

from uncollapse.data.zips import hidden
from uncollapse.errors import UserError

X = pictures()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_reads_as_the_folder_it_was_made_of(tmp_path: Path, compression: int) -> None:
    files = png_files(X, [f"k{i % 2}/{i}.png" for i in range(6)])
    archive = opened(write_zip(tmp_path / "a.zip", dict(reversed(files.items())), compression))
    folder = opened(write_folder(tmp_path / "f", files))
    there, here = everything(archive), everything(folder)
    assert there[1:] == here[1:]
    for one, other in zip(there[0], here[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert archive.content_hash() == folder.content_hash()
    np.testing.assert_array_equal(archive.fetch([4, 1])[1], here[0][1])
    assert archive.form == "zip archive"


def test_labels_by_dataset_json_at_its_own_place(tmp_path: Path) -> None:
    files = {**png_files(X[:2], ["d/0.png", "d/1.png"]), "d/dataset.json": dataset_json({"0.png": 5, "1.png": 6})}
    assert everything(opened(write_zip(tmp_path / "a.zip", files)))[1] == ["5", "6"]


def test_other_members_are_left_out(tmp_path: Path) -> None:
    files = {**png_files(X[:2]), "__MACOSX/._0.png": b"x", "a/.hidden.png": b"x", "read.me": b"x"}
    source = opened(write_zip(tmp_path / "a.zip", files))
    assert everything(source)[2] == ["0.png", "1.png"]
    assert dict(source.notes.policies) == {"hidden file left out": 2, "file that is no image by its ending left out": 1}
    assert [hidden(name) for name in ("../a.png", "./a.png", "a/..b.png")] == [False, False, True]


def test_a_member_that_is_damaged_or_packed_otherwise_is_a_bad_row(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", png_files(X), zipfile.ZIP_STORED)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("z.png", png_files(X[:1])["0.png"], zipfile.ZIP_LZMA)
        offset = archive.getinfo("2.png").header_offset
    content = bytearray(file.read_bytes())
    content[offset + 60] ^= 1
    file.write_bytes(content)
    source = opened(file, max_bad=0.5)
    assert everything(source)[2] == ["0.png", "1.png", "3.png", "4.png", "5.png"]
    assert source.notes.bad == [
        ("2.png", "is damaged in the archive"),
        ("z.png", "is packed by method 14; pack it by deflate or store it"),
    ]


def test_a_zip_without_images_and_a_broken_dataset_json(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no image"):
        opened(write_zip(tmp_path / "a.zip", {"a.txt": b"x"}))
    with pytest.raises(UserError, match=r"dataset.json that is not of the form"):
        opened(write_zip(tmp_path / "b.zip", {**png_files(X[:1]), "dataset.json": b"{"}))


def test_emoji_of_stylegans_layout(data_folder: Path) -> None:
    source = opened(data_folder / "emoji" / "emoji-64.zip")
    images, labels, _ = everything(source, 500)
    assert (len(images), source.notes.sizes[64, 64]) == (1911, 1911)
    assert len(set(labels or ())) == 10
    assert "Flags" in set(labels or ())
    assert source.notes.policies["transparency composited on white"] == 1911
    assert source.notes.policies["palette turned into colour"] == 2
    assert source.notes.channels["grey"] == 62
