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
from uncollapse.parts.dynamics import Constant, Schedule
from uncollapse.parts.scene import Judgement, Law, Part, Scene, Sizes, given, require_real

# Keeps the derivative of the norm finite where the slope is exactly zero.
NORM_FLOOR = 1e-12


class Penalty(Part):
    """Contract: one scalar from the scene of a critic step.

    Attributes:
        per_sample: Whether it differentiates the score of single samples, which batch statistics would mix.
        off_samples: Whether it asks about points that are neither real nor fake.
    """

    per_sample: ClassVar[bool] = True
    off_samples: ClassVar[bool] = False

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


def check_weight(part: Part, weight: float) -> None:
    """Refuses a weight that would reward what it should punish."""
    if weight < 0:
        name = type(part).__name__
        raise UserError(f"{name}(weight={weight}) rewards what it should punish; choose a weight of 0 or more.")


@dataclass(frozen=True, kw_only=True)
class GradientPenalty(Penalty):
    """Holds the critic's slope at 1 on random points between real and fake samples.

    ``weight * E (||grad D(x_hat)||_2 - 1)^2`` with ``x_hat = e x + (1 - e) G(z)``, ``e ~ U[0, 1)`` for each sample.
    One-sided: only slopes above 1 are penalised. A conditional critic is asked about ``x_hat`` with the label that the
    real and the fake sample share.

    Attributes:
        weight: lambda, 10 in the paper and 0.1 in its authors' code for points in the plane.
        one_sided: Penalise only slopes above 1.
        schedule: Factor on the weight over the run.

    Reference: Gulrajani et al. 2017, arXiv:1704.00028.
    """

    off_samples: ClassVar[bool] = True
    weight: float = 10.0
    one_sided: bool = False
    schedule: Schedule = Constant()  # noqa: RUF009 (frozen parts are safe to share)

    def __post_init__(self) -> None:
        """Refuses a weight that would reward what it should punish."""
        check_weight(self, self.weight)

    def noise(self, sizes: Sizes) -> dict[str, tuple[Law, tuple[int, ...]]]:
        """One position between real and fake for each item the critic judges."""
        return {"between": ("uniform", (sizes.packs,))}

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted penalty; scalar."""
        real, fake = given(scene.real, "the real batch"), scene.fake
        between = scene.noise["between"].reshape(-1, *([1] * (fake.ndim - 1)))
        excess = mean_excess(scene.slope(torch.lerp(fake, real, between)), self.one_sided)
        return self.weight * self.schedule(scene.progress) * excess


@dataclass(frozen=True, kw_only=True)
class ZeroCentred(Penalty):
    """Pulls the critic's slope to zero on the data (R1) or on the fakes (R2).

    ``weight / 2 * E ||grad D||^2`` over real or over fake samples.

    Attributes:
        weight: gamma.
        on: ``"real"`` (R1) or ``"fake"`` (R2).
        schedule: Factor on the weight over the run.

    Reference: Mescheder et al. 2018, arXiv:1801.04406; Roth et al. 2017, arXiv:1705.09367.
    """

    weight: float = 1.0
    on: Literal["real", "fake"] = "real"
    schedule: Schedule = Constant()  # noqa: RUF009 (frozen parts are safe to share)

    def __post_init__(self) -> None:
        """Refuses a weight that would reward what it should punish."""
        check_weight(self, self.weight)

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted penalty; scalar."""
        where = given(scene.real, "the real batch") if self.on == "real" else scene.fake
        return self.weight * self.schedule(scene.progress) * mean_square(scene.slope(where))


def neighbours(real: Tensor, direction: Tensor, distance: Tensor, spread: float) -> Tensor:
    """``x + e s u`` with ``s = spread * std(x)`` for directions u like x and distances e (packs,)."""
    return real + distance.reshape(-1, *([1] * (real.ndim - 1))) * spread * real.std() * direction


@dataclass(frozen=True, kw_only=True)
class Dragan(Penalty):
    """Holds the critic's slope at 1 around the data.

    ``weight * E (||grad D(x + e s u)||_2 - 1)^2`` with ``s = spread * std(x)`` over the whole batch, ``u ~ U[0, 1)``
    for each number and ``e ~ U[0, 1)`` for each sample.

    Attributes:
        weight: lambda.
        spread: Size of the neighbourhood in standard deviations of the batch.

    Reference: Kodali et al. 2017, arXiv:1705.07215.
    """

    off_samples: ClassVar[bool] = True
    batch_level: ClassVar[bool] = True  # the neighbourhood is as wide as the whole batch spreads
    weight: float = 10.0
    spread: float = 0.5

    def __post_init__(self) -> None:
        """Refuses a weight that would reward what it should punish, and a neighbourhood of no size."""
        check_weight(self, self.weight)
        if self.spread < 0:
            raise UserError(f"Dragan(spread={self.spread}) is no size of a neighbourhood; choose 0 or more, as 0.5.")

    def noise(self, sizes: Sizes) -> dict[str, tuple[Law, tuple[int, ...]]]:
        """A direction and a distance for each item."""
        return {"direction": ("uniform", (sizes.packs, *sizes.packed_shape)), "distance": ("uniform", (sizes.packs,))}

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted penalty; scalar."""
        real = given(scene.real, "the real batch")
        around = neighbours(real, scene.noise["direction"], scene.noise["distance"], self.spread)
        return self.weight * mean_excess(scene.slope(around), one_sided=False)


def misnamed(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of logits (batch, classes) against one-hot rows; scalar."""
    return -(wanted * logits.log_softmax(-1)).sum(-1).mean()


@dataclass(frozen=True, kw_only=True)
class LabelClassifier(Penalty):
    """The critic's half of AC-GAN: real and generated samples are classified by their labels.

    ``weight * (E -log C(y | x) + E -log C(y | G(z, y)))``.

    Attributes:
        weight: Weight of both cross-entropies.

    Reference: Odena et al. 2017, arXiv:1610.09585.
    """

    per_sample: ClassVar[bool] = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a weight that would reward what it should punish."""
        check_weight(self, self.weight)

    def heads(self, sizes: Sizes) -> dict[str, int]:
        """One logit a class."""
        return {"class_logits": sizes.classes}

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted cross-entropies; scalar."""
        labels = given(scene.labels, "labels")
        real, fake = (
            misnamed(given(one.class_logits, "class logits"), labels)
            for one in (require_real(scene.real_judgement), scene.fake_judgement)
        )
        return self.weight * (real + fake)


@dataclass(frozen=True, kw_only=True)
class GeneratorClassifier(Penalty):
    """The critic's half of MGAN: a head learns which generator made a fake.

    ``weight * E -log C(i | G_i(z))``.

    Attributes:
        weight: Weight of the cross-entropy.

    Reference: Hoang et al. 2018, arXiv:1708.02556.
    """

    per_sample: ClassVar[bool] = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a weight that would reward what it should punish."""
        check_weight(self, self.weight)

    def heads(self, sizes: Sizes) -> dict[str, int]:
        """One logit a generator."""
        return {"generator_logits": sizes.generators}

    def __call__(self, scene: Scene) -> Tensor:
        """The weighted cross-entropy; scalar."""
        return self.weight * generator_error(scene.fake_judgement, scene)


def generator_error(fake: Judgement, scene: Scene) -> Tensor:
    """Cross-entropy of naming the generator that made each fake; scalar."""
    index = given(scene.generator_index, "which generator made a sample")
    return misnamed(given(fake.generator_logits, "generator logits"), index)


PARTS: tuple[type[Penalty], ...] = (GradientPenalty, ZeroCentred, Dragan, LabelClassifier, GeneratorClassifier)
