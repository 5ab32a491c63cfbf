"""Reading the user's images: one size, grey or colour, labels, and when they are read again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.making import dataset_json, encoded, png_files, write_folder, write_tar, write_zip

from uncollapse.errors import UserError
from uncollapse.tasks import folder_files
from uncollapse.tasks.folder_files import label_counts, read_folder, stamps


def squares(count: int = 4, side: int = 12, *, colour: bool = True) -> list[np.ndarray]:
    shape = (count, side, side, 3) if colour else (count, side, side)
    return list(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_squares_of_one_size_stay_as_they_are(form: str, tmp_path: Path) -> None:
    images = squares()
    files = png_files(images, [f"{'ab'[k % 2]}/{k}.png" for k in range(4)])
    write = {"folder": write_folder, "zip": write_zip, "tar": write_tar}[form]
    found = read_folder(write(tmp_path / f"mine{'' if form == 'folder' else '.' + form}", files), size=None, grey=None)
    assert found.images.shape == (4, 3, 12, 12)
    # Ordered by path, a/0, a/2, b/1, b/3, where reading need not be from start to end.
    order = [0, 1, 2, 3] if form == "tar" else [0, 2, 1, 3]
    np.testing.assert_array_equal(found.images.numpy(), np.stack(images)[order].transpose(0, 3, 1, 2))
    assert found.labels == tuple("ab"[k % 2] for k in order)


def test_an_array_file_and_labels_of_a_dataset_json(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", images=np.stack(squares(colour=False)), labels=[1, 1, 0, 1])
    found = read_folder(tmp_path / "mine.npz", size=None, grey=None)
    assert (tuple(found.images.shape), found.labels) == ((4, 12, 12), ("1", "1", "0", "1"))
    labels = dataset_json({"0.png": 3, "1.png": 5, "2.png": 3})
    folder = write_folder(tmp_path / "stylegan", {**png_files(squares(3)), "dataset.json": labels})
    assert read_folder(folder, size=None, grey=None).labels == ("3", "5", "3")


def test_other_sizes_become_32_unless_a_size_is_asked_for(tmp_path: Path) -> None:
    mixed = [*squares(2, 12), *squares(2, 20)]
    folder = write_folder(tmp_path / "mixed", png_files(mixed))
    assert read_folder(folder, size=None, grey=None).images.shape == (4, 3, 32, 32)
    asked = read_folder(folder, size=20, grey=None).images
    assert asked.shape == (4, 3, 20, 20)
    np.testing.assert_array_equal(asked[2:].numpy(), np.stack(mixed[2:]).transpose(0, 3, 1, 2))
    large = write_folder(tmp_path / "large", png_files(squares(2, 65)))
    assert read_folder(large, size=None, grey=None).images.shape == (2, 3, 32, 32)
    tall = np.zeros((40, 20), np.uint8)
    tall[:20] = 255  # the upper half stays the upper half when the picture is stretched to a square
    stretched = read_folder(write_folder(tmp_path / "tall", {"a.png": encoded(tall)}), size=None, grey=None).images
    assert stretched.shape == (1, 32, 32)
    assert (stretched[0, :14] == 255).all()
    assert (stretched[0, 18:] == 0).all()


def test_grey_where_all_look_grey_or_where_asked(tmp_path: Path) -> None:
    plain = squares(3, colour=False)
    stored = [np.repeat(plain[0][..., None], 3, axis=2), *plain[1:]]  # one is stored in colour
    folder = write_folder(tmp_path / "plain", png_files(stored))
    found = read_folder(folder, size=None, grey=None)
    np.testing.assert_array_equal(found.images.numpy(), np.stack(plain))
    assert read_folder(folder, size=None, grey=False).images.shape == (3, 3, 12, 12)
    red = write_folder(tmp_path / "red", {"a.png": encoded(Image.new("RGB", (12, 12), (255, 0, 0)))})
    # ITU-R 601: .299 of 255 is 76.2.
    assert read_folder(red, size=None, grey=True).images.unique().tolist() == [76]


def test_one_label_is_none(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", png_files(squares(2), ["cats/0.png", "cats/1.png"]))
    assert read_folder(folder, size=None, grey=None).labels is None
    assert list(label_counts(("b", "a", "b"))) == [("a", 1), ("b", 2)]


def test_files_are_read_again_only_when_they_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "mine", png_files(squares(4), [f"{k}/{k}.png" for k in range(4)]))
    opened = []
    real = folder_files.open_source
    monkeypatch.setattr(folder_files, "open_source", lambda *a, **k: opened.append(1) or real(*a, **k))
    first = read_folder(folder, size=12, grey=False)
    assert read_folder(folder, size=12, grey=False) is first
    assert len(opened) == 1
    (folder / "3/3.png").write_bytes(encoded(np.zeros((12, 12, 3), np.uint8)))
    changed = read_folder(folder, size=12, grey=False)
    assert changed.sha256 != first.sha256
    assert len(opened) == 2
    before = stamps(folder)
    os.utime(folder / "0/0.png", (1, 1))
    assert stamps(folder) != before
    assert read_folder(folder, size=12, grey=False).sha256 == changed.sha256
    assert stamps(tmp_path / "missing") == ()


def test_the_hash_is_of_pixels_and_labels(tmp_path: Path) -> None:
    names = ["a/0.png", "a/1.png", "b/2.png", "b/3.png"]
    one = write_folder(tmp_path / "one", png_files(squares(4), names))
    other = write_zip(tmp_path / "other.zip", png_files(squares(4), names))
    renamed = write_folder(tmp_path / "renamed", png_files(squares(4), [name.replace("b", "c") for name in names]))
    hashes = [read_folder(path, size=None, grey=None).sha256 for path in (one, other, renamed)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_holds_no_images_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((60, 3)))
    with pytest.raises(UserError, match=r"rows.npy holds features and no images; use array:FILE for rows of numbers"):
        read_folder(tmp_path / "rows.npy", size=None, grey=None)
    with pytest.raises(UserError, match=r"folder \(.*missing\) does not exist; give a folder of images"):
        read_folder(tmp_path / "missing", size=None, grey=None)
    # A name that could be a module's is never imported.
    with pytest.raises(UserError, match=r"folder \(json:loads\) does not exist"):
        read_folder(Path("json:loads"), size=None, grey=None)
    broken = write_folder(tmp_path / "broken", {**png_files(squares(3)), "9.png": b"no image"})
    with pytest.raises(UserError, match=r"1 of 4 rows"):
        read_folder(broken, size=None, grey=None)


def test_too_many_unreadable_images_are_refused_without_an_option_that_training_lacks(tmp_path: Path) -> None:
    files = {**png_files(squares(4)), "bad.png": b"no image"}
    with pytest.raises(UserError, match=r"1 of 5 rows cannot .*bad\.png .*Repair or remove them, as here") as told:
        read_folder(write_folder(tmp_path / "mine", files), size=None, grey=None)
    assert "max" not in str(told.value)
    few = {**png_files(squares(100, 4)), "bad.png": b"no image"}
    assert len(read_folder(write_folder(tmp_path / "few", few), size=None, grey=None).images) == 100
