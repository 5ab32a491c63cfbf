"""Losses against hand-computed two-sample values and the closed-form vector field of the Dirac-GAN.

Dirac-GAN (Mescheder et al. 2018): data are the point 0, the generator is the point theta, the critic is D(x) = psi x.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.game import Batch, Clock, Game, Player, State
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.optimiser import Moments
from uncollapse.parts.losses import (
    PARTS,
    BoundaryEquilibrium,
    EnergyMargin,
    Hinge,
    LeastSquares,
    LogRatio,
    Loss,
    Minimax,
    NonSaturating,
    Relativistic,
    Saturating,
    TopK,
    TwoCritics,
    Wasserstein,
    WhoMadeIt,
)
from uncollapse.parts.penalties import GradientPenalty, ZeroCentred
from uncollapse.parts.scene import Judgement, Sizes
from uncollapse.run import make_spec
from uncollapse.trees import tree_map


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


def cross_entropy_pull(theta: float, psi: float) -> float:
    return -theta * sigmoid(psi * theta)


# What the generator and the critic do at (theta, psi), worked out by hand from each loss with D(x) = psi x.
DIRAC = {
    NonSaturating: lambda theta, psi: (psi * sigmoid(-psi * theta), cross_entropy_pull(theta, psi)),
    Saturating: lambda theta, psi: (psi * sigmoid(psi * theta), cross_entropy_pull(theta, psi)),
    Minimax: lambda theta, psi: (psi * sigmoid(psi * theta), cross_entropy_pull(theta, psi)),
    LeastSquares: lambda theta, psi: (-(psi * theta - 1) * psi, -psi * theta**2),
    Wasserstein: lambda theta, psi: (psi, -theta),
    Hinge: lambda theta, psi: (psi, -theta if 1 + psi * theta > 0 else 0),
    LogRatio: lambda theta, psi: (psi, cross_entropy_pull(theta, psi)),
    Relativistic: lambda theta, psi: (psi * sigmoid(-psi * theta), cross_entropy_pull(theta, psi)),
    TopK: lambda theta, psi: (psi * sigmoid(-psi * theta), cross_entropy_pull(theta, psi)),
}
# Losses of other critics than one number a sample; each has its own tests below.
OTHER_CRITICS = {EnergyMargin, BoundaryEquilibrium, TwoCritics, WhoMadeIt}


def test_every_loss_has_its_truth() -> None:
    assert DIRAC.keys() | OTHER_CRITICS == set(PARTS)
    assert DIRAC.keys() == BY_HAND.keys()


@pytest.mark.parametrize("loss", DIRAC, ids=lambda loss: loss.__name__)
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
    Minimax: (CRITIC_CROSS_ENTROPY, -CRITIC_CROSS_ENTROPY),
    LeastSquares: (0.5 * (0 + 9) / 2 + 0.5 * (0.25 + 9) / 2, 0.5 * (0.25 + 4) / 2),
    Wasserstein: (1.75 - (-0.5), -1.75),
    Hinge: ((0 + 3) / 2 + (1.5 + 4) / 2, -1.75),
    LogRatio: (CRITIC_CROSS_ENTROPY, -1.75),
    Relativistic: ((softplus(-0.5) + softplus(5)) / 2, (softplus(0.5) + softplus(-5)) / 2),
    TopK: (CRITIC_CROSS_ENTROPY, (softplus(-0.5) + softplus(-3)) / 2),
}


def staged(**fields: Any) -> Any:
    """What these losses read of a scene."""
    return SimpleNamespace(**{"progress": torch.zeros((), dtype=torch.float64), **fields})


def judged(*scores: float, **fields: Tensor) -> Judgement:
    score = torch.tensor(scores, dtype=torch.float64)
    return Judgement(score=score, features=score[:, None], **fields)


@pytest.mark.parametrize("loss", BY_HAND, ids=lambda loss: loss.__name__)
def test_two_samples_by_hand(loss: type[Loss]) -> None:
    real, fake = (Judgement(score=score, features=score[:, None]) for score in (REAL, FAKE))
    seen = real if loss.generator_sees_real else None
    assert loss().critic(real, fake, {}, staged()).item() == pytest.approx(BY_HAND[loss][0], rel=1e-12)
    assert loss().generator(seen, fake, staged()).item() == pytest.approx(BY_HAND[loss][1], rel=1e-12)


@pytest.mark.parametrize("loss", BY_HAND, ids=lambda loss: loss.__name__)
def test_exchanging_real_and_fake_would_be_seen(loss: type[Loss]) -> None:
    real, fake = (Judgement(score=score, features=score[:, None]) for score in (FAKE, REAL))
    assert loss().critic(real, fake, {}, staged()).item() != pytest.approx(BY_HAND[loss][0], rel=1e-2)


def test_relativistic_pairs_are_rows_and_not_means() -> None:
    real, fake = judged(1.0, -2.0), judged(0.5, 3.0)
    paired = Relativistic().critic(real, fake, {}, staged()).item()
    averaged = np.log1p(np.exp(-(REAL.numpy() - FAKE.numpy().mean()))).mean()  # RaGAN's half, another method
    assert paired != pytest.approx(averaged, rel=0.05)
    assert paired != pytest.approx(Relativistic().critic(judged(-2.0, 1.0), fake, {}, staged()).item(), rel=0.05)
    with pytest.raises(RuntimeError, match="without declaring generator_sees_real"):
        Relativistic().generator(None, fake, staged())


@pytest.mark.parametrize("loss", [NonSaturating, Saturating])
def test_cross_entropy_equals_torch(loss: type[Loss]) -> None:
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    real, fake = (Judgement(score=score, features=score[:, None]) for score in (REAL, FAKE))
    expected = cross_entropy(REAL, torch.ones_like(REAL)) + cross_entropy(FAKE, torch.zeros_like(FAKE))
    torch.testing.assert_close(loss().critic(real, fake, {}, None), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", [loss for loss in PARTS if loss is not WhoMadeIt], ids=lambda loss: loss.__name__)
def test_extreme_scores_stay_finite_and_so_do_their_gradients(loss: type[Loss]) -> None:
    score = torch.tensor([-1e4, 1e4], dtype=torch.float32, requires_grad=True)
    judgement = Judgement(score=score, features=score[:, None], second_score=score)
    state, scene = loss().init_state(), staged(fake=torch.zeros(2, 2))
    for value in (loss().critic(judgement, judgement, state, scene), loss().generator(judgement, judgement, scene)):
        assert value.isfinite()
        assert torch.autograd.grad(value, score)[0].isfinite().all()


# Auto-encoding critics: scores are minus reconstruction errors.


def test_errors_by_hand() -> None:
    difference = torch.tensor([[3.0, -4.0], [0.0, 1.0]], dtype=torch.float64)
    assert EnergyMargin().error(difference).tolist() == pytest.approx([5, 1])
    assert BoundaryEquilibrium().error(difference).tolist() == pytest.approx([3.5, 0.5])
    exact = torch.zeros(1, 2, requires_grad=True)
    assert torch.autograd.grad(EnergyMargin().error(exact).sum(), exact)[0].isfinite().all()


def test_energy_margin_hinges_on_each_sample_and_not_on_the_batch() -> None:
    real, fake = judged(-0.1, -0.3), judged(-0.2, -3.0)  # energies .1 .3 and .2 3
    scene = staged(fake=torch.zeros(2, 2))
    value = EnergyMargin(margin=1.0).critic(real, fake, {}, scene).item()
    assert value == pytest.approx((0.1 + 0.3) / 2 + (0.8 + 0) / 2)
    assert value != pytest.approx((0.1 + 0.3) / 2 + max(1 - (0.2 + 3) / 2, 0))  # the hinge of the mean
    assert EnergyMargin(margin=1.0).generator(None, fake, scene).item() == pytest.approx(1.6)


@pytest.mark.parametrize(("shape", "margin"), [((2,), 1.0), ((4, 2), 2.0), ((1, 28, 28), 392**0.5)])
def test_the_margin_grows_with_a_samples_numbers_as_its_energy_does(shape: tuple[int, ...], margin: float) -> None:
    """An energy below the margin is pushed up and one above is left, whether two pixels or 784 are off by as much."""
    scene, real = staged(fake=torch.zeros(2, *shape)), judged(0.0, 0.0)
    assert EnergyMargin().critic(real, judged(-margin + 0.5, -margin - 0.5), {}, scene).item() == pytest.approx(0.25)
    off = torch.full((1, *shape), 0.5, dtype=torch.float64).flatten(1)
    assert EnergyMargin().error(off).item() / margin == pytest.approx(0.5 * 2**0.5)


def test_boundary_equilibrium_by_hand() -> None:
    part = BoundaryEquilibrium(gamma=0.5)
    real, fake = judged(-0.2, -0.4), judged(-0.5, -0.1)
    state = {"k": torch.tensor(0.3, dtype=torch.float64), "convergence": torch.tensor(0.0)}
    assert part.critic(real, fake, state, staged()).item() == pytest.approx(0.3 - 0.3 * 0.3)
    assert part.generator(real, fake, staged()).item() == pytest.approx(0.3)
    after = part.next_state(state, real, fake, staged())
    assert after["k"].item() == pytest.approx(0.3 + 0.001 * (0.5 * 0.3 - 0.3), rel=1e-12)
    assert after["convergence"].item() == pytest.approx(0.3 + abs(0.5 * 0.3 - 0.3), rel=1e-12)


@pytest.mark.parametrize(("k", "real", "fake", "expected"), [(0.0, 0.1, 0.9, 0.0), (1.0, 0.9, 0.1, 1.0)])
def test_k_is_clipped(k: float, real: float, fake: float, expected: float) -> None:
    state = {"k": torch.tensor(k), "convergence": torch.tensor(0.0)}
    after = BoundaryEquilibrium().next_state(state, judged(-real), judged(-fake), staged())
    assert after["k"].item() == expected
    assert k + 0.001 * (0.5 * real - fake) != pytest.approx(expected, abs=1e-5)  # without the clip


def test_k_starts_at_nought_and_moves_after_the_generator_step_by_its_batch() -> None:
    method = METHODS["began"].but(name="quick", loss=BoundaryEquilibrium(gamma=1.0, gain=0.7))
    assert METHODS["began"].loss.gain == 0.001
    spec = make_spec(method, "ring-8", seeds=(1, 2, 3, 4), updates=4, batch=8, networks=MLP(width=8), dtype="float64")
    trainer = Trainer(spec)
    assert trainer.loss_state() == {"k": [0.0] * 4, "convergence": [0.0] * 4}
    before = trainer.lanes
    critic_moved = trainer._critic_update(before, trainer.critic_blocks.batch(0))
    assert torch.equal(critic_moved.state.loss["k"], before.state.loss["k"])  # a critic step leaves it
    trainer.advance(1)
    generator, critic = trainer.game.generator, trainer.game.critic
    errors = []
    for lane in range(4):
        batch = tree_map(lambda value, lane=lane: value[lane], trainer.generator_blocks.batch(0))
        weights = trainer.game.generator_layout.unpack(before.state.generator.parameters[lane])
        fake = torch.func.functional_call(generator, weights, (batch.latent,))
        judging = trainer.game.critic_layout.unpack(critic_moved.state.critic.parameters[lane])
        errors.append(
            [-torch.func.functional_call(critic, judging, (x, None)).score.mean().item() for x in (batch.real, fake)]
        )
    expected = [min(max(0.7 * (real - fake), 0), 1) for real, fake in errors]
    assert max(expected) > 0.01
    assert trainer.loss_state()["k"] == pytest.approx(expected, abs=1e-12)
    measure = [real + abs(real - fake) for real, fake in errors]
    assert trainer.loss_state()["convergence"] == pytest.approx(measure, rel=1e-10)


# Critics with more than one answer.


def test_two_critics_by_hand() -> None:
    real = judged(1.0, -2.0, second_score=torch.tensor([0.3, -0.7], dtype=torch.float64))
    fake = judged(0.5, 3.0, second_score=torch.tensor([2.0, -1.0], dtype=torch.float64))
    d1_real, d1_fake = [softplus(1), softplus(-2)], [softplus(0.5), softplus(3)]
    d2_real, d2_fake = [softplus(0.3), softplus(-0.7)], [softplus(2), softplus(-1)]
    log = np.log
    critic = -0.4 * np.mean(log(d1_real)) + np.mean(d1_fake) + np.mean(d2_real) - 0.9 * np.mean(log(d2_fake))
    generator = -np.mean(d1_fake) + 0.9 * np.mean(log(d2_fake))
    part = TwoCritics(alpha=0.4, beta=0.9)
    assert part.critic(real, fake, {}, staged()).item() == pytest.approx(critic, rel=1e-8)
    assert part.generator(None, fake, staged()).item() == pytest.approx(generator, rel=1e-8)
    swapped = TwoCritics(alpha=0.9, beta=0.4)
    assert swapped.critic(real, fake, {}, staged()).item() != pytest.approx(critic, rel=1e-2)
    assert part.heads(Sizes(shape=(2,), latent=2)) == {"second_score": 1}


def test_who_made_it_by_hand() -> None:
    real_logits = np.array([[0.2, -1.0, 0.5], [1.5, 0.0, -0.3]])  # two generators, then "real"
    fake_logits = np.array([[-0.4, 0.9, 0.1], [2.0, -1.0, 0.7]])
    real = WhoMadeIt().judge(judged(9.0, 9.0, generator_logits=torch.from_numpy(real_logits)))
    fake = WhoMadeIt().judge(judged(9.0, 9.0, generator_logits=torch.from_numpy(fake_logits)))
    probability = np.exp(log_softmax(real_logits, axis=1))[:, 2]
    assert real.score.numpy() == pytest.approx(np.log(probability / (1 - probability)), rel=1e-12)
    assert expit(real.score.numpy()) == pytest.approx(probability, rel=1e-12)
    index = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)  # made by the second and by the first
    said = log_softmax(fake_logits, axis=1)
    critic = -np.log(probability).mean() - 2 * (said[0, 1] + said[1, 0]) / 2  # the sum over two generators
    generator = np.log(1 - np.exp(said[:, 2])).mean()
    scene = staged(generator_index=index)
    assert WhoMadeIt().critic(real, fake, {}, scene).item() == pytest.approx(critic, rel=1e-12)
    assert WhoMadeIt().generator(None, fake, scene).item() == pytest.approx(generator, rel=1e-12)
    mixed_up = WhoMadeIt().critic(real, fake, {}, staged(generator_index=index.flip(1))).item()
    assert mixed_up != pytest.approx(critic, rel=1e-2)
    assert WhoMadeIt().heads(Sizes(shape=(2,), latent=2, generators=4)) == {"generator_logits": 5}


# Top-k.


@pytest.mark.parametrize(
    ("progress", "kept"), [(0.0, 10), (0.125, 9), (0.25, 8), (0.45, 6), (0.5, 5), (0.75, 5), (1.0, 5)]
)
def test_top_k_follows_its_schedule(progress: float, kept: int) -> None:
    scores = torch.randn(10, dtype=torch.float64)
    fake = Judgement(score=scores, features=scores[:, None])
    value = TopK(share=0.5, ramp=0.5).generator(None, fake, staged(progress=torch.tensor(progress))).item()
    order = np.sort(scores.numpy())
    assert value == pytest.approx(np.log1p(np.exp(-order[-kept:])).mean(), rel=1e-6)
    if kept < 10:
        assert value != pytest.approx(np.log1p(np.exp(-order[:kept])).mean(), rel=1e-2)  # the worst instead


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("batch", "share", "kept"), [(10, 0.1, 1), (10, 0.7, 7), (512, 0.3, 154), (12, 0.01, 1), (8, 1e-5, 1)]
)
def test_rounding_keeps_no_fake_more(batch: int, share: float, kept: int, dtype: torch.dtype) -> None:
    score = torch.randn(batch, dtype=dtype, requires_grad=True)
    fake = Judgement(score=score, features=score[:, None])
    value = TopK(share=share).generator(None, fake, staged(progress=torch.ones((), dtype=dtype)))
    (gradient,) = torch.autograd.grad(value, score)
    assert (gradient != 0).sum().item() == kept
    assert gradient.sum().item() == pytest.approx(
        -expit(-score.detach().topk(kept).values.numpy()).mean().item(), rel=1e-5
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EnergyMargin(margin=0.0), "never pushes fakes away"),
        (lambda: BoundaryEquilibrium(gamma=0.0), "has no equilibrium"),
        (lambda: BoundaryEquilibrium(gain=-1.0), "has no equilibrium"),
        (lambda: TwoCritics(alpha=0.0), r"must both lie in \(0, 1\]"),
        (lambda: TopK(share=1.5), r"must both lie in \(0, 1\]"),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
