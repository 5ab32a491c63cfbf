"""The units of somebody's data: what training standardised is brought back, also where the data are elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from uncollapse.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """Mean and standard deviation of every number of a sample, and where the data have their channels.

    Attributes:
        centre: Means of the training rows, of the shape that a sample is learned in.
        spread: Their standard deviations, 1 for a constant number.
        channels_last: Whether the data have the channels last, which are learned first.
    """

    centre: Tensor
    spread: Tensor
    channels_last: bool = False

    def restore(self, x: Tensor) -> Tensor:
        """Standardised samples (n, *shape) in the data's own units and layout."""
        found = x.reshape(-1, *self.centre.shape) * self.spread.to(x) + self.centre.to(x)
        return found.movedim(1, -1) if self.channels_last else found

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        flat = {"centre": self.centre.flatten().tolist(), "spread": self.spread.flatten().tolist()}
        return {**flat, "channels_last": self.channels_last}

    @classmethod
    def from_json(cls, told: Mapping[str, Any], shape: tuple[int, ...]) -> Units:
        """What `to_json` wrote, for samples of a shape.

        Raises:
            UserError: The numbers are not as many as a sample has, or not finite.
        """
        parts = [torch.tensor(told[name], dtype=torch.float32) for name in ("centre", "spread")]
        if any(part.shape != (math.prod(shape),) or not part.isfinite().all() for part in parts):
            raise UserError(f"The units do not fit samples of shape {shape}.")
        centre, spread = (part.reshape(shape) for part in parts)
        return cls(centre=centre, spread=spread, channels_last=bool(told.get("channels_last")) and len(shape) > 1)
