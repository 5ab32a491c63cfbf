"""Views: how the critic sees a batch, as packs of samples or with a summary of the batch among its features.

Contract first, then the parts in the order of publication. Packing comes before penalties and conditioning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.parts.scene import Part


class View(Part):
    """Contract: `pack` acts on inputs, `summarise` on features.

    Attributes:
        joint: Whether real and fake may share one concatenated pass; False where a summary would mix them.
        entangles: Whether a sample's score depends on the others so strongly that its own slope is not defined.
    """

    joint: ClassVar[bool] = True
    entangles: ClassVar[bool] = False

    @property
    def extra(self) -> int:
        """Features that `summarise` adds."""
        return 0

    @property
    def group(self) -> int:
        """Samples that are judged as one."""
        return 1

    def pack(self, samples: Tensor) -> Tensor:
        """(batch, channels, ...) -> (batch / group, group * channels, ...)."""
        return samples

    def module(self, width: int) -> nn.Module | None:
        """Parameters of the summary, owned by the critic; `width` is the number of features."""
        return None

    def summarise(self, module: nn.Module | None, features: Tensor) -> Tensor:
        """(batch, width) -> (batch, width + extra)."""
        return features


@dataclass(frozen=True, kw_only=True)
class Plain(View):
    """One sample at a time."""


@dataclass(frozen=True)
class Packed(View):
    """PacGAN: the critic judges `size` independent samples of one kind at once.

    Batches are independent draws, so neighbouring rows make a random pack.

    Attributes:
        size: Samples in a pack, m in the paper.

    Reference: Lin et al. 2018, arXiv:1712.04086.
    """

    size: int = 2

    def __post_init__(self) -> None:
        """Refuses packs that hold nothing."""
        if self.size < 1:
            raise UserError(f"Packed({self.size}) holds no sample; choose a pack size of 1 or more.")

    @property
    def group(self) -> int:
        """Samples that are judged as one."""
        return self.size

    def pack(self, samples: Tensor) -> Tensor:
        """(batch, channels, ...) -> (batch / size, size * channels, ...)."""
        # (batch, channels, ...) -> (batch / size, size, channels, ...) -> (batch / size, size * channels, ...)
        return samples.reshape(-1, self.size, *samples.shape[1:]).flatten(1, 2)


PARTS: tuple[type[View], ...] = (Plain, Packed)
