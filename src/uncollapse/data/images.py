"""One image's bytes, or an opened Pillow image, as uint8 grey or colour, by stated policies that are counted.

The policies: a palette becomes colour; transparency is composited on white; 16 bits a channel are scaled to 8; the
orientation that EXIF asks for is applied; grey stays grey; of several frames the first is taken. Colour profiles and
gamma are left alone.
"""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from uncollapse.data.headers import declared_size, has_16_bits, image_format
from uncollapse.data.limits import MOST_IMAGE_BYTES, MOST_PIXELS, short
from uncollapse.data.source import Pixels
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

PALETTE = "palette turned into colour"
ALPHA = "transparency composited on white"
SIXTEEN = "16 bits a channel scaled to 8"
DARK = "16 bits a channel, none of them above 255: all but black"
TWO_TONE = "black and white turned into grey"
OTHER_COLOUR = "{} turned into colour"
ROTATED = "EXIF orientation applied"
FIRST_FRAME = "first of several frames taken"

ORIENTATION_TAG = 0x0112
MOST_TAGS = 1000
PLAIN = ("L", "RGB")
WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
WIDE_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N")


class Unreadable(Exception):
    """One row cannot be read; the message is a short reason that follows the row's name."""


def decode(data: bytes) -> tuple[Pixels, tuple[str, ...]]:
    """Decodes one PNG, JPEG, WebP or BMP image.

    Args:
        data: The file's content.

    Returns:
        uint8 (h, w) for grey or (h, w, 3) for colour, and the policies that were applied.

    Raises:
        Unreadable: Too large, damaged, truncated, or none of the four formats.
    """
    form = image_format(data)
    if form is None:
        raise Unreadable(_what_it_is(data))
    if len(data) > MOST_IMAGE_BYTES:
        raise too_long(len(data))
    declared = declared_size(data, form)
    if declared is None:
        raise Unreadable("is cut off before it says its size")
    check_pixels(*declared)
    try:
        # Only the format that its first bytes say: no other decoder ever sees the data.
        image = Image.open(io.BytesIO(data), formats=(form,))
        return to_pixels(image, sixteen=has_16_bits(data, form))
    except Unreadable:
        raise
    except Exception as error:  # a decoder may raise anything at all on hostile bytes
        raise Unreadable(f"is damaged ({short(error)})") from error


def to_pixels(image: Image.Image, *, sixteen: bool = False) -> tuple[Pixels, tuple[str, ...]]:
    """An opened Pillow image as uint8 grey or colour, and the policies that were applied.

    Args:
        image: Any mode but floats.
        sixteen: Its file holds 16 bits a channel (of colour Pillow keeps the upper eight).

    Raises:
        Unreadable: Too large, empty, or of a mode without a policy.
    """
    check_pixels(*image.size)
    policies = [SIXTEEN] if sixteen else []
    if getattr(image, "n_frames", 1) > 1:
        policies.append(FIRST_FRAME)
        image.seek(0)
    if image.mode in PLAIN and "transparency" not in image.info:
        pixels = _array(image)
    else:
        image.load()
        pixels = _converted(image, policies)
    exif = image.info.get("exif")
    if isinstance(exif, bytes):
        pixels, turned = _turned(pixels, orientation(exif))
        policies += [ROTATED] if turned else []
    return pixels, tuple(policies)


def check_pixels(width: int, height: int) -> None:
    """Refuses an image without pixels or with more than the cap.

    Raises:
        Unreadable: It has.
    """
    if width < 1 or height < 1:
        raise Unreadable("has no pixels")
    if width * height > MOST_PIXELS:
        raise Unreadable(f"has {width} x {height} pixels, more than {MOST_PIXELS // 10**6} million")


def check_decoder() -> None:
    """Refuses to read at all where the process made Pillow invent the missing part of truncated images.

    Raises:
        UserError: `ImageFile.LOAD_TRUNCATED_IMAGES` is set.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise UserError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, which turns truncated images into half-grey ones unseen; "
            "set it to False before reading data."
        )


def too_long(count: int) -> Unreadable:
    """The finding about an encoded image of so many bytes."""
    return Unreadable(f"has {size_text(count)}, more than {size_text(MOST_IMAGE_BYTES)} for one image")


def _what_it_is(data: bytes) -> str:
    if not data:
        return "is empty"
    start = data[:64].lstrip().lower()
    guess = next(
        (
            f" but {kind}"
            for kind, begin in (("HTML", b"<!doctype html"), ("HTML", b"<html"), ("SVG", b"<svg"), ("GIF", b"gif8"))
            if start.startswith(begin)
        ),
        "",
    )
    return f"is no PNG, JPEG, WebP or BMP image{guess}"


def _converted(image: Image.Image, policies: list[str]) -> Pixels:
    """Pixels of an image that is not plain grey or colour."""
    mode = image.mode
    if mode in WIDE_GREY:
        if SIXTEEN not in policies:
            policies.append(SIXTEEN)
        return _wide_grey(image, policies)
    if mode in ("P", "PA"):
        policies.append(PALETTE)
    elif mode == "1":
        policies.append(TWO_TONE)
    if mode in WITH_ALPHA or "transparency" in image.info:
        policies.append(ALPHA)
        return _array(_on_white(image))
    if mode == "F":
        raise Unreadable("holds floating-point numbers; save it with 8 bits a channel")
    if mode not in ("P", "1", *PLAIN):
        policies.append(OTHER_COLOUR.format(mode))
    return _array(image.convert("L" if mode == "1" else "RGB"))


def _array(image: Image.Image) -> Pixels:
    """Grey or colour as an array of its own, which may be written; a little quicker than numpy.array."""
    shape = (image.height, image.width) if image.mode == "L" else (image.height, image.width, 3)
    return np.frombuffer(bytearray(image.tobytes()), np.uint8).reshape(shape)


def _wide_grey(image: Image.Image, policies: list[str]) -> Pixels:
    """Grey of 16 bits as 8; where one grey means transparent, it is white, as paper behind it."""
    wide = np.asarray(image)
    pixels = _narrow(wide)
    if 0 < wide.max() <= 255:
        policies.append(DARK)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        policies.append(ALPHA)
        pixels[wide == clear] = 255
    return pixels


def _narrow(wide: NDArray[np.generic]) -> Pixels:
    """Grey 0 .. 65535 as 0 .. 255, rounded."""
    values = wide.astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable(f"holds grey values from {values.min()} to {values.max()}, not within 0 to 65535")
    return ((values + 128) // 257).astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    """Grey with alpha stays grey, everything else becomes colour."""
    grey = image.mode in ("1", "L", "LA", "La")
    wanted = "LA" if grey else "RGBA"
    layered = image if image.mode == wanted else image.convert(wanted)
    paper = Image.new("L", image.size, 255) if grey else Image.new("RGB", image.size, (255, 255, 255))
    paper.paste(layered.getchannel("L") if grey else layered, mask=layered.getchannel("A") if grey else layered)
    return paper


def orientation(exif: bytes) -> int:
    """The orientation 1 .. 8 that an EXIF block asks for; 1 (as stored) where it says nothing readable.

    Read here and not by Pillow, which warns of damaged blocks on stderr.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (place,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, place)
        for number in range(min(count, MOST_TAGS)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, place + 2 + 12 * number)
            if tag == ORIENTATION_TAG:
                return int(value) if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _turned(pixels: Pixels, code: int) -> tuple[Pixels, bool]:
    """The image as it is meant to be seen: codes 5 to 8 exchange rows and columns, then axes are reversed."""
    if code == 1:
        return pixels, False
    upright = pixels.swapaxes(0, 1) if code >= 5 else pixels
    rows = -1 if code in (3, 4, 7, 8) else 1
    columns = -1 if code in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(upright[::rows, ::columns]), True
