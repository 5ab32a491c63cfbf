"""Penalties: scalars added to what the critic minimises, read from the scene of one run.

Contract first, then the parts in the order of publication. Gradients are with respect to what the critic is given: one
sample, or one pack under a packing view.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.parts.scene import Law, Part, Scene, Sizes

# Keeps the derivative of the norm finite where the slope is exactly zero.
NORM_FLOOR = 1e-12


class Penalty(Part):
    """Contract: one scalar from the scene of a critic step.

    Attributes:
        per_sample: Whether it differentiates the score of single samples, which batch statistics would mix.
    """

    per_sample: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, scene: Scene) -> Tensor:
        """The weighted penalty; scalar."""


def mean_excess(slope: Tensor, one_sided: bool) -> Tensor:
    """``E (||slope|| - 1)^2`` over slopes (packs, ...), each norm over all dimensions of one item; scalar."""
    excess = (slope.flatten(1).square().sum(-1) + NORM_FLOOR).sqrt() - 1
    return (excess.relu() if one_sided else excess).square().mean()


def mean_square(slope: Tensor) -> Tensor:
    """``1/2 E ||slope||^2`` over slopes (packs, ...); scalar."""
    return slope.flatten(1).square().sum(-1).mean() / 2


def _check_weight(penalty: GradientPenalty | ZeroCentred) -> None:
    if penalty.weight < 0:
        name = type(penalty).__name__
        raise UserError(f"{name}(weight={penalty.weight}) rewards what it should punish; choose a weight of 0 or more.")


@dataclass(frozen=True, kw_only=True)
class GradientPenalty(Penalty):
    """Holds the critic's slope at 1 on random points between real and fake samples.

    ``weight * E (||grad D(x_hat)||_2 - 1)^2`` with ``x_hat = e x + (1 - e) G(z)``, ``e ~ U[0, 1)`` for each sample.
    One-sided: only slopes above 1 are penalised. A conditional critic is asked about ``x_hat`` with the label that the
    real and the fake sample share.

    Attributes:
        weight: lambda, 10 in the paper and 0.1 in its 2-D experiments.
        one_sided: Penalise only slopes above 1.

    Reference: Gulrajani et al. 2017, arXiv:1704.00028.
    """

    weight: float = 10.0
    one_sided: bool = False

    def __post_init__(self) -> None:
        """Refuses a weight that would reward what it should punish."""
        _check_weight(self)

    def noise(self, sizes: Sizes) -> dict[str, tuple[Law, tuple[int, ...]]]:
        """One position between real and fake for each item the critic judges."""
        return {"between": ("uniform", (sizes.packs,))}

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted penalty; scalar."""
        real, fake = scene.real, scene.fake
        if real is None:
            raise RuntimeError("a gradient penalty needs the real batch")
        between = scene.noise["between"].reshape(-1, *([1] * (fake.ndim - 1)))
        return self.weight * mean_excess(scene.slope(torch.lerp(fake, real, between)), self.one_sided)


@dataclass(frozen=True, kw_only=True)
class ZeroCentred(Penalty):
    """Pulls the critic's slope to zero on the data (R1) or on the fakes (R2).

    ``weight / 2 * E ||grad D||^2`` over real or over fake samples.

    Attributes:
        weight: gamma.
        on: ``"real"`` (R1) or ``"fake"`` (R2).

    Reference: Mescheder et al. 2018, arXiv:1801.04406; Roth et al. 2017, arXiv:1705.09367.
    """

    weight: float = 1.0
    on: Literal["real", "fake"] = "real"

    def __post_init__(self) -> None:
        """Refuses a place that does not exist."""
        _check_weight(self)
        if self.on not in ("real", "fake"):
            raise UserError(f"ZeroCentred(on={self.on!r}) is not a place to look; choose 'real' (R1) or 'fake' (R2).")

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted penalty; scalar."""
        where = scene.real if self.on == "real" else scene.fake
        if where is None:
            raise RuntimeError("a zero-centred penalty on real data needs the real batch")
        return self.weight * mean_square(scene.slope(where))


PARTS: tuple[type[Penalty], ...] = (GradientPenalty, ZeroCentred)
