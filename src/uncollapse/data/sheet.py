"""Many images of any sizes on one sheet, each large enough to be seen."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from uncollapse.data.source import Pixels

LEAST, MOST = 64, 128  # pixels of the longer side of an image on the sheet
GAP = 4
TITLE_WIDTH, LETTERS = 120, 18
PAPER, INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(lines: Sequence[Sequence[Pixels]], titles: Sequence[str] | None) -> bytes:
    """A PNG of images.

    Args:
        lines: With titles one line of images a title; without, one list that is laid out as a square.
        titles: What stands before each line.

    Returns:
        The bytes of the PNG. Small images are enlarged by a whole factor without smoothing, large ones reduced.
    """
    if titles is None:
        images = [image for line in lines for image in line]
        columns = max(1, math.ceil(math.sqrt(len(images))))
        lines = [images[start : start + columns] for start in range(0, len(images), columns)]
    shown = [[_fitted(image) for image in line] for line in lines]
    cell = max((max(image.size) for line in shown for image in line), default=LEAST)
    left = GAP if titles is None else TITLE_WIDTH
    width = left + max((len(line) for line in shown), default=0) * (cell + GAP)
    sheet = Image.new("RGB", (width, GAP + len(shown) * (cell + GAP)), PAPER)
    for number, line in enumerate(shown):
        top = GAP + number * (cell + GAP)
        if titles is not None:
            _write(sheet, (GAP, top + cell // 2 - 6), titles[number])
        for place, image in enumerate(line):
            aside, down = (cell - image.width) // 2, (cell - image.height) // 2
            sheet.paste(image, (left + place * (cell + GAP) + aside, top + down))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def reduced(pixels: Pixels) -> Pixels:
    """An image, no larger than it is on the sheet."""
    if max(pixels.shape[:2]) <= MOST:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((MOST, MOST))
    return np.asarray(image)


def _fitted(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(reduced(pixels))
    longer = max(image.size)
    factor = max(1, math.ceil(LEAST / longer)) if longer < LEAST else 1
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _write(sheet: Image.Image, place: tuple[int, int], title: str) -> None:
    short = title if len(title) <= LETTERS else f"{title[: LETTERS - 1]}…"
    draw = ImageDraw.Draw(sheet)
    try:
        draw.text(place, short, fill=INK)
    except UnicodeEncodeError:  # Pillow without FreeType knows Latin letters only
        draw.text(place, short.encode("ascii", "replace").decode(), fill=INK)
