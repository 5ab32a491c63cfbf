from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.making import cloud, digits, side

from uncollapse.evaluation import galleries
from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.galleries import Album, common_side, thumbnail
from uncollapse.features.pixels import Pixels

IMAGES, LABELS = digits()


def album(known: Known | None = None, *, labels: object = None) -> Album:
    sides = {
        role: side(images, role, extractor=Pixels(side=8), labels=labels)
        for role, images in (("real", IMAGES[:20]), ("fake", IMAGES[20:40]))
    }
    return Album(sides, known)


def test_each_row_is_fetched_once_and_stands_where_its_tiles_say() -> None:
    made = album()
    tiles = [made.tile("fake", 3), made.tile("real", 5, "0.31"), made.tile("fake", 3), made.tile("fake", 0)]
    assert [tile["thumb"] for tile in tiles] == [0, 1, 0, 2]
    assert tiles[1] == {"side": "real", "row": 5, "name": "row 5", "thumb": 1, "label": None, "note": "0.31"}
    thumbs = made.thumbs()
    assert thumbs.shape == (3, 64, 64, 3)
    for place, image in enumerate((IMAGES[23], IMAGES[5], IMAGES[20])):
        np.testing.assert_array_equal(thumbs[place], np.kron(image[..., None], np.ones((8, 8, 3), np.uint8)))


def test_large_images_are_held_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "HELD", 3 * 64 * 2)
    made = album()
    asked: list[int] = []
    source = made.sides["real"].source
    fetch = source.fetch
    monkeypatch.setattr(source, "fetch", lambda rows: asked.append(len(rows)) or fetch(rows))
    for row in range(5):
        made.tile("real", row)
    assert len(made.thumbs()) == 5
    assert asked == [2, 2, 1]


def test_labels_of_tiles_are_the_classes_or_the_given_labels() -> None:
    known = Known(source="labels", names=("a", "b"), of={"real": np.where(np.arange(20) == 4, -1, np.arange(20) % 2)})
    given = [f"label {row}" for row in range(20)]
    made = album(known, labels=given)
    assert made.tile("real", 3)["label"] == "b"
    assert made.tile("real", 4)["label"] is None
    assert made.tile("fake", 3)["label"] == "label 3"
    assert album().tile("fake", 3)["label"] is None


def test_vectors_have_tiles_without_pictures() -> None:
    made = Album({"real": side(cloud(20, 0))}, None)
    assert made.tile("real", 1)["thumb"] is None


def test_an_empty_gallery_is_left_out() -> None:
    made = album()
    made.add("none", "uncovered", "nothing", "", [[]])
    made.add("some", "uncovered", "Some", "A sentence.", [[made.tile("real", 1)], []])
    assert [(item["key"], len(item["tiles"])) for item in made.galleries] == [("some", 1)]


def test_a_row_of_tiles_says_of_how_many_rows_it_is_a_part() -> None:
    known = Known(source="labels", names=("a", "b"), of={"real": np.where(np.arange(20) == 4, -1, np.arange(20) % 2)})
    made = album(known)
    rows = [[], [made.tile("real", 1)], [made.tile("fake", 1)]]
    made.add("k", "cluster", "Some", "", rows, [("real", []), ("real", range(10)), ("fake", range(3))])
    assert made.galleries[0]["wholes"] == [
        # Row 4 has no label; of five rows each the first label met comes first.
        {"rows": 10, "labels": [["b", 5], ["a", 4]], "kinds": 2},
        {"rows": 3, "labels": [], "kinds": 0},
    ]
    made.add("l", "neighbours", "Others", "", [[made.tile("real", 1)]])
    assert "wholes" not in made.galleries[1]


def test_labels_without_a_name_are_no_label_and_many_are_counted() -> None:
    made = album(labels=["", *(f"label {row}" for row in range(19))])
    made.add("k", "cluster", "Some", "", [[made.tile("real", 1)]], [("real", range(20))])
    assert made.galleries[0]["wholes"][0]["kinds"] == 19
    given = album(labels=[f"label {row}" for row in range(20)])
    given._label = lambda role, row: f"label {row}"  # type: ignore[method-assign]
    given.add("k", "cluster", "Some", "", [[given.tile("real", 1)]], [("real", range(500))])
    whole = given.galleries[0]["wholes"][0]
    assert (whole["rows"], whole["kinds"], len(whole["labels"])) == (500, 500, galleries.MOST_LABELS)


@pytest.mark.parametrize(
    ("longest", "side_of_all"), [([8], 64), ([28, 20], 56), ([33], 33), ([64], 64), ([65], 64), ([5], 60), ([4000], 64)]
)
def test_thumbnails_are_enlarged_by_whole_factors(longest: list[int], side_of_all: int) -> None:
    assert common_side(longest) == side_of_all


def test_a_large_image_is_reduced_and_stands_in_the_middle_on_grey() -> None:
    image = np.zeros((100, 300, 3), np.uint8)
    image[..., 0] = 200
    small = thumbnail(image, 64)
    assert small.shape == (64, 64, 3)
    np.testing.assert_array_equal(small[0, 0], [128, 128, 128])
    np.testing.assert_array_equal(small[32, 32], [200, 0, 0])
    assert int((small[:, 32, 0] == 200).sum()) == 21
    assert thumbnail(np.zeros((1, 2000), np.uint8), 64).shape == (64, 64, 3)
