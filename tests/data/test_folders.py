from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import dataset_json, encoded, everything, opened, pictures, png_files, write_folder

from uncollapse.data.folders import HIDDEN, LINK_OUT, LINKED_FOLDER, OTHER, Folder
from uncollapse.data.labels import LOOSE
from uncollapse.errors import UserError

X = pictures()


def test_a_flat_folder_is_ordered_by_the_bytes_of_its_names(tmp_path: Path) -> None:
    names = ["b.png", "a.png", "B.PNG", "10.png", "9.png", "ä.png"]
    source = opened(write_folder(tmp_path / "f", png_files(X, names)))
    images, labels, found = everything(source)
    assert found == ["10.png", "9.png", "B.PNG", "a.png", "b.png", "ä.png"]
    assert labels is None
    for name, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(image, X[names.index(name)])
    assert (source.form, source.count, source.kind) == ("folder of images", 6, "images")


def test_endings_in_any_case_and_all_four_formats(tmp_path: Path) -> None:
    forms = {"a.PNG": "PNG", "b.JPG": "JPEG", "c.jpeg": "JPEG", "d.WebP": "WEBP", "e.bmp": "BMP"}
    folder = write_folder(tmp_path / "f", {name: encoded(X[0], form) for name, form in forms.items()})
    assert everything(opened(folder))[2] == sorted(forms)


def test_sub_folders_are_labels(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", png_files(X[:3], ["dog/2.png", "cat/x/1.png", "cat/0.png"]))
    _, labels, names = everything(opened(folder))
    assert names == ["cat/0.png", "cat/x/1.png", "dog/2.png"]
    assert labels == ["cat", "cat", "dog"]


def test_dataset_json_comes_before_sub_folders(tmp_path: Path) -> None:
    files = png_files(X[:2], ["s/0.png", "s/1.png"])
    folder = write_folder(tmp_path / "f", {**files, "dataset.json": dataset_json({"s/1.png": 7, "s/0.png": 3})})
    assert everything(opened(folder))[1] == ["3", "7"]


def test_other_hidden_and_linked_files_are_left_out_and_counted(tmp_path: Path) -> None:
    outside = write_folder(tmp_path / "outside", png_files(X[:1], ["secret.png"]))
    folder = write_folder(
        tmp_path / "f",
        {
            **png_files(X[:2]),
            "._0.png": b"x",
            ".git/9.png": b"x",
            "notes.txt": b"x",
            "Thumbs.db": b"x",
            "movie.gif": b"x",
        },
    )
    (folder / "out.png").symlink_to(outside / "secret.png")
    (folder / "within.png").symlink_to(folder / "0.png")
    (folder / "folder").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere.png").symlink_to(folder / "gone.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "directory.png").mkdir()
    source = opened(folder)
    assert everything(source)[2] == ["0.png", "1.png", "within.png"]
    assert dict(source.notes.policies) == {LINK_OUT: 1, LINKED_FOLDER: 2, HIDDEN: 2, OTHER: 5}


def test_a_dataset_json_that_is_a_link_out_of_the_folder_is_left_out(tmp_path: Path) -> None:
    outside = write_folder(tmp_path / "outside", {"secret.json": dataset_json({"0.png": 7, "1.png": 3})})
    folder = write_folder(tmp_path / "f", png_files(X[:2]))
    (folder / "dataset.json").symlink_to(outside / "secret.json")
    source = opened(folder)
    assert everything(source)[1] is None
    assert dict(source.notes.policies) == {LINK_OUT: 1}
    (folder / "dataset.json").unlink()
    (folder / "labels.txt").write_bytes(dataset_json({"0.png": 7, "1.png": 3}))
    (folder / "dataset.json").symlink_to(folder / "labels.txt")
    assert everything(opened(folder))[1] == ["7", "3"]


def test_one_image_beside_folders_is_named_as_why_there_are_no_labels(tmp_path: Path) -> None:
    source = opened(write_folder(tmp_path / "f", png_files(X[:3], ["preview.png", "cat/0.png", "dog/1.png"])))
    assert everything(source)[1] is None
    assert dict(source.notes.policies) == {LOOSE: 1}


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", png_files(X))
    (tmp_path / "link").symlink_to(folder)
    assert everything(opened(tmp_path / "link"))[2] == everything(opened(folder))[2]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"holds no image \(.png, .jpg, .jpeg, .webp, .bmp\); give a folder that does"),
        ({"a.tif": b"x", "b.tif": b"x", "c": b"x"}, "it holds 2 x .tif, 1 x no ending; give a folder"),
    ],
)
def test_a_folder_without_images_says_what_is_there(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(UserError, match=message):
        opened(write_folder(tmp_path / "f", files))


def test_links_that_are_not_followed_are_named_where_nothing_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.png").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="1 links leave the folder or lead to folders and are not followed"):
        opened(tmp_path / "f")


def test_a_file_that_is_gone_or_became_a_pipe_is_a_bad_row(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", png_files(X))
    source = opened(folder, max_bad=0.5)
    (folder / "0.png").unlink()
    (folder / "1.png").unlink()
    os.mkfifo(folder / "1.png")
    assert everything(source)[2] == ["2.png", "3.png", "4.png", "5.png"]
    assert source.notes.bad == [
        ("0.png", "cannot be opened (no such file or directory)"),
        ("1.png", "is no regular file"),
    ]


def test_a_huge_dataset_json_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", png_files(X[:1]))
    with (folder / "dataset.json").open("wb") as file:
        file.truncate(600_000_000)  # a hole, not a byte on the disk
    with pytest.raises(UserError, match=r"dataset.json of 600.0 MB, more than 512.0 MB"):
        Folder(folder, "real (f)")


def test_a_huge_image_file_is_a_bad_row(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", png_files(X))
    with (folder / "0.png").open("wb") as file:
        file.truncate(300_000_000)
    source = opened(folder, max_bad=0.5)
    assert len(everything(source)[0]) == 5
    assert source.notes.bad == [("0.png", "has 300.0 MB, more than 256.0 MB for one image")]
