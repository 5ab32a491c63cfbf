from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.making import encoded, pictures

from uncollapse.data.images import Unreadable
from uncollapse.data.items import Converter, Row, Unpacker, as_array, description, is_array
from uncollapse.errors import UserError

GREY, COLOUR = pictures(6), pictures(6, colour=True)


def unpack(*items: object) -> list[Row]:
    unpacker = Unpacker(place="real (x)")
    return [row for item in items for row in unpacker.rows(item)]


def pixels(row: Row) -> np.ndarray:
    converter = Converter(place="real (x)")
    converter.decide([row])
    return converter.pixels(row, 5)[0]


@pytest.mark.parametrize(
    "item",
    [
        Image.fromarray(GREY[0]),
        GREY[0],
        GREY[0].tolist(),
        GREY[0][None],
        torch.from_numpy(GREY[0].copy()),
        torch.from_numpy(GREY[0].copy())[None] / 255,
        encoded(GREY[0]),
        bytearray(encoded(GREY[0])),
        {"image": Image.fromarray(GREY[0])},
        {"bytes": encoded(GREY[0]), "path": None},
        {"image": {"bytes": encoded(GREY[0]), "path": "a.png"}},
        (GREY[0],),
    ],
)
def test_one_image_in_every_dress(item: object) -> None:
    (row,) = unpack(item)
    np.testing.assert_array_equal(pixels(row), GREY[0])
    assert row.label is None


def test_lists_of_two_lines_are_an_image_and_no_pair() -> None:
    (row,) = unpack([[1, 2, 3], [4, 5, 6]])
    assert pixels(row).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_path_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(COLOUR[0]))
    for item in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(pixels(unpack(item)[0]), COLOUR[0])
    with pytest.raises(Unreadable, match="no such file"):
        pixels(unpack(tmp_path / "gone.png")[0])


@pytest.mark.parametrize("label", [3, 3.0, "3", torch.tensor(3), np.int64(3), np.array([3]), torch.tensor([3])])
def test_a_label_beside_an_image(label: object) -> None:
    for item in ((COLOUR[0], label), [COLOUR[0], label], {"image": COLOUR[0], "label": label}):
        (row,) = unpack(item)
        assert row.label == "3"
        np.testing.assert_array_equal(pixels(row), COLOUR[0])


def test_batches_are_taken_apart() -> None:
    tensor = torch.from_numpy(COLOUR.copy()).permute(0, 3, 1, 2)
    for batch in (COLOUR, tensor):
        rows = unpack(batch)
        assert len(rows) == 6
        np.testing.assert_array_equal(np.stack([pixels(row) for row in rows]), COLOUR)
    rows = unpack((tensor, torch.arange(6)))
    assert [row.label for row in rows] == [str(k) for k in range(6)]


def test_a_short_last_batch_of_grey_images_stays_a_batch() -> None:
    """(3, h, w) alone is a colour image; after batches of that height and width it is three grey ones."""
    many = np.zeros((7, 9, 9), np.uint8)
    assert len(unpack(many)) == 7
    assert [len(unpack(many, many[:k])) for k in (1, 3, 4)] == [8, 10, 11]
    assert len(unpack(many[:3])) == 1
    assert len(unpack((many[:3], [0, 1, 2]))) == 3  # with a label each it is a batch anyway


def test_rows_of_features() -> None:
    (row,) = unpack(np.array([1.0, 2.0, 3.0]))
    converter = Converter(place="real (x)")
    assert converter.is_features(row)
    assert converter.features(row, None).tolist() == [1, 2, 3]
    with pytest.raises(UserError, match="feature rows of 4 and of 3 numbers"):
        converter.features(row, 4)
    with pytest.raises(UserError, match="mixes feature rows and images"):
        converter.features(unpack(GREY[0])[0], 3)
    rows = unpack((np.zeros((4, 2)), [0, 1, 2, 3]))
    assert [row.label for row in rows] == ["0", "1", "2", "3"]
    assert all(converter.is_features(row) for row in rows)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (object(), "gives a object; give an image of Pillow"),
        ({"picture": 1}, "gives dictionaries with picture; one key must be 'image'"),
        ((COLOUR[0], {"x": 1}), "gives a dict as a label"),
        ((COLOUR[0], COLOUR[1]), "gives a ndarray as a label"),
        ((COLOUR, [1, 2]), r"a batch of shape \(6, 5, 7, 3\) with other than 6 labels"),
        ([[1, 2], [3]], "no array"),
        (np.array(["a"]), "of type <U1"),
    ],
)
def test_other_things_are_refused(item: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        unpack(item)


def test_a_damaged_image_is_a_finding_and_a_bad_value_an_error() -> None:
    converter = Converter(place="real (x)")
    converter.decide([])
    with pytest.raises(Unreadable, match="is empty"):
        converter.pixels(Row(value=b"", label=None), 0)
    with pytest.raises(Unreadable, match="was lost"):
        converter.pixels(Row(value=Unreadable("was lost"), label=None), 0)
    with pytest.raises(UserError, match="value 7 in row 12"):
        converter.pixels(Row(value=np.full((2, 2), 7.0), label=None), 12)
    with pytest.raises(UserError, match="mixes images and feature rows"):
        converter.pixels(Row(value=np.zeros(4), label=None), 0)


def test_a_lazy_image_of_pillow_whose_file_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(pictures(1, 40)[0])[:-300])
    with Image.open(tmp_path / "a.png") as image, pytest.raises(Unreadable, match="is damaged"):
        pixels(Row(value=image, label=None))


def test_what_floats_mean_ignores_what_is_no_number() -> None:
    converter = Converter(place="real")
    converter.decide([Row(value=np.array([[np.nan, -0.5]]), label=None)])
    assert converter.scaling is not None
    assert converter.scaling.low == -1
    converter.decide([Row(value=np.array([[np.nan]]), label=None)])
    assert converter.scaling.low == 0


def test_arrays_and_their_descriptions() -> None:
    assert all(map(is_array, [GREY, torch.zeros(2, 2), [[1, 2], [3, 4]], [1.0, 2.0]]))
    assert not any(map(is_array, [[GREY[0]], [], Image.new("L", (2, 2)), [(GREY[0], 1)], range(3)]))
    assert as_array(torch.zeros(2, dtype=torch.bfloat16), "x")[0].dtype == np.float32
    assert description(GREY) == "ndarray of shape (6, 5, 7)"
    assert description(pictures) == "function pictures"
    assert description([GREY]) == "list"
