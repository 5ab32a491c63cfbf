"""The width and height that an image file declares, read from its first bytes before any decoder sees it.

The decoder's own guard against huge images is partly a warning, which threads cannot turn into an error one by one;
this looks first, and the decoder's word is checked again afterwards.
"""

from __future__ import annotations

import struct

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
PNG_START = b"\x89PNG\r\n\x1a\n"
# Markers of a JPEG that begin a frame, after which height and width stand; C4, C8 and CC are tables.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
MOST_SEGMENTS = 10_000


def image_format(data: bytes) -> str | None:
    """Which of the four formats the bytes begin as; None for anything else."""
    if data.startswith(PNG_START):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return "BMP" if data.startswith(b"BM") else None


def declared_size(data: bytes, form: str) -> tuple[int, int] | None:
    """(width, height) as declared; None where the file ends before it says so, or says it in no known way."""
    try:
        if form == "PNG":
            width, height = struct.unpack_from(">II", data, 16)
            return width, height
        if form == "JPEG":
            return _jpeg(data)
        return _webp(data) if form == "WEBP" else _bmp(data)
    except struct.error:
        return None


def has_16_bits(data: bytes, form: str) -> bool:
    """Whether a PNG stores 16 bits a channel."""
    return form == "PNG" and data[24:25] == b"\x10"


def _jpeg(data: bytes) -> tuple[int, int] | None:
    place = 2
    for _ in range(MOST_SEGMENTS):
        place = data.find(b"\xff", place)
        if place < 0:
            return None
        (marker,) = struct.unpack_from(">B", data, place + 1)
        if marker in FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        if marker in (0x00, 0xFF):  # padding
            place += 1
        elif marker in ALONE:
            place += 2
        else:
            (length,) = struct.unpack_from(">H", data, place + 2)
            place += 2 + length
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        low, middle, high = struct.unpack_from("<HHH", data, 24)  # two numbers of 24 bits, each less by one
        return low + ((middle & 0xFF) << 16) + 1, (middle >> 8) + (high << 8) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _bmp(data: bytes) -> tuple[int, int] | None:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(width), abs(height)
