from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tests.data.making import encoded, opened, pictures, png_files, write_folder
from typer.testing import CliRunner

from uncollapse.cli import app
from uncollapse.data import inspect as module
from uncollapse.data.inspect import inspect, natural
from uncollapse.data.source import Pixels
from uncollapse.errors import UserError

X = pictures(12)


def text_of(given: object, **options: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120).print(inspect(given, **options).table())  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = png_files(X, [f"{k % 3}/{k:02}.png" for k in range(12)])
    copies = {"0/copy.bmp": encoded(X[0], "BMP"), "1/copy.png": files["0/00.png"], "2/twin.png": files["1/01.png"]}
    bad = {"2/x.png": b"<html>", "2/y.png": b"", "2/z.jpg": encoded(X[0], "JPEG")[:-100]}
    return write_folder(tmp_path / "f", {**files, **copies, **bad, "2/q.png": encoded(pictures(1, 9, colour=True)[0])})


def test_everything_in_a_folder_is_counted(folder: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    found = inspect(folder, progress=lambda done, count: seen.append((done, count)))
    assert (found.rows, found.tried, found.kind, found.form) == (16, 19, "images", "folder of images")
    assert found.labels == {"0": 5, "1": 5, "2": 6}
    assert dict(found.notes.sizes) == {(5, 7): 15, (9, 11): 1}
    assert dict(found.notes.channels) == {"grey": 15, "colour": 1}
    assert [name for name, _ in found.notes.bad] == ["2/x.png", "2/y.png", "2/z.jpg"]
    assert seen == [(16, 19)]
    assert found.content_hash == opened(folder).content_hash()


def test_duplicates_are_found_by_their_pixels_and_not_by_their_files(folder: Path) -> None:
    found = inspect(folder)
    assert found.groups == (("0/00.png", "0/copy.bmp", "1/copy.png"), ("1/01.png", "2/twin.png"))
    assert (found.repeated, found.group_count) == (3, 2)


def test_images_of_equal_bytes_and_other_shapes_are_no_duplicates() -> None:
    found = inspect([np.zeros((4, 6), np.uint8), np.zeros((6, 4), np.uint8), np.zeros((2, 4, 3), np.uint8)])
    assert found.repeated == 0


def test_json_holds_all_of_it(folder: Path) -> None:
    document = json.loads(json.dumps(inspect(folder).to_json(), allow_nan=False))
    assert document["rows"] == 16
    assert document["labels"] == {"0": 5, "1": 5, "2": 6}
    assert document["duplicates"]["listed"][1] == ["1/01.png", "2/twin.png"]
    assert document["duplicates"] | {"listed": None} == {"rows": 3, "groups": 2, "listed": None}
    assert document["bad"][1] == {"name": "2/y.png", "reason": "is empty"}
    assert document["features"] is None
    lowest, highest = (int(extreme([image.min(), image.max()])) for extreme, image in ((min, X), (max, X)))
    assert document["values"] == {"lowest": lowest, "highest": highest}
    assert f"values            {lowest} to {highest}" in text_of(folder)


def test_features_and_their_range(tmp_path: Path) -> None:
    rows = np.array([[1.0, -2.0], [np.nan, 3.0], [1.0, -2.0], [np.inf, 9.0]])
    np.save(tmp_path / "a.npy", rows)
    found = inspect(tmp_path / "a.npy")
    assert found.to_json()["features"] == {"width": 2, "lowest": -2.0, "highest": 9.0, "rows_not_finite": 2}
    assert found.groups == (("row 0", "row 2"),)
    text = text_of(tmp_path / "a.npy")
    assert "4 feature rows" in text
    assert "-2 to 9; 2 rows hold some that are not finite" in text
    with pytest.raises(UserError, match="holds no readable images to show"):
        found.picture(tmp_path / "x.png")


def test_statistics(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", mu=np.zeros(5), sigma=np.eye(5))
    found = inspect(tmp_path / "s.npz")
    assert (found.kind, found.width, found.rows) == ("statistics", 5, None)
    assert "unknown number of rows behind mean and covariance" in text_of(tmp_path / "s.npz")


def test_the_table_says_it_in_words(folder: Path) -> None:
    text = text_of(folder)
    for words in (
        "16 images; 3 more cannot be read",
        "15 x 5 x 7",
        "6 x 2",
        "3 rows repeat an earlier one, in 2 groups",
        "0/00.png = 0/copy.bmp = 1/copy.png",
        "2/x.png is no PNG, JPEG, WebP or BMP image but HTML",
    ):
        assert words in text


def test_a_set_without_a_single_readable_image_is_still_described(tmp_path: Path) -> None:
    found = inspect(write_folder(tmp_path / "f", {"a.png": b"", "b.png": b"x"}))
    assert (found.rows, found.tried, found.labels) == (0, 2, None)
    with pytest.raises(UserError, match="no readable images"):
        found.picture(tmp_path / "x.png")


def test_a_picture_shows_every_label_equally(folder: Path, tmp_path: Path) -> None:
    found = inspect(folder)
    assert [len(line) for line in found.shown] == [5, 5, 6]
    found.picture(tmp_path / "new" / "grid.png")
    with Image.open(tmp_path / "new" / "grid.png") as picture:
        assert picture.size[0] > 120 + 6 * 64
    many = inspect(np.zeros((3000, 4, 4), np.uint8), labels=np.arange(3000) % 40)
    assert [len(line) for line in many.shown] == [10] * 20
    assert all(row % 40 == number for number, line in enumerate(many.shown) for row in line)
    assert [len(line) for line in inspect(np.zeros((3000, 4, 4), np.uint8)).shown] == [64]


def test_a_picture_of_large_images_holds_few_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((12, 600, 600), np.uint8) + np.arange(0, 240, 20, dtype=np.uint8)[:, None, None]
    labels = [k % 2 for k in range(12)]
    inspect(images, labels=labels).picture(tmp_path / "at_once.png")
    files = png_files(list(images), [f"{k % 2}/{k}.png" for k in range(12)])
    found = inspect(write_folder(tmp_path / "large", files))
    fetched: list[int] = []
    fetch = found.source.fetch

    def counted(rows: Sequence[int]) -> list[Pixels]:
        fetched.append(len(rows))
        return fetch(rows)

    monkeypatch.setattr(module, "CHUNK_BYTES", 3_000_000)
    monkeypatch.setattr(found.source, "fetch", counted)
    found.picture(tmp_path / "few.png")
    assert fetched == [2] * 6
    np.testing.assert_array_equal(
        np.sort(np.asarray(Image.open(tmp_path / "few.png")), axis=None),
        np.sort(np.asarray(Image.open(tmp_path / "at_once.png")), axis=None),
    )


def test_labels_of_a_named_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,prompt\n1,a cat\n2,a dog\n3,a cat\n")
    with pytest.raises(UserError, match="has 'a cat' in line 2, column 2, where a number is wanted"):
        inspect(tmp_path / "a.csv")
    assert inspect(tmp_path / "a.csv", label_column="prompt").labels == {"a cat": 2, "a dog": 1}
    called = [str(tmp_path / "a.csv"), "--label-column", "prompt", "--json"]
    shown = CliRunner().invoke(app, ["data", "inspect", *called])
    assert json.loads(shown.stdout)["labels"] == {"a cat": 2, "a dog": 1}


def test_a_place_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"grid.png cannot be written .* choose another --out"):
        inspect(folder).picture(tmp_path / "file" / "grid.png")


def test_labels_are_sorted_as_people_do() -> None:
    assert sorted(["10", "9", "b", "a", "-1", "2.5"], key=natural) == ["-1", "2.5", "9", "10", "a", "b"]


def test_mnist(data_folder: Path) -> None:
    found = inspect(data_folder / "mnist" / "t10k-images-idx3-ubyte.gz")
    assert found.labels is not None
    assert list(found.labels.values()) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (found.rows, found.repeated) == (10_000, 0)
