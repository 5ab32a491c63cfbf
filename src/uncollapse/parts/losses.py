"""Losses: what critic and generator minimise, as functions of the critic's judgements of a real and a fake batch.

Contract first, then the parts in the order of publication. Scores follow one convention: higher = more real.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from uncollapse.parts.scene import Judgement, Part, Scene

State = Mapping[str, Tensor]


class Loss(Part):
    """Contract: two scalars from the judgements of one run; optional state that follows the game (BEGAN's k).

    Attributes:
        generator_sees_real: Whether the generator's loss looks at the real batch (relativistic losses do).
    """

    generator_sees_real: ClassVar[bool] = False

    @abstractmethod
    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """What the critic minimises; scalar."""

    @abstractmethod
    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """What the generator minimises; scalar. `real` is None unless `generator_sees_real`."""

    def init_state(self) -> dict[str, Tensor]:
        """The state at the start of a run, scalars by name."""
        return {}

    def next_state(self, state: State, real: Judgement | None, fake: Judgement, scene: Scene) -> State:
        """The state after a generator step."""
        return state


@dataclass(frozen=True, kw_only=True)
class NonSaturating(Loss):
    """The original game with the generator's non-saturating loss.

    ``L_D = E softplus(-D(x)) + E softplus(D(G(z)))``, ``L_G = E softplus(-D(G(z)))``.

    Reference: Goodfellow et al. 2014, arXiv:1406.2661.
    """

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Binary cross-entropy on logits."""
        return softplus(-real.score).mean() + softplus(fake.score).mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Cross-entropy of calling the fakes real."""
        return softplus(-fake.score).mean()


@dataclass(frozen=True, kw_only=True)
class Saturating(Loss):
    """The original minimax game, whose generator gradient vanishes when the critic is sure.

    ``L_D`` as in `NonSaturating`, ``L_G = -E softplus(D(G(z)))``.

    Reference: Goodfellow et al. 2014, arXiv:1406.2661.
    """

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Binary cross-entropy on logits."""
        return softplus(-real.score).mean() + softplus(fake.score).mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Minus the critic's cross-entropy on the fakes."""
        return -softplus(fake.score).mean()


@dataclass(frozen=True, kw_only=True)
class LeastSquares(Loss):
    """Least-squares GAN with targets a = 0 (fake), b = 1 (real), c = 1 (what the generator wants).

    ``L_D = 1/2 E (D(x) - 1)^2 + 1/2 E D(G(z))^2``, ``L_G = 1/2 E (D(G(z)) - 1)^2``.

    Reference: Mao et al. 2017, arXiv:1611.04076.
    """

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Squared distance of the scores to their targets."""
        return ((real.score - 1).square().mean() + fake.score.square().mean()) / 2

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Squared distance of the fakes' scores to the real target."""
        return (fake.score - 1).square().mean() / 2


@dataclass(frozen=True, kw_only=True)
class Wasserstein(Loss):
    """The dual of the Wasserstein-1 distance; the critic must be kept Lipschitz by a penalty or a constraint.

    ``L_D = E D(G(z)) - E D(x)``, ``L_G = -E D(G(z))``.

    Reference: Arjovsky et al. 2017, arXiv:1701.07875.
    """

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Minus the estimated distance."""
        return fake.score.mean() - real.score.mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Minus the fakes' mean score."""
        return -fake.score.mean()


PARTS: tuple[type[Loss], ...] = (NonSaturating, Saturating, LeastSquares, Wasserstein)
