from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from uncollapse.errors import UserError
from uncollapse.features.resizing import (
    RESIZES,
    check_resize,
    common_size,
    looks_grey,
    prepare,
    to_colour,
    to_grey,
)

DRAWS = np.random.default_rng(0)
COLOUR = DRAWS.integers(0, 256, (20, 31, 3), dtype=np.uint8)
GREY = DRAWS.integers(0, 256, (20, 31), dtype=np.uint8)


def test_clean_is_pytorchs_antialiased_bicubic_cut_to_the_range() -> None:
    # PyTorch computes the same filter (Keys, a = -1/2, widened when shrinking) with code of its own.
    x = torch.from_numpy(COLOUR).permute(2, 0, 1)[None].float()
    for height, width in ((7, 9), (45, 64)):
        expected = torch.nn.functional.interpolate(x, (height, width), mode="bicubic", antialias=True).clamp(0, 255)
        found = prepare([COLOUR], height=height, width=width, colour=True)
        np.testing.assert_allclose(found, expected.numpy(), atol=2e-3)
    assert found.min() == 0
    assert found.max() == 255


def test_clean_does_not_round() -> None:
    assert (prepare([GREY], height=10, width=10, colour=False) % 1 > 0.01).mean() > 0.5


def test_legacy_is_tensorflow_1s_bilinear() -> None:
    # tf.image.resize_bilinear([[1, 2], [3, 4]], [4, 4]) in TensorFlow 1, align_corners=False.
    expected = [[1, 1.5, 2, 2], [2, 2.5, 3, 3], [3, 3.5, 4, 4], [3, 3.5, 4, 4]]
    found = prepare([np.array([[1, 2], [3, 4]], np.uint8)], height=4, width=4, colour=False, how="legacy")
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    # Halving takes every second pixel: nothing is averaged.
    halved = prepare([GREY], height=10, width=31, colour=False, how="legacy")
    np.testing.assert_array_equal(halved[0], GREY[::2])


@pytest.mark.parametrize("how", list(RESIZES))
def test_images_of_the_right_size_stay_as_they_are(how: str) -> None:
    np.testing.assert_array_equal(prepare([GREY], height=20, width=31, colour=False, how=check_resize(how))[0], GREY)
    found = prepare([COLOUR], height=20, width=31, colour=True, how=check_resize(how))
    np.testing.assert_array_equal(found[0].transpose(1, 2, 0), COLOUR)


def test_grey_is_pillows_luminance_without_its_rounding() -> None:
    pillow = np.asarray(Image.fromarray(COLOUR).convert("L"), dtype=float)
    assert np.abs(to_grey(COLOUR) - pillow).max() < 1.01
    assert to_grey(COLOUR).dtype == np.float32
    np.testing.assert_array_equal(to_grey(np.repeat(GREY[..., None], 3, 2)), GREY)


def test_colour_repeats_grey() -> None:
    assert (to_colour(GREY) == GREY[..., None]).all()
    assert looks_grey(GREY)
    assert looks_grey(np.repeat(GREY[..., None], 3, 2))
    assert not looks_grey(COLOUR)


def test_the_common_size_is_voted_by_share_and_does_not_know_sides() -> None:
    small, large = [np.zeros((8, 8), np.uint8)], [np.zeros((30, 20), np.uint8)]
    # 3 of 4 images of one side are large, all of the other are small: 3/4 against 5/4.
    mixed = large * 3 + small
    assert common_size(mixed, small * 2, most=32) == common_size(small * 2, mixed, most=32) == (8, 8)
    assert common_size(mixed, [], most=32) == (30, 20)
    assert common_size(mixed, most=15) == (15, 10)
    assert common_size(large, small, most=32) == (8, 8)  # a tie goes to the smaller


def test_unknown_ways_are_named() -> None:
    with pytest.raises(UserError, match="did you mean 'clean'"):
        check_resize("clen")
