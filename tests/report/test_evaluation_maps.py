from __future__ import annotations

import re

import numpy as np
import pytest

from uncollapse.report.evaluation_maps import keys, maps, planar
from uncollapse.report.evaluation_pictures import Array, Pictures


def pictures(places: Array, side: Array, **more: Array) -> Pictures:
    return Pictures(maps={"PCA": places.astype(np.float32)}, side=side.astype(np.int8), **more)  # type: ignore[arg-type]


def points(markup: str, kind: str) -> list[tuple[float, float]]:
    """Where a layer's marks stand."""
    found = re.search(rf'<path class="{kind}" d="([^"]*)"', markup)
    return (
        [] if found is None else [(float(x), float(y)) for x, y in re.findall(r"M(\S+) (-?[\d.]+?)(?=[hm])", found[1])]
    )


SQUARE = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)


def test_places_become_pixels_with_y_downwards() -> None:
    (found,) = maps(pictures(SQUARE, np.array([0, 0, 1, 2])), (), 100)
    # The margin is 6 % of the side on each side: 0 stands at 0.06 / 1.12 and 1 at 1.06 / 1.12 of 400.
    near, far = round(400 * 0.06 / 1.12, 1), round(400 * 1.06 / 1.12, 1)
    assert points(found.markup, "dot-real") == [(near, far), (near, near)]
    assert points(found.markup, "dot-fake") == [(far, far)]
    assert points(found.markup, "dot-other") == [(far, near)]
    assert "2 real and 1 generated points, 1 others" in found.caption


def test_each_map_says_what_it_shows() -> None:
    shown = Pictures(maps=dict.fromkeys(("Features", "PCA", "t-SNE"), SQUARE), side=np.array([0, 0, 1, 1], np.int8))
    captions = {found.title: found.caption for found in maps(shown, (), 100)}
    assert captions["Features"].startswith("The two features as they are, not turned.")
    assert captions["PCA"].startswith("Two main directions of all rows on the map, whatever side they are of:")


def test_marked_rows_are_always_among_the_points() -> None:
    rng = np.random.default_rng(0)
    n = 1000
    marked = np.zeros(2 * n, bool)
    marked[[5, 500, n + 7]] = True
    made = pictures(rng.normal(size=(2 * n, 2)), np.repeat([0, 1], n), marked=marked)
    (found,) = maps(made, (), 50)
    assert len(points(found.markup, "dot-real")) == len(points(found.markup, "dot-fake")) == 50
    assert len(points(found.markup, "ring-real")) == 2
    assert len(points(found.markup, "ring-fake")) == 1
    assert set(points(found.markup, "ring-real")) <= set(points(found.markup, "dot-real"))


def test_outliers_do_not_squeeze_the_rest_and_are_counted() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(size=(1000, 2))
    places[:2] = 500.0
    places[2] = np.nan
    (found,) = maps(pictures(places, np.zeros(1000)), (), 2000)
    drawn = np.array(points(found.markup, "dot-real"))
    assert np.ptp(drawn, axis=0).min() > 300
    gone = re.search(r"(\d+) points lie outside the picture", found.caption)
    assert gone is not None
    assert len(drawn) + int(gone[1]) == 1000
    assert 3 <= int(gone[1]) <= 40


@pytest.mark.parametrize("bad", [np.full((4, 2), np.nan), np.ones((4, 2))])
def test_maps_without_extent_are_drawn_all_the_same(bad: Array) -> None:
    (found,) = maps(pictures(bad, np.zeros(4)), (), 10)
    assert "nan" not in found.markup


def test_names_of_classes_stand_at_the_middle_and_never_overlap() -> None:
    places = np.array([[0, 0], [0, 2], [10, 10], [10, 12], [10.1, 10.1], [10.1, 12.1]], float)
    made = pictures(places, np.zeros(6), classes=np.array([0, 0, 1, 1, 2, 2], np.int16))
    (found,) = maps(made, ("a<b", "second", "third"), 10)
    assert re.findall(r"<text[^>]*>([^<]*)</text>", found.markup) == ["a&lt;b", "second"]
    assert maps(made, tuple(f"c{i}" for i in range(30)), 10)[0].markup.count("<text") == 0


def test_the_legend_names_only_what_appears() -> None:
    side = np.array([0, 0, 1, 1])
    assert [key.text for key in keys(pictures(SQUARE, side), "mine", "")] == ["real", "generated"]
    marked = np.array([True, False, True, False])
    texts = [key.text for key in keys(pictures(SQUARE, np.array([0, 0, 1, 2]), marked=marked), "mine", "theirs")]
    assert texts == [
        "real", "generated (mine)", "theirs", "real, and mine never comes near", "generated again and again by mine",
    ]  # fmt: skip
    alone = [key.text for key in keys(pictures(SQUARE, side, marked=marked), "mine", "")]
    assert alone[2:] == ["real, and the generator never comes near", "generated again and again"]
    assert keys(Pictures(), "mine", "") == []


@pytest.mark.parametrize(
    ("other", "text"),
    [("", "real, farthest from all fakes"), ("theirs", "real, farthest from all fakes of mine")],
)
def test_the_legend_does_not_say_never_of_what_a_perfect_generator_leaves_too(other: str, text: str) -> None:
    shown = pictures(SQUARE, np.array([0, 0, 1, 2]), marked=np.array([True, False, False, False]))
    texts = [key.text for key in keys(shown, "mine", other, surplus=False)]
    assert text in texts
    assert not any("never" in said for said in texts)


def test_two_dimensional_rows_share_one_window() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(500, 2)).astype(np.float32)
    fake = np.concatenate([real[:300] * 0.1, np.full((2, 2), 1e6), np.full((1, 2), np.nan)]).astype(np.float32)
    shots = planar(Pictures(points_real=real, points_fake=fake), 200)
    assert [shot.caption for shot in shots] == [
        "Real, density", "Generated, density", "Real, 200 points", "Generated, 200 points; 0.7 % outside the picture",
    ]  # fmt: skip
    assert all(shot.uri.startswith("data:image/png;base64,") for shot in shots)
    assert planar(Pictures(points_real=real), 200) == []
    assert planar(Pictures(points_real=real, points_fake=np.full((3, 2), np.nan)), 200) == []
