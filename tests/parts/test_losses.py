"""Losses against hand-computed two-sample values and the closed-form vector field of the Dirac-GAN.

Dirac-GAN (Mescheder et al. 2018): data are the point 0, the generator is the point theta, the critic is D(x) = psi x.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from uncollapse.game import Batch, Clock, Game, Player, State
from uncollapse.method import Method
from uncollapse.methods import VANILLA
from uncollapse.optimiser import Moments
from uncollapse.parts.losses import PARTS, LeastSquares, Loss, NonSaturating, Saturating, Wasserstein
from uncollapse.parts.penalties import GradientPenalty, ZeroCentred
from uncollapse.parts.scene import Judgement


class Point(nn.Module):
    """The generator that makes one point, whatever the latent."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1))

    def forward(self, latent: Tensor, labels: Tensor | None, index: Tensor | None) -> Tensor:
        return self.theta.expand(len(latent), 1)


class Slope(nn.Module):
    """The critic that is one number."""

    def __init__(self) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor, context: Tensor | None) -> Judgement:
        return Judgement(score=(inputs * self.psi).squeeze(-1), features=inputs)


def vector_field(method: Method, theta: float, psi: float) -> tuple[float, float]:
    """Minus the gradient that each player descends: (generator's, critic's)."""
    game = Game.of(method, Point(), Slope())

    def player(value: float) -> Player:
        flat = torch.tensor([value], dtype=torch.float64)
        return Player(flat, Moments(torch.zeros_like(flat), torch.zeros_like(flat)), {})

    state = State(player(psi), player(theta), {})
    batch = Batch(
        latent=torch.zeros(4, 1, dtype=torch.float64),
        real=torch.zeros(4, 1, dtype=torch.float64),
        labels=None,
        generator_index=None,
        noise={"penalties.0.between": torch.linspace(0, 0.9, 4, dtype=torch.float64)},
    )
    clock = Clock(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
    fields = []
    for objective, at in ((game.generator_objective, theta), (game.critic_objective, psi)):
        point = torch.tensor([at], dtype=torch.float64, requires_grad=True)
        value, _ = objective(point, state, batch, clock)
        (gradient,) = torch.autograd.grad(value, point)
        fields.append(-gradient.item())
    return fields[0], fields[1]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


# What the generator and the critic do at (theta, psi), worked out by hand from each loss with D(x) = psi x.
DIRAC = {
    NonSaturating: lambda theta, psi: (psi * sigmoid(-psi * theta), -theta * sigmoid(psi * theta)),
    Saturating: lambda theta, psi: (psi * sigmoid(psi * theta), -theta * sigmoid(psi * theta)),
    LeastSquares: lambda theta, psi: (-(psi * theta - 1) * psi, -psi * theta**2),
    Wasserstein: lambda theta, psi: (psi, -theta),
}


def test_every_loss_has_its_vector_field() -> None:
    assert set(DIRAC) == set(PARTS)


@pytest.mark.parametrize("loss", PARTS, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize(("theta", "psi"), [(0.7, -0.4), (-1.3, 0.9), (0.2, 2.0)])
def test_dirac_vector_field_of_each_loss(loss: type[Loss], theta: float, psi: float) -> None:
    found = vector_field(VANILLA.but(loss=loss()), theta, psi)
    assert found == pytest.approx(DIRAC[loss](theta, psi), rel=1e-12)


@pytest.mark.parametrize(("theta", "psi"), [(0.7, -0.4), (-1.3, 0.9), (0.2, 2.0)])
def test_dirac_vector_field_of_each_penalty(theta: float, psi: float) -> None:
    plain = vector_field(VANILLA.but(loss=Wasserstein()), theta, psi)
    cases = [
        (GradientPenalty(weight=3.0), -2 * 3.0 * (abs(psi) - 1) * math.copysign(1, psi)),
        (GradientPenalty(weight=3.0, one_sided=True), -2 * 3.0 * max(abs(psi) - 1, 0) * math.copysign(1, psi)),
        (ZeroCentred(weight=0.8, on="real"), -0.8 * psi),
        (ZeroCentred(weight=0.8, on="fake"), -0.8 * psi),
    ]
    for penalty, pull in cases:
        generator, critic = vector_field(VANILLA.but(loss=Wasserstein(), penalties=(penalty,)), theta, psi)
        assert generator == pytest.approx(plain[0], rel=1e-12)
        assert critic == pytest.approx(plain[1] + pull, rel=1e-9, abs=1e-9)


# Scores of two real and two fake samples, with the losses worked out by hand.
REAL, FAKE = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 3.0], dtype=torch.float64)


def softplus(value: float) -> float:
    return math.log(1 + math.exp(value))


CRITIC_CROSS_ENTROPY = (softplus(-1) + softplus(2)) / 2 + (softplus(0.5) + softplus(3)) / 2
BY_HAND = {
    NonSaturating: (CRITIC_CROSS_ENTROPY, (softplus(-0.5) + softplus(-3)) / 2),
    Saturating: (CRITIC_CROSS_ENTROPY, -(softplus(0.5) + softplus(3)) / 2),
    LeastSquares: (0.5 * (0 + 9) / 2 + 0.5 * (0.25 + 9) / 2, 0.5 * (0.25 + 4) / 2),
    Wasserstein: (1.75 - (-0.5), -1.75),
}


@pytest.mark.parametrize("loss", PARTS, ids=lambda loss: loss.__name__)
def test_two_samples_by_hand(loss: type[Loss]) -> None:
    real, fake = (Judgement(score=score, features=score[:, None]) for score in (REAL, FAKE))
    assert loss().critic(real, fake, {}, None).item() == pytest.approx(BY_HAND[loss][0], rel=1e-12)  # type: ignore[arg-type]
    assert loss().generator(None, fake, None).item() == pytest.approx(BY_HAND[loss][1], rel=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", [NonSaturating, Saturating])
def test_cross_entropy_equals_torch(loss: type[Loss]) -> None:
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    real, fake = (Judgement(score=score, features=score[:, None]) for score in (REAL, FAKE))
    expected = cross_entropy(REAL, torch.ones_like(REAL)) + cross_entropy(FAKE, torch.zeros_like(FAKE))
    torch.testing.assert_close(loss().critic(real, fake, {}, None), expected)  # type: ignore[arg-type]


def test_extreme_scores_stay_finite() -> None:
    extreme = torch.tensor([-1e4, 1e4], dtype=torch.float32)
    judgement = Judgement(score=extreme, features=extreme[:, None])
    for loss in (NonSaturating(), Saturating()):
        assert loss.critic(judgement, judgement, {}, None).item() == pytest.approx(1e4)  # type: ignore[arg-type]
        assert loss.generator(None, judgement, None).isfinite()  # type: ignore[arg-type]
