from __future__ import annotations

import numpy as np
import pytest

from uncollapse.data.images import ALPHA, SIXTEEN
from uncollapse.data.scaling import (
    DECIDING,
    FROM_BOOL,
    FROM_SIGNED,
    FROM_UNIT,
    Brightness,
    Scaling,
    check_whole,
    on_white,
)
from uncollapse.errors import UserError

UNIT = Scaling.decided(0.0, 1.0, "fake (x)")
SIGNED = Scaling.decided(-1.0, 1.0, "fake (x)")


def one(values: list[float], dtype: type | str) -> np.ndarray:
    return np.array(values, dtype=dtype).reshape(1, 1, -1)


def test_what_the_first_images_decide() -> None:
    assert [UNIT.low, SIGNED.low, Scaling.decided(-1e-7, 1.0, "x").low] == [0, -1, 0]


def test_floats_are_rounded_and_not_cut() -> None:
    """A value halfway between two bytes goes to the nearer one; cutting would lose half a step on average."""
    pixels, policies = UNIT.to_bytes(one([0, 0.4999 / 255, 0.5001 / 255, 254.6 / 255, 1], "f4"), (0,))
    assert pixels.ravel().tolist() == [0, 0, 1, 255, 255]
    assert policies == (FROM_UNIT,)
    pixels, policies = SIGNED.to_bytes(one([-1, 0, 1, -1 + 2 * 0.6 / 255], "f8"), (0,))
    assert pixels.ravel().tolist() == [0, 128, 255, 1]
    assert policies == (FROM_SIGNED,)


def test_every_byte_survives_the_way_there_and_back() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for dtype in ("f4", "f8"):
        unit, signed = every.astype(dtype) / 255, every.astype(dtype) / 127.5 - 1
        np.testing.assert_array_equal(UNIT.to_bytes(unit, (0,))[0], every)
        np.testing.assert_array_equal(SIGNED.to_bytes(signed, (0,))[0], every)
    np.testing.assert_array_equal(UNIT.to_bytes((every / 255).astype("f2"), (0,))[0], every)


def test_the_last_digit_of_a_float_may_leave_the_range() -> None:
    assert UNIT.to_bytes(one([-1e-6, 1 + 1e-6], "f8"), (0,))[0].ravel().tolist() == [0, 255]


@pytest.mark.parametrize(
    ("scaling", "value", "message"),
    [
        (
            UNIT,
            -0.3,
            r"fake \(x\) has the value -0.3 in row 5,123, outside of \[0, 1\], which its first 256 images lie in",
        ),
        (UNIT, 17.0, r"the value 17 in row 5,123, outside of \[0, 1\]"),
        (SIGNED, 1.01, r"the value 1.01 in row 5,123, outside of \[-1, 1\]"),
        (SIGNED, float("nan"), "the value nan in row 5,123"),
        (UNIT, float("inf"), "the value inf in row 5,123"),
    ],
)
def test_a_float_outside_is_named(scaling: Scaling, value: float, message: str) -> None:
    images = np.zeros((2, 3, 3))
    images[1, 2, 0] = value
    with pytest.raises(UserError, match=message):
        scaling.to_bytes(images, (5122, 5123))


def test_integers_lie_within_a_byte() -> None:
    assert UNIT.to_bytes(one([0, 255], "i8"), (0,))[0].ravel().tolist() == [0, 255]
    for value in (-1, 256):
        with pytest.raises(UserError, match=rf"value {value} in row 0, outside of \[0, 255\]; give uint8"):
            UNIT.to_bytes(one([0, value], "i4"), (0,))


def test_16_bits_and_truth_values() -> None:
    for order in ("<u2", ">u2"):
        pixels, policies = UNIT.to_bytes(one([0, 128, 129, 257, 65535], order), (0,))
        assert (pixels.ravel().tolist(), policies) == ([0, 0, 1, 1, 255], (SIXTEEN,))
    pixels, policies = UNIT.to_bytes(one([False, True], "?"), (0,))
    assert (pixels.ravel().tolist(), policies) == ([0, 255], (FROM_BOOL,))


def test_16_bits_that_hold_bytes_would_become_black() -> None:
    with pytest.raises(UserError, match="16 bits with no value above 255"):
        check_whole([one([0, 200], "u2"), one([0, 100], ">u2")], "fake")
    for fine in (one([0, 300], "u2"), one([0, 0], "u2"), one([0, 200], "u1"), one([], "u2")):
        check_whole([fine, one([0], "u2")], "fake")
    check_whole([one([0, 200], "u2"), one([0, 300], "u2")], "fake")  # one of them is bright


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", ">u2", "i8"])
def test_whole_numbers_that_are_0_and_1_would_become_black(dtype: str) -> None:
    message = "with no value above 1 among the first, where 255 is white; multiply them by 255, or give true and false"
    dim = [one([0, 0], dtype), one([0, 1], dtype), one([0.5], "f4")]
    with pytest.raises(UserError, match=rf"real \(x\) has images of whole numbers {message}"):
        check_whole(dim, "real (x)")
    assert check_whole(dim, "fake (x)")  # a generator that has collapsed to black is to be judged
    black, white = one([0, 0], dtype), one([0, 1, 65_535 if "u2" in dtype else 127], dtype)
    for fine in ([black], [one([0, 1], dtype), white], [one([0, 1], "?")], [one([0, 1], "f4")], []):
        assert not check_whole(fine, "real (x)")


def test_decoded_images_are_looked_at_until_one_is_bright() -> None:
    def looked(*images: np.ndarray) -> Brightness:
        found, made = Brightness(place="real (x)"), Brightness(place="fake (x)")
        for image in images:
            made.look(image)
        assert made.end() == (made.highest == 1)
        for image in images:
            found.look(image)
        found.end()
        return found

    black, dim, bright = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8), np.full((2, 2), 2, np.uint8)
    assert looked(black, dim, bright, dim).looked == 3
    assert looked(*[black] * DECIDING, dim).looked == DECIDING
    for images in ([black, dim], [dim] * DECIDING + [bright]):
        with pytest.raises(UserError, match=r"real \(x\) has images of whole numbers with no value above 1"):
            looked(*images)


def test_numbers_of_other_types_are_refused() -> None:
    with pytest.raises(UserError, match="images of type complex128"):
        UNIT.to_bytes(np.zeros((1, 2, 2), dtype=complex), (0,))


def test_alpha_on_white_for_all_pairs() -> None:
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    images = np.stack([colour, colour, colour, alpha], axis=-1).astype(np.uint8)[None]
    expected = (colour * alpha + 255 * (255 - alpha)) / 255
    assert np.abs(on_white(images)[0, ..., 0] - expected).max() <= 0.5
    pixels, policies = UNIT.to_bytes(images, (0,))
    assert (pixels.shape, policies) == ((1, 256, 256, 3), (ALPHA,))


@pytest.mark.parametrize(("low", "high"), [(-0.01, 1.0), (-0.2, 0.9)])
def test_images_that_overshoot_their_range_are_no_signed_ones(low: float, high: float) -> None:
    """One slightly negative pixel would turn black into grey in every image."""
    with pytest.raises(
        UserError, match=r"here has floats from .*, which are neither images in \[0, 1\] nor in \[-1, 1\]; cut"
    ):
        Scaling.decided(low, high, "here")
    assert Scaling.decided(-1.0, high, "here").low == -1
    assert Scaling.decided(-0.1, 0.1, "here").low == -1  # a generator that was hardly trained
    assert Scaling.decided(0.0, high, "here").low == 0


@pytest.mark.parametrize(("low", "high"), [(-0.42, 2.82), (-3.0, 258.0), (-0.5, np.inf)])
def test_what_lies_in_no_range_is_not_advised_to_be_cut(low: float, high: float) -> None:
    """Standardised images, and bytes that overshoot, would lose all their greys."""
    with pytest.raises(UserError, match=r"outside of \[-1, 1\]; (give uint8, or floats|floats up to 255)"):
        Scaling.decided(low, high, "here").to_bytes(np.array([[[low, high]]]), [0])


def test_floats_of_bytes_are_told_apart() -> None:
    scaling = Scaling.decided(0.0, 255.0, "here")
    with pytest.raises(
        UserError, match=r"the value 193 in row 0, outside of \[0, 1\]; floats up to 255 are not read as images: give"
    ):
        scaling.to_bytes(np.array([[[193.0, 7.0]]]), [0])
    with pytest.raises(
        UserError, match=r"the value 1.2 in row 300, outside of \[0, 1\], which its first 256 images lie in; give uint8"
    ):
        scaling.to_bytes(np.array([[[1.2, 0.5]]]), [300])
