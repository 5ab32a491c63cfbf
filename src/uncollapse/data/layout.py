"""What the axes of an array mean: feature rows, grey images or colour images with channels last or first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from uncollapse.errors import UserError

CHANNELS = (1, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one row is laid out.

    Attributes:
        kind: "features" or "images".
        channels: 0 for features and for grey images without an axis of channels; else 1, 3 or 4.
        first: Whether the axis of channels comes before height and width.
    """

    kind: Literal["features", "images"]
    channels: int = 0
    first: bool = False

    def upright(self, block: NDArray[Any]) -> NDArray[Any]:
        """Images of a block (n, ...) as (n, h, w), (n, h, w, 3) or (n, h, w, 4), a view."""
        if self.channels == 0:
            return block
        last = np.moveaxis(block, 1, -1) if self.first else block
        return last[..., 0] if self.channels == 1 else last


def image_layout(shape: tuple[int, ...], *, tensor: bool = False) -> Layout | None:
    """How an image of such a shape is laid out, as `layout_of` tells; None where rows of it are no images."""
    if len(shape) not in (2, 3) or (len(shape) == 3 and not {shape[0], shape[2]} & set(CHANNELS)):
        return None
    return layout_of(shape, "an image", tensor=tensor)


def layout_of(shape: tuple[int, ...], place: str, *, tensor: bool = False) -> Layout:
    """What rows of such a shape are.

    (d,) is a feature row and (h, w) a grey image. Of three axes the last is the channels if it has 1, 3 or 4 entries,
    else the first if that has. Where both could be, the reading with h = w is taken; where that decides nothing,
    channels are last for NumPy arrays and first for torch tensors, as is the habit of each.

    Args:
        shape: Of one row.
        place: How messages call the source.
        tensor: Whether it came as a torch tensor.

    Raises:
        UserError: No such meaning, or an axis without entries.
    """
    if 0 in shape or len(shape) not in (1, 2, 3):
        raise UserError(
            f"{place} has rows of shape {shape}; give feature rows (d,), or images (h, w), (h, w, c) or (c, h, w)."
        )
    if len(shape) == 1:
        return Layout(kind="features")
    if len(shape) == 2:
        return Layout(kind="images")
    last, first = shape[2] in CHANNELS, shape[0] in CHANNELS
    if not last and not first:
        raise UserError(
            f"{place} has rows of shape {shape} in which no axis of 1, 3 or 4 channels comes first or last; "
            "give grey, colour or colour with alpha."
        )
    if last and first:
        squares = shape[0] == shape[1], shape[1] == shape[2]
        first = tensor if squares[0] == squares[1] else squares[1]
    return Layout(kind="images", channels=shape[0] if first else shape[2], first=first)
