from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from uncollapse.report.raster import BANDWIDTH, Frame, centres, density, filled, grid, heat, scatter


def opened(uri: str) -> np.ndarray:
    prefix, _, data = uri.partition(",")
    assert prefix == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


FRAME = Frame(left=-1, bottom=-1, side=2)


def test_frame_is_square_and_holds_every_point() -> None:
    points = np.array([[0.0, 0.0], [4.0, 1.0], [np.nan, 2.0]])
    frame = Frame.around(points, margin=0.1)
    assert frame.side == pytest.approx(4 * 1.2)
    assert (frame.left, frame.left + frame.side) == pytest.approx((-0.4, 4.4))
    assert frame.outside(points[:2]) == 0
    assert Frame(left=0, bottom=0, side=1).outside(np.array([[0.5, 0.5], [3.0, 0.5]])) == pytest.approx(0.5)


def test_density_is_a_gaussian_of_the_stated_width() -> None:
    pixels = 200
    shown = density(np.zeros((10, 2)) + 1e-6, FRAME, pixels=pixels)
    assert shown.sum() == pytest.approx(1, abs=1e-6)
    across = shown.sum(0)
    at = np.arange(pixels)
    middle = (across * at).sum()
    spread = np.sqrt((across * (at - middle) ** 2).sum())
    assert spread == pytest.approx(BANDWIDTH * pixels, rel=0.02)


def test_filled_is_clear_where_nothing_is_and_full_at_the_top() -> None:
    picture = opened(filled(np.array([[0.0, 1.0], [0.1, 5.0]]), top=1.0, tone="#d8641b"))
    assert picture[0, 0, 3] == 0
    assert tuple(picture[0, 1]) == (0xD8, 0x64, 0x1B, 255)
    assert tuple(picture[1, 1]) == (0xD8, 0x64, 0x1B, 255)
    assert 0 < picture[1, 0, 3] < 255


def test_scatter_puts_the_point_where_it_belongs_and_leaves_out_the_rest() -> None:
    picture = opened(scatter(np.array([[0.5, 0.5], [9.0, 0.0], [np.nan, 0.0]]), FRAME, "#2b86c5", pixels=100))
    rows, columns = np.nonzero(picture[..., 3])
    # y points up: (0.5, 0.5) lies at 75 % from the left and 25 % from the top.
    assert columns.mean() + 0.5 == pytest.approx(75, abs=0.6)
    assert rows.mean() + 0.5 == pytest.approx(25, abs=0.6)


def test_overlapping_points_darken() -> None:
    one = opened(scatter(np.zeros((1, 2)), FRAME, "#2b86c5", pixels=50))[..., 3].max()
    many = opened(scatter(np.zeros((9, 2)), FRAME, "#2b86c5", pixels=50))[..., 3].max()
    assert one < many


def test_centres_are_rings() -> None:
    picture = opened(centres(np.zeros((1, 2)), FRAME, pixels=100))
    assert picture[50, 50, 3] == 0
    assert picture[..., 3].max() == 255


def test_grid_keeps_places_and_leaves_holes_clear() -> None:
    dark, bright = np.full((2, 2), -1.0), np.full((2, 2), 1.0)
    picture = opened(grid([[dark, None], [None, bright]], -1, 1, pixels=4))
    side = picture.shape[0]
    assert tuple(picture[0, 0]) == (0, 0, 0, 255)
    assert tuple(picture[-1, -1]) == (255, 255, 255, 255)
    assert picture[0, side - 1, 3] == 0
    assert grid([[None, None]], 0, 1) == ""


def test_grid_shows_colour() -> None:
    red = np.stack([np.ones((2, 2)), np.zeros((2, 2)), np.zeros((2, 2))])
    assert tuple(opened(grid([[red]], 0, 1, pixels=2))[0, 0]) == (255, 0, 0, 255)


def test_heat_is_one_pixel_a_value_and_its_ink_is_the_value() -> None:
    picture = opened(heat(np.array([[0.0, 0.5, 1.0], [-3.0, 0.2, 7.0]]), "#2b86c5"))
    assert picture.shape == (2, 3, 4)
    assert picture[..., 3].tolist() == [[0, 136, 255], [0, 51, 255]]
    assert picture[0, 2, :3].tolist() == [0x2B, 0x86, 0xC5]
