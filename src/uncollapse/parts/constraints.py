"""Constraints on the critic's weights: before every forward pass, or after every step.

Contract first, then the parts in the order of publication.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

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

    def init_buffers(self, parameters: Tensors, transposed: Collection[str] = ()) -> dict[str, Tensor]:
        """Buffers the constraint keeps beside the critic's own, at the start of a run.

        Args:
            parameters: The critic's, by name, but for the scales of normalisation layers, which are no maps.
            transposed: Names of those whose outputs are on the second axis, as transposed convolutions have them.
        """
        return {}

    def reparameterise(self, parameters: Tensors, buffers: Tensors) -> tuple[Tensors, Tensors]:
        """What the forward pass uses in place of the raw parameters, and the buffers afterwards."""
        return parameters, buffers

    def project(self, parameters: Tensors) -> Tensors:
        """The parameters after a step, put back where they may be."""
        return parameters


def initial_buffers(constraint: Constraint, critic: nn.Module) -> dict[str, Tensor]:
    """What a constraint keeps beside a critic at the start of a run."""
    turned, norms = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), (nn.LayerNorm, nn.RMSNorm)
    transposed = {id(module.weight) for module in critic.modules() if isinstance(module, turned)}
    scales = {id(value) for module in critic.modules() if isinstance(module, norms) for value in module.parameters()}
    named = {name: value.detach() for name, value in critic.named_parameters() if id(value) not in scales}
    names = {name for name, value in critic.named_parameters() if id(value) in transposed}
    return constraint.init_buffers(named, names) if names else constraint.init_buffers(named)


@contextmanager
def reparameterised(critic: nn.Module, constraint: Constraint) -> Iterator[None]:
    """Lends a critic the weights that its passes will use, as long as it looks at its first batch."""
    parameters = dict(critic.named_parameters())
    raw = {name: value.detach().clone() for name, value in parameters.items()}
    used, _ = constraint.reparameterise(constraint.project(raw), initial_buffers(constraint, critic))
    lent = {name: value.detach().clone() for name, value in used.items() if value is not raw[name]}
    with torch.no_grad():
        for name, value in lent.items():
            parameters[name].copy_(value)
        try:
            yield
        finally:
            for name, value in lent.items():
                if torch.equal(parameters[name], value):  # what the critic has set meanwhile stays
                    parameters[name].copy_(raw[name])


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


# Power iterations before the first update, so that training starts from a good estimate.
WARM_UP = 15


@dataclass(frozen=True, kw_only=True)
class SpectralNorm(Constraint):
    """Divides every weight matrix of the critic by its largest singular value, found by power iteration.

    ``W / sigma(W)`` with ``sigma = u^T W v``; u and v move by `iterations` steps a pass and carry no gradient. A matrix
    is a parameter of two or more axes whose name begins or ends with ``weight``, as torch's layers call their maps.

    Attributes:
        iterations: Power iterations before each pass, 1 in the paper.

    Reference: Miyato et al. 2018, arXiv:1802.05957.
    """

    iterations: int = 1

    def __post_init__(self) -> None:
        """Refuses a number that never finds the singular value."""
        if self.iterations < 1:
            raise UserError(f"SpectralNorm(iterations={self.iterations}) never looks; choose 1 or more.")

    def init_buffers(self, parameters: Tensors, transposed: Collection[str] = ()) -> dict[str, Tensor]:
        """The left vector u of each matrix, (outputs,).

        Raises:
            UserError: There is no matrix, or one whose length something else sets.
        """
        found = {}
        for name, value in parameters.items():
            last = name.rpartition(".")[2]
            if value.ndim >= 2 and ("parametrizations." in name or last in ("weight_g", "weight_v")):
                raise UserError(
                    f"SpectralNorm would divide {name}, whose length another parametrisation sets, as weight_norm"
                    " does; take that off the critic, or choose another constraint."
                )
            if value.ndim >= 2 and (
                last.startswith("weight") or last.endswith("weight")
            ):  # a scale (minibatch discrimination's) is no map
                matrix = _matrix(value, name in transposed)
                left = normalize(torch.ones(len(matrix), dtype=matrix.dtype, device=matrix.device), dim=0)
                found[name + _left(name in transposed)] = _power_iteration(matrix, left, WARM_UP)[0]
        if not found:
            raise UserError(
                "SpectralNorm finds no matrix in this critic: no parameter of two or more axes has a name that begins"
                " or ends with weight; name yours so, or choose another constraint."
            )
        return found

    def reparameterise(self, parameters: Tensors, buffers: Tensors) -> tuple[Tensors, Tensors]:
        """Every matrix divided by its estimated largest singular value, and the vectors afterwards."""
        used, kept = dict(parameters), dict(buffers)
        for name, value in parameters.items():
            for transposed in (False, True):
                vector = name + _left(transposed)
                if vector in buffers:
                    matrix = _matrix(value, transposed)
                    left, right = _power_iteration(matrix.detach(), buffers[vector], self.iterations)
                    used[name], kept[vector] = value / (left @ matrix @ right), left
        return used, kept


def _left(transposed: bool) -> str:
    """What a weight's name is followed by where its left vector is kept."""
    return "_transposed_u" if transposed else "_u"


def _matrix(value: Tensor, transposed: bool) -> Tensor:
    """A weight as (outputs, all inputs)."""
    return (value.transpose(0, 1) if transposed else value).flatten(1)


def _power_iteration(matrix: Tensor, left: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """The leading left and right singular vectors, approached from a left vector."""
    for _ in range(iterations):
        right = normalize(matrix.mT @ left, dim=0)
        left = normalize(matrix @ right, dim=0)
    return left, right


PARTS: tuple[type[Constraint], ...] = (Free, WeightClip, SpectralNorm)
