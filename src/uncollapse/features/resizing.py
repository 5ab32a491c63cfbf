"""Images of any size made alike: grey or colour, one height and width, float32 from 0 to 255.

Every extractor prepares its images here, so that each policy is written once and named in its sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from uncollapse.data.source import Pixels
from uncollapse.errors import unknown

Resize = Literal["clean", "legacy"]
Floats = NDArray[np.float32]
RESIZES: Mapping[str, str] = {
    "clean": "bicubic with antialiasing (Pillow, one float channel at a time, nothing rounded), cut to 0 .. 255, as in "
    "clean-fid; images of the right size stay as they are",
    "legacy": "bilinear as in TensorFlow 1: four neighbours at position i * old / new, no half-pixel shift and no "
    "antialiasing, as in TTUR and torch-fidelity; images of the right size stay as they are",
}
GREY_POLICY = "colour to grey by .299 R + .587 G + .114 B (ITU-R 601), not rounded"
COLOUR_POLICY = "grey to colour by repeating it three times"
_LUMA = np.array([0.299, 0.587, 0.114])


def check_resize(how: str) -> Resize:
    """The name of a way to resize.

    Raises:
        UserError: There is none of that name.
    """
    if how not in RESIZES:
        raise unknown("way to resize", how, RESIZES)
    return "clean" if how == "clean" else "legacy"


def looks_grey(image: Pixels) -> bool:
    """Whether the image is grey, also when it is stored with three equal channels."""
    return image.ndim == 2 or bool((image == image[..., :1]).all())


def to_grey(image: Pixels) -> Floats:
    """The image as (h, w) float32 from 0 to 255."""
    return (image if image.ndim == 2 else image @ _LUMA).astype(np.float32)


def to_colour(image: Pixels) -> Floats:
    """The image as (h, w, 3) float32 from 0 to 255."""
    colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return colour.astype(np.float32)


def common_size(*sides: Sequence[Pixels], most: int) -> tuple[int, int]:
    """The (height, width) that most images have, each side counted in shares, so that sides may be exchanged.

    Args:
        sides: Images of each side; empty ones do not count.
        most: Largest allowed side; a larger common size is scaled down to it, the shape kept.
    """
    votes: Counter[tuple[int, int]] = Counter()
    for images in sides:
        # Shares as whole millionths, because sums of them do not depend on the order of the sides.
        for size, count in Counter(image.shape[:2] for image in images).items():
            votes[size] += round(1_000_000 * count / len(images))
    height, width = max(votes, key=lambda size: (votes[size], -size[0] * size[1], -size[0]))
    scale = min(1.0, most / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def prepare(images: Sequence[Pixels], *, height: int, width: int, colour: bool, how: Resize = "clean") -> Floats:
    """Images of any size as one array.

    Args:
        images: (h, w) or (h, w, 3) uint8 each.
        height: Rows of the result.
        width: Columns of the result.
        colour: Whether the result has three channels or is grey.
        how: The way to resize.

    Returns:
        (n, height, width), or (n, 3, height, width) in colour; float32 from 0 to 255.
    """
    shape = (len(images), 3, height, width) if colour else (len(images), 1, height, width)
    result = np.empty(shape, dtype=np.float32)
    resized = _clean if how == "clean" else _legacy
    for row, image in enumerate(images):
        channels = to_colour(image).transpose(2, 0, 1) if colour else to_grey(image)[None]
        same = channels.shape[1:] == (height, width)
        for channel, values in enumerate(channels):
            result[row, channel] = values if same else resized(values, height, width)
    return result if colour else result[:, 0]


def _clean(values: Floats, height: int, width: int) -> Floats:
    picture = Image.fromarray(np.ascontiguousarray(values)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture).clip(0, 255)


def _legacy(values: Floats, height: int, width: int) -> Floats:
    upper, lower, down = _neighbours(values.shape[0], height)
    left, right, across = _neighbours(values.shape[1], width)
    top, bottom = values[upper], values[lower]
    first = top[:, left] + (top[:, right] - top[:, left]) * across
    second = bottom[:, left] + (bottom[:, right] - bottom[:, left]) * across
    mixed: Floats = first + (second - first) * down[:, None]
    return mixed


def _neighbours(old: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    at = np.arange(new, dtype=np.float32) * np.float32(old / new)
    low = np.minimum(at.astype(np.int64), old - 1)
    return low, np.minimum(low + 1, old - 1), at - low.astype(np.float32)
