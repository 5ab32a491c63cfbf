from __future__ import annotations

import numpy as np
import pytest

from uncollapse.data.layout import Layout, image_layout, layout_of
from uncollapse.errors import UserError


@pytest.mark.parametrize(
    ("shape", "tensor", "upright"),
    [
        ((28, 28), False, (28, 28)),
        ((28, 30, 1), False, (28, 30)),
        ((1, 28, 30), False, (28, 30)),
        ((28, 30, 3), False, (28, 30, 3)),
        ((3, 28, 30), False, (28, 30, 3)),
        ((4, 28, 30), True, (28, 30, 4)),
        ((28, 30, 4), True, (28, 30, 4)),
        # both ends could be channels: the square reading, then the habit of the library
        ((3, 8, 4), False, (3, 8, 4)),
        ((3, 8, 4), True, (8, 4, 3)),
        ((3, 4, 4), False, (4, 4, 3)),
        ((4, 4, 3), True, (4, 4, 3)),
        ((3, 3, 3), False, (3, 3, 3)),
        ((3, 3, 3), True, (3, 3, 3)),
    ],
)
def test_images_are_turned_upright(shape: tuple[int, ...], tensor: bool, upright: tuple[int, ...]) -> None:
    layout = layout_of(shape, "real", tensor=tensor)
    block = np.random.default_rng(0).random((2, *shape))
    turned = layout.upright(block)
    assert layout.kind == "images"
    assert turned.shape == (2, *upright)
    if layout.first and layout.channels > 1:
        assert turned[1, 2, 1, 0] == block[1, 0, 2, 1]
    assert np.shares_memory(turned, block)


def test_a_cube_is_read_by_habit() -> None:
    block = np.arange(27).reshape(1, 3, 3, 3)
    assert layout_of((3, 3, 3), "real").upright(block)[0, 1, 2, 0] == block[0, 1, 2, 0]
    assert layout_of((3, 3, 3), "real", tensor=True).upright(block)[0, 1, 2, 0] == block[0, 0, 1, 2]


def test_one_axis_is_features() -> None:
    assert layout_of((17,), "real").kind == "features"


@pytest.mark.parametrize("shape", [(), (2, 3, 4, 5), (0,), (5, 0), (0, 5, 3)])
def test_other_numbers_of_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"real has rows of shape .* give feature rows"):
        layout_of(shape, "real")


def test_other_channels_are_refused() -> None:
    with pytest.raises(UserError, match=r"\(28, 28, 2\) in which no axis of 1, 3 or 4 channels"):
        layout_of((28, 28, 2), "real")


def test_rows_that_are_no_images_have_no_layout_of_one() -> None:
    assert image_layout((5,)) is None
    assert image_layout((6, 5, 2)) is None
    assert image_layout((6, 5)) == Layout(kind="images")
    assert image_layout((6, 5, 3)) == Layout(kind="images", channels=3, first=False)
    assert image_layout((3, 6, 5)) == Layout(kind="images", channels=3, first=True)
