"""Populations: who draws which sample.

Contract first, then the parts. With one generator there is no index; with several, each sample carries a one-hot row.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from uncollapse.parts.scene import Part


class Population(Part):
    """Contract: how many generators there are and how their parts are put together."""

    @property
    def count(self) -> int:
        """Generators."""
        return 1

    @abstractmethod
    def assemble(self, trunk: Callable[[], nn.Module], head: Callable[[], nn.Module]) -> nn.Module:
        """A module of (inputs, index) -> samples from factories of the generator's body and last layer."""


class Single(nn.Module):
    """One body and one last layer; the index is not read.

    Args:
        trunk: The body.
        head: The last layer.
    """

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        """Keeps both."""
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, inputs: Tensor, index: Tensor | None) -> Tensor:
        """(batch, latent + extra) -> (batch, data)."""
        samples: Tensor = self.head(self.trunk(inputs))
        return samples


@dataclass(frozen=True, kw_only=True)
class OneGenerator(Population):
    """The ordinary case."""

    def assemble(self, trunk: Callable[[], nn.Module], head: Callable[[], nn.Module]) -> nn.Module:
        """One body, one last layer."""
        return Single(trunk(), head())


PARTS: tuple[type[Population], ...] = (OneGenerator,)
