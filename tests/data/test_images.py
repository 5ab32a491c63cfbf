from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps
from tests.data.making import encoded, pictures

from uncollapse.data.images import (
    ALPHA,
    DARK,
    FIRST_FRAME,
    PALETTE,
    ROTATED,
    SIXTEEN,
    TWO_TONE,
    Unreadable,
    check_decoder,
    decode,
    orientation,
    to_pixels,
)
from uncollapse.errors import UserError


def wide_png(values: np.ndarray, colour_type: int, clear: int | None = None) -> bytes:
    """A PNG of 16 bits a channel, written by hand: (h, w, channels) uint16; `clear` is the grey that is transparent."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = values.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    begin = b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header)
    begin += b"" if clear is None else part(b"tRNS", struct.pack(">H", clear))
    return begin + part(b"IDAT", zlib.compress(lines)) + part(b"IEND", b"")


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP"])
@pytest.mark.parametrize("colour", [False, True])
def test_lossless_images_come_back_as_they_were(form: str, colour: bool) -> None:
    image = pictures(1, colour=colour)[0]
    pixels, policies = decode(encoded(image, form, **({"lossless": True} if form == "WEBP" else {})))
    if form == "WEBP" and not colour:  # which knows no grey
        image = np.stack([image] * 3, axis=-1)
    np.testing.assert_array_equal(pixels, image)
    assert (policies, pixels.dtype, pixels.flags.writeable) == ((), np.uint8, True)


def test_a_jpeg_is_near_what_it_was() -> None:
    image = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    pixels, _ = decode(encoded(image, "JPEG", quality=95))
    assert pixels.shape == (64, 64)
    assert np.abs(pixels.astype(int) - image).max() <= 6


def test_a_palette_becomes_colour() -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8), "P")
    image.putpalette([250, 10, 20, 30, 40, 50])
    pixels, policies = decode(encoded(image))
    assert pixels.tolist() == [[[250, 10, 20], [30, 40, 50]], [[30, 40, 50], [250, 10, 20]]]
    assert policies == (PALETTE,)


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_a_palette_with_transparency_is_composited_on_white(transparency: int | bytes) -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    image.putpalette([250, 10, 20, 30, 40, 50])
    pixels, policies = decode(encoded(image, transparency=transparency))
    assert pixels.tolist() == [[[250, 10, 20], [255, 255, 255]]]
    assert policies == (PALETTE, ALPHA)


@pytest.mark.parametrize("alpha", [0, 1, 100, 254, 255])
def test_alpha_is_composited_on_white_by_the_formula(alpha: int) -> None:
    colour = np.array([[[0, 17, 200]]], dtype=np.uint8)
    rgba = np.concatenate([colour, np.full((1, 1, 1), alpha, dtype=np.uint8)], axis=-1)
    expected = np.rint((colour.astype(float) * alpha + 255 * (255 - alpha)) / 255)
    pixels, policies = decode(encoded(Image.fromarray(rgba)))
    np.testing.assert_allclose(pixels, expected, atol=0.51)
    assert policies == (ALPHA,)
    grey, _ = decode(encoded(Image.fromarray(rgba[..., 2:])))  # 200 with the same alpha
    assert grey.ndim == 2
    assert abs(int(grey[0, 0]) - expected[0, 0, 2]) <= 0.51


@pytest.mark.parametrize(("mode", "value"), [("L", 7), ("RGB", (1, 2, 3))])
def test_a_single_transparent_value_is_white(mode: str, value: int | tuple[int, ...]) -> None:
    pixels, policies = decode(encoded(Image.new(mode, (2, 2), value), transparency=value))
    assert (pixels == 255).all()
    assert policies == (ALPHA,)


def test_16_bits_of_grey_are_scaled_and_rounded() -> None:
    values = np.array([[0, 128, 129, 257, 32_768, 65_406, 65_407, 65_535]], dtype=np.uint16)
    pixels, policies = decode(wide_png(values, 0))
    assert pixels.tolist() == [[0, 0, 1, 1, 128, 254, 255, 255]]
    assert policies == (SIXTEEN,)


def test_a_transparent_grey_of_16_bits_is_white() -> None:
    pixels, policies = decode(wide_png(np.array([[[0], [1000]], [[1001], [65535]]]), 0, clear=1000))
    assert pixels.tolist() == [[0, 255], [4, 255]]
    assert policies == (SIXTEEN, ALPHA)


@pytest.mark.parametrize(("highest", "dark"), [(255, True), (256, False), (0, False)])
def test_16_bits_that_hold_bytes_are_all_but_black_and_counted(highest: int, dark: bool) -> None:
    _, policies = decode(wide_png(np.array([[[0], [highest]]]), 0))
    assert policies == ((SIXTEEN, DARK) if dark else (SIXTEEN,))


def test_16_bits_of_colour_keep_their_upper_half() -> None:
    values = np.array([[[0, 300, 65_535], [256, 511, 32_768]]], dtype=np.uint16)
    pixels, policies = decode(wide_png(values, 2))
    assert pixels.tolist() == [[[0, 1, 255], [1, 1, 128]]]
    assert policies == (SIXTEEN,)


def test_other_modes() -> None:
    two, policies = decode(encoded(Image.fromarray(np.array([[True, False]]))))
    assert (two.tolist(), policies) == ([[255, 0]], (TWO_TONE,))
    cmyk, policies = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    assert policies == ("CMYK turned into colour",)
    assert np.abs(cmyk.astype(int) - (255, 0, 0)).max() <= 3
    with pytest.raises(Unreadable, match="floating-point"):
        to_pixels(Image.new("F", (2, 2)))
    with pytest.raises(Unreadable, match="grey values from -5 to -5"):
        to_pixels(Image.new("I", (2, 2), -5))


@pytest.mark.parametrize("code", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_the_orientation_is_what_pillow_makes_of_it(code: int, form: str) -> None:
    image = Image.fromarray(pictures(1, 9, colour=True)[0])
    exif = Image.Exif()
    exif[0x0112] = code
    data = encoded(image, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    pixels, policies = decode(data)
    np.testing.assert_array_equal(pixels, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))
    assert policies == (() if code == 1 else (ROTATED,))


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\x00\x00",
        b"II*\x00\xff\xff\xff\xff",
        b"MM\x00*\x00\x00\x00\x08\xff\xff",
        b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\t\x00\x00",
        b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x04\x00\x01\x00\x00\x00\x06\x00\x00\x00",
    ],
)
def test_a_damaged_orientation_is_none(block: bytes) -> None:
    assert orientation(block) == 1


def test_of_several_frames_the_first_is_taken() -> None:
    frames = [Image.new("RGB", (3, 3), (value, 0, 0)) for value in (10, 200)]
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        pixels, policies = decode(encoded(frames[0], form, save_all=True, append_images=frames[1:], **options))
        assert (pixels[..., 0] == 10).all()
        assert FIRST_FRAME in policies


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><p>404", "is no PNG, JPEG, WebP or BMP image but HTML"),
        (b"GIF89a" + bytes(50), "but GIF"),
        (b"SIMPLE  =                    T" + bytes(2880), "is no PNG, JPEG, WebP or BMP image$"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is cut off before it says its size"),
        (encoded(pictures(1, 40)[0])[:-200], "is damaged"),
        (encoded(pictures(1, 40)[0], "JPEG")[:-200], "is damaged"),
    ],
)
def test_what_is_no_image_has_a_short_reason(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message) as caught:
        decode(data)
    assert len(str(caught.value)) < 120
    assert "\n" not in str(caught.value)


def test_no_part_of_a_truncated_image_is_invented() -> None:
    """At no point of a PNG can it be cut so that pixels come out other than they were."""
    image = pictures(1, 12)[0]
    data = encoded(image)
    for end in range(len(data)):
        try:
            pixels, _ = decode(data[:end])
        except Unreadable:
            continue
        np.testing.assert_array_equal(pixels, image)


def test_a_process_that_lets_pillow_invent_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_decoder()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(UserError, match="set it to False before reading data"):
        check_decoder()


def test_too_many_pixels_are_refused_before_they_are_decoded_and_without_a_warning() -> None:
    def bomb(side: int) -> bytes:
        return wide_png(np.zeros((1, 1, 3), dtype=np.uint16), 2).replace(
            struct.pack(">II", 1, 1), struct.pack(">II", side, side), 1
        )

    found: list[str] = []

    def read(side: int) -> None:
        try:
            decode(bomb(side))
        except Unreadable as finding:
            found.append(str(finding))

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        threads = [threading.Thread(target=read, args=(side,)) for side in (10_000, 20_000) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
    assert not seen
    assert sorted(set(found)) == [
        "has 10000 x 10000 pixels, more than 64 million",
        "has 20000 x 20000 pixels, more than 64 million",
    ]
    assert len(found) == 8
