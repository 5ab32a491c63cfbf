"""Constraints on the critic's weights: before every forward pass, or after every step.

Contract first, then the parts in the order of publication.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.parts.scene import Part

Tensors = Mapping[str, Tensor]


class Constraint(Part):
    """Contract: two hooks, each the identity unless a part overrides it.

    A reparameterisation may keep state (power-iteration vectors) in buffers, which it names in `init_buffers`.
    """

    @property
    def projects(self) -> bool:
        """Whether `project` does anything, so that the others cost nothing."""
        return type(self).project is not Constraint.project

    def init_buffers(self, parameters: Tensors) -> dict[str, Tensor]:
        """Buffers the constraint keeps beside the critic's own, at the start of a run."""
        return {}

    def reparameterise(self, parameters: Tensors, buffers: Tensors) -> tuple[Tensors, Tensors]:
        """What the forward pass uses in place of the raw parameters, and the buffers afterwards."""
        return parameters, buffers

    def project(self, parameters: Tensors) -> Tensors:
        """The parameters after a step, put back where they may be."""
        return parameters


@dataclass(frozen=True, kw_only=True)
class Free(Constraint):
    """No constraint."""


@dataclass(frozen=True, kw_only=True)
class WeightClip(Constraint):
    """Clips every weight of the critic to [-limit, limit] after each step.

    Attributes:
        limit: The clipping value c, 0.01 in the paper.

    Reference: Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1.
    """

    limit: float = 0.01

    def __post_init__(self) -> None:
        """Refuses a limit that would erase the critic."""
        if not self.limit > 0:
            raise UserError(f"WeightClip(limit={self.limit}) would erase the critic; choose a limit above 0, as 0.01.")

    def project(self, parameters: Tensors) -> Tensors:
        """Every weight clipped."""
        return {name: value.clamp(-self.limit, self.limit) for name, value in parameters.items()}


PARTS: tuple[type[Constraint], ...] = (Free, WeightClip)
