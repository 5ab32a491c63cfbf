"""Losses: what critic and generator minimise, as functions of the critic's judgements of a real and a fake batch.

Contract first, then the parts in the order of publication. Scores follow one convention: higher = more real.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from uncollapse.errors import UserError
from uncollapse.parts.scene import Judgement, Part, Scene, Sizes, given, require_real

State = Mapping[str, Tensor]
# Keeps the derivative of a distance finite where a reconstruction is exact.
DISTANCE_FLOOR = 1e-12


class Loss(Part):
    """Contract: two scalars from the judgements of one run; optional state that follows the game (BEGAN's k).

    Attributes:
        generator_sees_real: Whether the generator's loss looks at the real batch (relativistic losses do).
        separate: Of a loss whose generator sees real samples: whether it takes means of both sides apart, so that there
            may be more of one. Others compare each fake with the real sample beside it.
        reads: What the score is made of: the critic's own score, the error of an auto-encoding critic, or the logits
            of who made the sample.
    """

    generator_sees_real: ClassVar[bool] = False
    separate: ClassVar[bool] = False
    reads: ClassVar[Literal["score", "reconstruction", "generator_logits"]] = "score"

    def judge(self, judgement: Judgement) -> Judgement:
        """The judgement with the score that this loss plays for; penalties see the same one."""
        return judgement

    def error(self, difference: Tensor) -> Tensor:
        """(batch, data) -> (batch,): how wrong a reconstruction is, for an auto-encoding critic."""
        raise RuntimeError("this loss does not read reconstructions")

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


class CrossEntropy(Loss):
    """The critic of the original game, ``L_D = E softplus(-D(x)) + E softplus(D(G(z)))``; subclasses name ``L_G``."""

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Binary cross-entropy on logits, each a mean over its own batch."""
        return softplus(-real.score).mean() + softplus(fake.score).mean()


@dataclass(frozen=True, kw_only=True)
class NonSaturating(CrossEntropy):
    """The original game with the generator's non-saturating loss.

    ``L_D = E softplus(-D(x)) + E softplus(D(G(z)))``, ``L_G = E softplus(-D(G(z)))``.

    Reference: Goodfellow et al. 2014, arXiv:1406.2661.
    """

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Cross-entropy of calling the fakes real."""
        return softplus(-fake.score).mean()


@dataclass(frozen=True, kw_only=True)
class Saturating(CrossEntropy):
    """The original minimax game, whose generator gradient vanishes when the critic is sure.

    ``L_D`` as in `NonSaturating`, ``L_G = -E softplus(D(G(z)))``.

    Reference: Goodfellow et al. 2014, arXiv:1406.2661.
    """

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Minus the critic's cross-entropy on the fakes."""
        return -softplus(fake.score).mean()


@dataclass(frozen=True, kw_only=True)
class Minimax(CrossEntropy):
    """The original zero-sum game: the generator minimises exactly what the critic maximises.

    ``L_G = -L_D``, real samples included: they matter as soon as the critic is a function of the generator (unrolling).

    Reference: Goodfellow et al. 2014, arXiv:1406.2661; Metz et al. 2017, arXiv:1611.02163.
    """

    generator_sees_real: ClassVar[bool] = True
    separate: ClassVar[bool] = True

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Minus the critic's cross-entropy."""
        return -softplus(-require_real(real).score).mean() - softplus(fake.score).mean()


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

    ``L_D = E D(G(z)) - E D(x)``, ``L_G = -E D(G(z))``. Without either, which is let through for comparisons, the scores
    grow without end.

    Reference: Arjovsky et al. 2017, arXiv:1701.07875.
    """

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Minus the estimated distance."""
        return fake.score.mean() - real.score.mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Minus the fakes' mean score."""
        return -fake.score.mean()


@dataclass(frozen=True, kw_only=True)
class EnergyMargin(Loss):
    """Energy-based GAN: the critic is an auto-encoder whose error is pushed up to a margin on fakes.

    ``E(v) = ||D(v) - v||_2``, ``L_D = E E(x) + E relu(m sqrt(d / 2) - E(G(z)))`` with the hinge on each sample of d
    numbers, ``L_G = E E(G(z))``; the generator's gradient flows through both ``v`` and ``D(v)``. The energy of data
    must lie below the margin, and a Euclidean norm grows with the root of d: so does the margin, 1 in the plane and 20
    for 28 x 28 pixels (the paper chooses 10 to 80 for images).

    Attributes:
        margin: m > 0, in the units of the data, for points in the plane.

    Reference: Zhao et al. 2017, arXiv:1609.03126.
    """

    reads: ClassVar[Literal["score", "reconstruction", "generator_logits"]] = "reconstruction"
    margin: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a margin under which fakes cost nothing."""
        if not self.margin > 0:
            raise UserError(f"EnergyMargin(margin={self.margin}) never pushes fakes away; choose a margin above 0.")

    def error(self, difference: Tensor) -> Tensor:
        """Euclidean distance between a sample and its reconstruction."""
        return (difference.square().sum(-1) + DISTANCE_FLOOR).sqrt()

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Low energy on data, at least the margin on each fake."""
        margin = self.margin * math.sqrt(scene.fake[0].numel() / 2)
        return -real.score.mean() + (margin + fake.score).relu().mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """The fakes' energy."""
        return -fake.score.mean()


@dataclass(frozen=True, kw_only=True)
class BoundaryEquilibrium(Loss):
    """BEGAN: an auto-encoder's errors on real and fake samples are held in a fixed ratio.

    ``L(v) = mean |v - D(v)|``, ``L_D = L(x) - k L(G(z))``, ``L_G = L(G(z))``, and after each generator step
    ``k <- clip(k + gain (gamma L(x) - L(G(z))), 0, 1)``. The convergence measure
    ``M = L(x) + |gamma L(x) - L(G(z))|`` is kept beside k.

    Attributes:
        gamma: The ratio, from 0 (sharp, collapsing) to 1 (diverse).
        gain: lambda_k, the step of k.

    Reference: Berthelot et al. 2017, arXiv:1703.10717.
    """

    generator_sees_real: ClassVar[bool] = True
    reads: ClassVar[Literal["score", "reconstruction", "generator_logits"]] = "reconstruction"
    batch_level: ClassVar[bool] = True  # k is held in [0, 1] after each step, and M is an absolute value
    gamma: float = 0.5
    gain: float = 0.001

    def __post_init__(self) -> None:
        """Refuses ratios and gains without an equilibrium."""
        if not 0 < self.gamma <= 1 or not self.gain > 0:
            raise UserError(
                f"BoundaryEquilibrium(gamma={self.gamma}, gain={self.gain}) has no equilibrium;"
                " choose gamma in (0, 1] and a gain above 0."
            )

    def error(self, difference: Tensor) -> Tensor:
        """Mean absolute difference between a sample and its reconstruction."""
        return difference.abs().mean(-1)

    def init_state(self) -> dict[str, Tensor]:
        """k = 0."""
        return {"k": torch.zeros(()), "convergence": torch.zeros(())}

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Small error on data, large error on fakes as far as k allows."""
        return -real.score.mean() + state["k"] * fake.score.mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """The fakes' error."""
        return -fake.score.mean()

    def next_state(self, state: State, real: Judgement | None, fake: Judgement, scene: Scene) -> State:
        """k moved towards the ratio, and the convergence measure."""
        wrong_real, wrong_fake = -require_real(real).score.mean(), -fake.score.mean()
        balance = (self.gamma * wrong_real - wrong_fake).detach()
        k = (state["k"] + self.gain * balance).clamp(0, 1)
        return {"k": k, "convergence": wrong_real.detach() + balance.abs()}


@dataclass(frozen=True, kw_only=True)
class Hinge(Loss):
    """The hinge version of the adversarial loss.

    ``L_D = E relu(1 - D(x)) + E relu(1 + D(G(z)))``, ``L_G = -E D(G(z))``.

    Reference: Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957.
    """

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Only scores on the wrong side of the margin count."""
        return (1 - real.score).relu().mean() + (1 + fake.score).relu().mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Minus the fakes' mean score."""
        return -fake.score.mean()


@dataclass(frozen=True, kw_only=True)
class LogRatio(CrossEntropy):
    """Cross-entropy for the critic, whose logit then estimates a log-ratio of densities that the generator minimises.

    ``L_D`` as in `NonSaturating`, ``L_G = -E D(G(z))``.

    Reference: Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761.
    """

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Minus the fakes' mean logit."""
        return -fake.score.mean()


def log_softplus(score: Tensor) -> Tensor:
    """``log log (1 + e^s)``, which is s itself to nine digits below -20, where the inner logarithm would underflow."""
    return torch.where(score < -20, score, softplus(score.clamp(min=-20)).log())


@dataclass(frozen=True, kw_only=True)
class TwoCritics(Loss):
    """D2GAN: one critic rewards data, the other rewards fakes, and the generator pleases both.

    With ``D1, D2 = softplus(scores) > 0``:
    ``L_D = -alpha E log D1(x) + E D1(G(z)) + E D2(x) - beta E log D2(G(z))``,
    ``L_G = -E D1(G(z)) + beta E log D2(G(z))``.

    Attributes:
        alpha: Weight of the logarithm in the first critic, in (0, 1].
        beta: Weight of the logarithm in the second critic, in (0, 1].

    Reference: Nguyen et al. 2017, arXiv:1709.03831.
    """

    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        """Refuses weights outside the paper's range."""
        if not (0 < self.alpha <= 1 and 0 < self.beta <= 1):
            raise UserError(f"TwoCritics(alpha={self.alpha}, beta={self.beta}) must both lie in (0, 1].")

    def heads(self, sizes: Sizes) -> dict[str, int]:
        """The second critic."""
        return {"second_score": 1}

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Both critics' losses."""
        first = -self.alpha * log_softplus(real.score).mean() + softplus(fake.score).mean()
        second_real, second_fake = (given(one.second_score, "a second score") for one in (real, fake))
        return first + softplus(second_real).mean() - self.beta * log_softplus(second_fake).mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """High first score, low second score."""
        second = given(fake.second_score, "a second score")
        return -softplus(fake.score).mean() + self.beta * log_softplus(second).mean()


@dataclass(frozen=True, kw_only=True)
class WhoMadeIt(Loss):
    """MAD-GAN: the critic names the generator that made a sample, or says "real" (its last class).

    ``L_D = -E log D_{k+1}(x) - sum_i E log D_i(G_i(z))``, ``L_G = E log(1 - D_{k+1}(G_i(z)))``; the score is the
    log-odds of "real".

    Reference: Ghosh et al. 2018, arXiv:1704.02906.
    """

    reads: ClassVar[Literal["score", "reconstruction", "generator_logits"]] = "generator_logits"

    def heads(self, sizes: Sizes) -> dict[str, int]:
        """One class a generator, and one for real data."""
        return {"generator_logits": sizes.generators + 1}

    def judge(self, judgement: Judgement) -> Judgement:
        """The log-odds of the last class as the score."""
        logits = given(judgement.generator_logits, "generator logits")
        return replace(judgement, score=logits[..., -1] - logits[..., :-1].logsumexp(-1))

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Cross-entropy over the k + 1 classes; the fakes of each generator are as heavy as the data."""
        made = given(fake.generator_logits, "generator logits").log_softmax(-1)[:, :-1]
        index = given(scene.generator_index, "which generator made a sample")
        # Each fake has one generator drawn at random, so that the sum over k generators is k times the mean over fakes.
        return softplus(-real.score).mean() - made.shape[-1] * (index * made).sum(-1).mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Logarithm of the probability of not being called real."""
        return -softplus(fake.score).mean()


@dataclass(frozen=True, kw_only=True)
class Relativistic(Loss):
    """Relativistic pairing: each fake is scored against the real sample beside it.

    ``L_D = E softplus(-(D(x) - D(G(z))))``, ``L_G = E softplus(-(D(G(z)) - D(x)))``.

    Reference: Jolicoeur-Martineau 2019, arXiv:1807.00734; Huang et al. 2024 (R3GAN), arXiv:2501.05441.
    """

    generator_sees_real: ClassVar[bool] = True

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """The real sample of each pair should score higher."""
        return softplus(fake.score - real.score).mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """The fake of each pair should score higher."""
        return softplus(require_real(real).score - fake.score).mean()


@dataclass(frozen=True, kw_only=True)
class TopK(CrossEntropy):
    """The original game in which the generator learns from its best-scored fakes only.

    ``L_G`` is the mean of ``softplus(-D(G(z)))`` over the k highest scores; k falls from the whole batch to
    ``share`` of it over the first ``ramp`` of the budget.

    Attributes:
        share: nu, the final k as a share of the batch, in (0, 1].
        ramp: Share of the budget over which k falls, in (0, 1].

    Reference: Sinha et al. 2020, arXiv:2002.06224.
    """

    follows_budget: ClassVar[bool] = True
    batch_level: ClassVar[bool] = True
    share: float = 0.5
    ramp: float = 0.5

    def __post_init__(self) -> None:
        """Refuses an empty or overfull choice."""
        if not (0 < self.share <= 1 and 0 < self.ramp <= 1):
            raise UserError(f"TopK(share={self.share}, ramp={self.ramp}) must both lie in (0, 1].")

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Cross-entropy of calling the k best fakes real."""
        batch = fake.score.shape[0]
        spent = (scene.progress / self.ramp).clamp(max=1)
        # A rounding error keeps no fake more, and a tiny share still keeps one.
        kept = torch.ceil(batch * (1 - (1 - self.share) * spent) - 1e-3).clamp(min=1)
        best = fake.score.sort(descending=True).values
        chosen = (torch.arange(batch, device=best.device) < kept).to(best.dtype)
        return (softplus(-best) * chosen).sum() / kept


PARTS: tuple[type[Loss], ...] = (
    NonSaturating,
    Saturating,
    Minimax,
    LeastSquares,
    Wasserstein,
    EnergyMargin,
    BoundaryEquilibrium,
    Hinge,
    LogRatio,
    TwoCritics,
    WhoMadeIt,
    Relativistic,
    TopK,
)
