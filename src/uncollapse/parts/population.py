"""Populations: who draws which sample.

Contract first, then the parts. With one generator there is no index; with several, each sample carries a one-hot row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.parts.scene import Part

Factory = Callable[[], nn.Module]


class Population(Part):
    """Contract: how many generators there are and how their layers are put together."""

    @property
    def count(self) -> int:
        """Generators that play one game together."""
        return 1

    @property
    def members(self) -> int:
        """Games of their own whose samples are pooled, each a lane of the loop."""
        return 1

    def assemble(self, layers: Sequence[Factory]) -> nn.Module:
        """A module of (inputs, index) -> samples from factories of the generator's layers, first to last."""
        return Layers([layer() for layer in layers])


class Private(nn.Module):
    """One copy of a layer for each generator; a sample goes through its own.

    Args:
        copies: The layers.
    """

    def __init__(self, copies: Sequence[nn.Module]) -> None:
        """Keeps the copies."""
        super().__init__()
        self.copies = nn.ModuleList(copies)

    def forward(self, inputs: Tensor, index: Tensor) -> Tensor:
        """(batch, in, ...), (batch, generators) one-hot -> (batch, out, ...)."""
        every = torch.stack([copy(inputs) for copy in self.copies], 1)
        return (index.reshape(*index.shape, *[1] * (every.ndim - 2)) * every).sum(1)


class Layers(nn.Module):
    """Layers one after the other; private ones read which generator a sample belongs to.

    Args:
        layers: First to last.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        """Keeps the layers."""
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, inputs: Tensor, index: Tensor | None) -> Tensor:
        """(batch, latent + extra) -> (batch, data)."""
        for layer in self.layers:
            inputs = layer(inputs, index) if isinstance(layer, Private) else layer(inputs)
        return inputs


@dataclass(frozen=True, kw_only=True)
class OneGenerator(Population):
    """The ordinary case."""


@dataclass(frozen=True, kw_only=True)
class Mixture(Population):
    """Several generators in one game that share most of their layers; each sample is made by one drawn at random.

    Attributes:
        size: Generators.
        first: Layers at the input that each generator has to itself (MGAN: 1).
        last: Layers at the output that each generator has to itself (MAD-GAN: 1).

    Reference: Hoang et al. 2018, arXiv:1708.02556; Ghosh et al. 2018, arXiv:1704.02906.
    """

    size: int = 4
    first: int = 0
    last: int = 1

    def __post_init__(self) -> None:
        """Refuses a mixture of one, and generators that are all the same."""
        if self.size < 2:
            raise UserError(f"Mixture(size={self.size}) is no mixture; choose 2 generators or more.")
        if min(self.first, self.last) < 0 or self.first + self.last < 1:
            raise UserError(
                f"Mixture(first={self.first}, last={self.last}) gives the generators nothing of their own;"
                " choose 1 or more for one of them."
            )

    @property
    def count(self) -> int:
        """Generators that play one game together."""
        return self.size

    def assemble(self, layers: Sequence[Factory]) -> nn.Module:
        """Private layers at both ends, shared ones between."""
        shared = range(self.first, len(layers) - self.last)
        return Layers(
            [
                layer() if place in shared else Private([layer() for _ in range(self.size)])
                for place, layer in enumerate(layers)
            ]
        )


@dataclass(frozen=True, kw_only=True)
class Ensemble(Population):
    """Independent GANs, each with its own critic, whose samples are pooled: what a mixture has to beat.

    The width of the networks is solved for, so that all members together have at most the parameters of one.

    Attributes:
        size: GANs.
    """

    size: int = 4

    def __post_init__(self) -> None:
        """Refuses an ensemble of one."""
        if self.size < 2:
            raise UserError(f"Ensemble(size={self.size}) pools nothing; choose 2 members or more.")

    @property
    def members(self) -> int:
        """Games of their own whose samples are pooled."""
        return self.size


PARTS: tuple[type[Population], ...] = (OneGenerator, Mixture, Ensemble)
