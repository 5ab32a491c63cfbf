"""Image values of any number type as bytes: floats in [0, 1] or [-1, 1], integers in 0 .. 255, 16 bits, true and false.

What floats mean is decided once, on a source's first images, and enforced afterwards, so that no image is ever scaled
by its own range.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.images import ALPHA, SIXTEEN
from uncollapse.data.limits import is_made
from uncollapse.data.source import Pixels
from uncollapse.errors import UserError

FROM_UNIT = "values in [0, 1] scaled to 0 .. 255 and rounded"
FROM_SIGNED = "values in [-1, 1] scaled to 0 .. 255 and rounded"
DIM = "no value above 1 among the first images, where 255 is white: all but black, unless multiplied by 255"
FROM_BOOL = "true and false turned into 255 and 0"
# Rounding of float32 may put the last digit outside of a range; bfloat16 and float16 have fewer digits.
SLACK = 1e-5
DECIDING = 256  # first images that decide what floats mean
# Negative values smaller than this part of the largest one, which is at most so much above 1, are those of images in
# [0, 1] that overshoot.
OVERSHOOT = 0.25
WAYS = "give uint8, or floats in [0, 1] or in [-1, 1]"
BYTES = "floats up to 255 are not read as images: give uint8, as by .astype('uint8'), or divide by 255"


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How the floats of one source become bytes.

    Attributes:
        low: 0 or -1, the value that is black; 1 is white.
        place: How messages call the source.
    """

    low: float
    place: str

    @classmethod
    def decided(cls, lowest: float, highest: float, place: str) -> Scaling:
        """[-1, 1] if something among the first images is negative, else [0, 1].

        Args:
            lowest: The smallest value of the first images.
            highest: The largest one.
            place: How messages call the source.

        Raises:
            UserError: What is negative is too small to be black, so that the images are in [0, 1] and overshoot.
        """
        if -OVERSHOOT * highest < lowest < -SLACK and highest <= 1 + OVERSHOOT:
            raise UserError(
                f"{place} has floats from {lowest:.3g} to {highest:.3g}, which are neither images in [0, 1] nor in"
                " [-1, 1]; cut them to [0, 1] (clip, clamp), or, where -1 is black, give (x + 1) / 2."
            )
        return cls(low=-1.0 if lowest < -SLACK else 0.0, place=place)

    def to_bytes(
        self, values: NDArray[Any], numbers: Sequence[int] | NDArray[np.int64]
    ) -> tuple[Pixels, tuple[str, ...]]:
        """Images as bytes, and the policies that were applied to each.

        Args:
            values: (n, h, w) or (n, h, w, c), c 3 or 4, of any number type.
            numbers: Number of each row, for messages.

        Raises:
            UserError: A value outside of what its type may hold, or a type that is no number.
        """
        scaled, policies = self._scaled(values, numbers)
        if scaled.ndim == 4 and scaled.shape[-1] == 4:
            scaled, policies = on_white(scaled), (*policies, ALPHA)
        return scaled, policies

    def _scaled(
        self, values: NDArray[Any], numbers: Sequence[int] | NDArray[np.int64]
    ) -> tuple[Pixels, tuple[str, ...]]:
        kind = values.dtype.kind
        if values.dtype == np.uint8:
            return values, ()
        if kind == "b":
            return values.astype(np.uint8) * np.uint8(255), (FROM_BOOL,)
        if _is_wide(values):
            return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8), (SIXTEEN,)
        if kind in "iu":
            self._enforce(values, 0, 255, numbers, 0)
            return values.astype(np.uint8), ()
        if kind == "f":
            self._enforce(values, self.low, 1.0, numbers, SLACK)
            unit = (values - self.low) * (255 / (1 - self.low))
            return np.rint(unit.clip(0, 255)).astype(np.uint8), (FROM_SIGNED if self.low else FROM_UNIT,)
        raise UserError(f"{self.place} has images of type {values.dtype}; {WAYS}.")

    def _enforce(
        self,
        values: NDArray[Any],
        low: float,
        high: float,
        numbers: Sequence[int] | NDArray[np.int64],
        slack: float,
    ) -> None:
        """Refuses values outside of [low, high], naming the first one."""
        if values.size == 0 or (low - slack <= values.min() and values.max() <= high + slack):  # false for NaN
            return
        wrong = ~((values >= low - slack) & (values <= high + slack))
        at = np.unravel_index(int(wrong.argmax()), wrong.shape)
        row, value = int(numbers[int(at[0])]), float(values[at])
        decided = f", which its first {DECIDING} images lie in" if slack and row >= DECIDING else ""
        ways = BYTES if slack and not decided and 2 < float(np.fmax.reduce(values, axis=None)) <= 255 else WAYS
        raise UserError(
            f"{self.place} has the value {value:.6g} in row {row:,}, outside of [{low:g}, {high:g}]{decided}; {ways}."
        )


def _is_wide(values: NDArray[Any]) -> bool:
    """Whether images have 16 bits, in either order of their bytes."""
    return values.dtype.newbyteorder("=") == np.uint16


def check_whole(images: Iterable[NDArray[Any]], place: str) -> bool:
    """Refuses images of whole numbers that would be read as all but black: 0 and 1, or 16 bits with nothing above 255.

    Args:
        images: The first images; those of other types are passed over.
        place: How messages call the source.

    Returns:
        Whether they are a generator's and hold nothing above 1.

    Raises:
        UserError: They are.
    """
    whole = [image for image in images if image.dtype.kind in "iu" and image.size]
    dim = is_dim(max((int(image.max()) for image in whole), default=0), place)
    highest = max((int(image.max()) for image in whole if _is_wide(image)), default=0)
    if not dim and 0 < highest <= 255:
        raise UserError(
            f"{place} has images of 16 bits with no value above 255 among the first; save them as uint8, or multiply "
            "them by 257."
        )
    return dim


def is_dim(highest: int, place: str) -> bool:
    """Whether the largest value of images is 1, as bytes come out that were divided by 255; 0 is truly black.

    A generator's may be so because it has collapsed, and are read; of real images it is refused.

    Args:
        highest: Of the first images.
        place: How messages call the source.

    Raises:
        UserError: It is 1, and no generator made them.
    """
    if highest == 1 and not is_made(place):
        raise UserError(
            f"{place} has images of whole numbers with no value above 1 among the first, where 255 is white; multiply "
            "them by 255, or give true and false (in files: images of 1 bit)."
        )
    return highest == 1


@dataclass(kw_only=True)
class Brightness:
    """The largest value among the first images that were decoded from files, whose type says nothing.

    Attributes:
        place: How messages call the source.
        looked: Images looked at.
        highest: Their largest value.
    """

    place: str
    looked: int = 0
    highest: int = 0

    def look(self, image: Pixels) -> None:
        """Looks at the next image, until one is bright enough or enough were looked at.

        Raises:
            UserError: The largest value of as many images as decide is 1, and no generator made them.
        """
        if self.highest > 1 or self.looked == DECIDING:
            return
        self.looked += 1
        self.highest = max(self.highest, int(image.max()))
        if self.looked == DECIDING:
            self.end()

    def end(self) -> bool:
        """There are no more images; whether those of a generator hold nothing above 1.

        Raises:
            UserError: The largest value of all is 1, and no generator made them.
        """
        return is_dim(self.highest, self.place)


def on_white(images: Pixels) -> Pixels:
    """Colour with alpha (..., 4), composited on white and rounded: (..., 3)."""
    alpha = images[..., 3:].astype(np.uint16)
    mixed: NDArray[np.uint16] = images[..., :3] * alpha + 255 * (255 - alpha) + 127
    return (mixed // 255).astype(np.uint8)
