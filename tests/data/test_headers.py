from __future__ import annotations

import struct

import pytest
from PIL import Image
from tests.data.making import encoded

from uncollapse.data.headers import declared_size, has_16_bits, image_format


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (300, 2), (2, 1025)])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"comment": b"\xff\xc0 in a comment"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\x00\x00"}),
        ("BMP", {}),
    ],
)
def test_the_declared_size_is_the_one_that_was_saved(
    form: str, options: dict[str, object], size: tuple[int, int]
) -> None:
    data = encoded(Image.new("RGB", size, (9, 8, 7)), form, **options)
    assert image_format(data) == form
    assert declared_size(data, form) == size


def test_the_size_of_webp_with_alpha_and_of_animations() -> None:
    frames = [Image.new("RGBA", (13, 6), (value, 0, 0, 90)) for value in (10, 200)]
    for data in (encoded(frames[0], "WEBP"), encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])):
        assert declared_size(data, "WEBP") == (13, 6)


def test_sizes_by_hand() -> None:
    assert declared_size(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 20_000, 20_001), "PNG") == (
        20_000,
        20_001,
    )
    old_bmp = b"BM" + bytes(12) + struct.pack("<IHH", 12, 30, 40)
    upside_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 30, -40)
    assert [declared_size(old_bmp, "BMP"), declared_size(upside_down, "BMP")] == [(30, 40), (30, 40)]
    far = b"\xff\xd8" + b"\xff\xe0\0\x04ab" + b"\xff\xff\xff\xc2\0\x11\x08" + struct.pack(">HH", 65_500, 65_000)
    assert declared_size(far, "JPEG") == (65_000, 65_500)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP"])
def test_what_ends_too_early_has_no_size(form: str) -> None:
    data = encoded(Image.new("RGB", (40, 30)), form)
    assert declared_size(data[:16], form) is None


def test_formats_by_their_first_bytes() -> None:
    assert [image_format(data) for data in (b"", b"GIF89a", b"<html>", b"SIMPLE  =", b"RIFF1234WAVE")] == [None] * 5


def test_16_bits_are_seen_only_in_png() -> None:
    import numpy as np

    wide = encoded(Image.fromarray(np.zeros((4, 4), dtype=np.uint16)))
    assert has_16_bits(wide, "PNG")
    assert not has_16_bits(encoded(Image.new("L", (4, 4))), "PNG")
    assert not has_16_bits(wide, "BMP")
