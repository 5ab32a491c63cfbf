"""Errors that popular implementations ship, each with the number that they give and the number that is right."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.parts.staging import staged
from torch import Tensor, nn

from uncollapse.draws import stream
from uncollapse.functional import gradient_penalty, pulling_away
from uncollapse.game import Clock
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS
from uncollapse.networks.mlp import MLP
from uncollapse.parts.losses import BoundaryEquilibrium, EnergyMargin, Wasserstein
from uncollapse.parts.penalties import GradientPenalty
from uncollapse.parts.scene import Judgement
from uncollapse.run import make_spec
from uncollapse.tasks import find
from uncollapse.trees import tree_map


@pytest.mark.parametrize("size", [1, 2, 64])
def test_the_norm_of_a_gradient_penalty_is_that_of_one_sample_and_not_of_the_batch(size: int) -> None:
    critic = nn.Linear(3, 1).double()
    real, fake = torch.randn(size, 3, dtype=torch.float64), torch.randn(size, 3, dtype=torch.float64)
    norm = critic.weight.norm().item()
    assert gradient_penalty(critic, real=real, fake=fake, weight=1.0).item() == pytest.approx((norm - 1) ** 2, rel=1e-9)


def test_each_sample_has_its_own_place_between_real_and_fake() -> None:
    """One place for the whole batch would give one slope to a critic whose slope is the place itself."""
    slopes: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        slopes.append(x.detach())
        return x.square().sum(-1) / 2

    gradient_penalty(critic, real=torch.ones(64, 1), fake=torch.zeros(64, 1))
    assert len(slopes[0].unique()) > 60
    spec = make_spec("wgan-gp", "ring-8", seeds=(0,), updates=5, batch=64, networks=MLP(width=4))
    assert len(Trainer(spec).critic_blocks.batch(0).noise["penalties.0.between"].unique()) > 60


def test_the_fakes_of_a_critic_step_carry_no_graph() -> None:
    fake = torch.randn(4, 2, requires_grad=True)
    gradient_penalty(nn.Linear(2, 1), real=torch.randn(4, 2), fake=fake).backward()
    assert fake.grad is None


def test_lambda_is_not_doubled_by_halving_the_rest() -> None:
    weight, (real, fake) = torch.tensor([3.0, 4.0], dtype=torch.float64), torch.randn(2, 5, 2, dtype=torch.float64)
    scene = staged(critic=lambda x: x @ weight, real=real, fake=fake, noise={"between": torch.rand(5).double()})
    assert scene.real_judgement is not None
    loss = Wasserstein().critic(scene.real_judgement, scene.fake_judgement, {}, scene)
    total = loss + GradientPenalty(weight=10.0)(scene)
    assert total.item() == pytest.approx(((fake - real) @ weight).mean().item() + 10 * 16, rel=1e-9)
    assert METHODS["wgan-gp"].penalties == (GradientPenalty(weight=10.0),)


def test_codes_are_normalised_a_row_and_not_compared_with_themselves() -> None:
    codes = torch.eye(4) * torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert pulling_away(codes).item() == pytest.approx(0, abs=1e-7)
    assert pulling_away(torch.ones(4, 3)).item() == pytest.approx(1, rel=1e-6)
    kept = nn.functional.normalize(codes, dim=1)
    with_diagonal = (kept @ kept.T).square().sum() / (4 * 3)
    assert with_diagonal.item() == pytest.approx(1 / 3)  # for codes that could not be further apart


def test_energies_are_hinged_a_sample() -> None:
    fake = torch.tensor([-0.5, -1.5, -4.0])  # energies .5, 1.5 and 4
    judged = Judgement(score=fake, features=fake[:, None])
    nothing = Judgement(score=torch.zeros(1), features=torch.zeros(1, 1))
    scene: Any = SimpleNamespace(fake=torch.zeros(3, 2))
    value = EnergyMargin(margin=2.0).critic(nothing, judged, {}, scene).item()
    assert value == pytest.approx((1.5 + 0.5 + 0) / 3)


@pytest.mark.parametrize("name", ["ebgan", "began"])
def test_the_generator_learns_through_both_paths_of_a_reconstruction(name: str) -> None:
    """With the reconstruction held fixed the sample still matters, and the other way round."""
    method = METHODS[name]
    critic = MLP(width=16, depth=1).critic(method, make_sizes()).double()
    for weight in critic.parameters():
        weight.data *= 2
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    (whole,) = torch.autograd.grad(-critic(x).score.sum(), x)
    rebuilt = critic.decoder(critic.encoder(x))
    direct, indirect = (
        torch.autograd.grad(method.loss.error(difference).sum(), x, retain_graph=True)[0]
        for difference in (rebuilt.detach() - x, rebuilt - x.detach())
    )
    torch.testing.assert_close(direct + indirect, whole)
    assert min(direct.norm(), indirect.norm()) > 0.05 * whole.norm()


def make_sizes() -> object:
    from uncollapse.parts.scene import Sizes

    return Sizes(shape=(2,), latent=2)


def test_began_keeps_k_between_nought_and_one_and_in_its_state() -> None:
    part, score = BoundaryEquilibrium(), torch.tensor([-1000.0])
    low, high = Judgement(score=score, features=score), Judgement(score=score * 0, features=score)
    state = {"k": torch.tensor(0.5), "convergence": torch.tensor(0.0)}
    assert part.next_state(state, high, low, None)["k"].item() == 0  # type: ignore[arg-type]
    assert part.next_state(state, low, high, None)["k"].item() == 1  # type: ignore[arg-type]
    assert set(part.init_state()) == {"k", "convergence"}


def test_a_conditional_critic_is_asked_about_mixtures_of_samples_that_share_the_label() -> None:
    spec = make_spec("cwgan-gp", "blobs-4", seeds=(0,), updates=5, batch=16, networks=MLP(width=4), dtype="float64")
    trainer = Trainer(spec)
    state, batch = tree_map(lambda value: value[0], (trainer.lanes.state, trainer.critic_blocks.batch(0)))
    asked: list[tuple[Tensor, Tensor]] = []
    trainer.game.critic.register_forward_pre_hook(lambda _, inputs: asked.append(inputs))
    clock = Clock(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
    trainer.game.critic_objective(state.critic.parameters, state, batch, clock)
    points, labels = asked[1]
    weights = trainer.game.generator_layout.unpack(state.generator.parameters)
    fake = torch.func.functional_call(trainer.game.generator, weights, (batch.latent, batch.labels))
    between = batch.noise["penalties.0.between"][:, None]
    torch.testing.assert_close(points, between * batch.real + (1 - between) * fake)
    assert torch.equal(labels, batch.labels)
    modes, _ = spec.task.assign(batch.real)
    assert (modes == labels.argmax(-1)).double().mean() > 0.9


@pytest.mark.parametrize(("name", "count"), [("ring-8", 8), ("grid-25", 25), ("blobs-32", 32)])
def test_there_are_as_many_centres_as_the_name_says(name: str, count: int) -> None:
    task = find(name)
    x, labels = task.sample(200 * count, stream(0, "test"))
    centres = torch.stack([x[labels == mode].mean(0) for mode in range(count)])
    assert len(task.modes) == count
    spread = (x - centres[labels]).square().mean().sqrt()
    assert min((one - two).norm() for one, two in combinations(centres, 2)) > 4 * spread


def test_images_have_the_range_of_the_generators_tanh() -> None:
    task = find("digits")
    x, _ = task.sample(500, stream(0, "test"))
    held_out, _ = task.held_out(300, stream(0, "test"))
    assert task.networks.bounded
    for images in (x, held_out):
        assert (images.min().item(), images.max().item()) == (-1, 1)
    trained = {tuple(image.flatten().tolist()) for image in x}
    assert not trained & {tuple(image.flatten().tolist()) for image in held_out}  # digits of the test are not learnt
