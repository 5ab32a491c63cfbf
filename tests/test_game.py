"""The game: layouts, one pass equal to two, no graph through critic-step fakes, and buffers as explicit state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from uncollapse.game import Batch, Clock, Game, Layout, Player, State, differentiate_alone, differentiate_lifted
from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.optimiser import Moments
from uncollapse.parts.scene import Judgement, Sizes
from uncollapse.parts.views import View

SIZES = Sizes(shape=(2,), latent=3, classes=4, batch=6)
CLOCK = Clock(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))


@dataclass(frozen=True, kw_only=True)
class Apart(View):
    """A plain view that asks for two passes."""

    joint: ClassVar[bool] = False


def player(network: nn.Module) -> Player:
    flat = torch.cat([value.detach().flatten() for value in network.parameters()])
    zeros = torch.zeros_like(flat)
    return Player(flat, Moments(zeros, zeros), {name: value.clone() for name, value in network.named_buffers()})


def staged(method: Method) -> tuple[Game, State, Batch]:
    torch.manual_seed(7)
    settings = MLP(width=8, depth=2, latent=3)
    generator, critic = settings.generator(method, SIZES).double(), settings.critic(method, SIZES).double()
    labels = torch.eye(4, dtype=torch.float64)[[0, 1, 2, 3, 0, 1]] if method.labelled else None
    latent, real = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    noise = {"penalties.0.between": torch.rand(6, dtype=torch.float64)}
    game = Game.of(method, generator, critic)
    return game, State(player(critic), player(generator), {}), Batch(latent, real, labels, None, noise)


def test_layout_packs_and_unpacks_with_any_leading_axes() -> None:
    tensors = {"a": torch.randn(5, 2, 3), "b": torch.randn(5), "c": torch.randn(5, 4)}
    layout = Layout({"a": torch.empty(2, 3), "b": torch.empty(()), "c": torch.empty(4)})
    flat = layout.pack(tensors)
    assert flat.shape == (5, layout.size) == (5, 11)
    torch.testing.assert_close(flat[2], torch.cat([tensors["a"][2].flatten(), tensors["b"][2:3], tensors["c"][2]]))
    for name, value in layout.unpack(flat).items():
        torch.testing.assert_close(value, tensors[name], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["vanilla", "cgan", "wgan-gp", "cwgan-gp", "lsgan"])
def test_one_concatenated_pass_equals_two(name: str) -> None:
    values = []
    for view in (METHODS[name].view, Apart()):
        game, state, batch = staged(METHODS[name].but(view=view))
        values.append(game.critic_objective(state.critic.parameters, state, batch, CLOCK)[0].item())
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_conditional_objective_by_hand() -> None:
    game, state, batch = staged(METHODS["cwgan-gp"])
    generator, critic, labels = game.generator, game.critic, batch.labels
    assert labels is not None
    fake = generator(batch.latent, labels).detach()
    between = batch.noise["penalties.0.between"][:, None]
    point = (between * batch.real + (1 - between) * fake).requires_grad_()
    slopes = [
        torch.autograd.grad(critic(point[row : row + 1], labels[row : row + 1]).score.sum(), point)[0][row].norm()
        for row in range(6)
    ]
    distance = critic(fake, labels).score.mean() - critic(batch.real, labels).score.mean()
    expected = distance + 10 * torch.stack([(slope - 1) ** 2 for slope in slopes]).mean()
    found = game.critic_objective(state.critic.parameters, state, batch, CLOCK)[0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    asked = game.generator_objective(state.generator.parameters, state, batch, CLOCK)[0]
    torch.testing.assert_close(asked, -critic(fake, labels).score.mean())


def test_no_graph_runs_through_the_fakes_of_a_critic_step() -> None:
    game, state, batch = staged(VANILLA)
    leaf = state.generator.parameters.clone()
    value, _ = game.critic_objective(state.critic.parameters.clone().requires_grad_(), state, batch, CLOCK)
    assert value.requires_grad
    assert not leaf.requires_grad
    assert not game.generate(leaf, {}, batch)[0].requires_grad


@pytest.mark.parametrize("differentiate", [differentiate_alone, differentiate_lifted])
def test_both_ways_to_differentiate_agree_with_the_closed_form(differentiate: object) -> None:
    at = torch.randn(4, dtype=torch.float64)
    gradient, aux = differentiate(lambda x: ((x**3).sum(), x.sum() * 2), at)  # type: ignore[operator]
    torch.testing.assert_close(gradient, 3 * at**2)
    torch.testing.assert_close(aux.detach(), at.sum() * 2)
    outer = at.clone().requires_grad_()
    inner, _ = differentiate(lambda x: ((x**3).sum(), ()), outer * 2)  # type: ignore[operator]
    (second,) = torch.autograd.grad(inner.sum(), outer)
    torch.testing.assert_close(second, 6 * (2 * outer.detach()) * 2)


class NormedGenerator(nn.Module):
    """A generator with batch norm, whose running statistics are buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))

    def forward(self, latent: Tensor, labels: Tensor | None, index: Tensor | None) -> Tensor:
        made: Tensor = self.net(latent)
        return made


class NormedCritic(nn.Module):
    """A critic with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))

    def forward(self, inputs: Tensor, context: Tensor | None) -> Judgement:
        return Judgement(score=self.net(inputs).squeeze(-1), features=inputs)


def test_buffers_are_taken_and_returned_and_never_changed_in_place() -> None:
    _, _, batch = staged(VANILLA)
    generator, critic = NormedGenerator().double(), NormedCritic().double()
    game = Game.of(VANILLA.but(view=Apart()), generator, critic)
    state = State(player(critic), player(generator), {})
    _, outcome = game.critic_objective(state.critic.parameters, state, batch, CLOCK)
    hidden = generator.net[0](batch.latent).detach()
    expected = 0.9 * torch.zeros(5, dtype=torch.float64) + 0.1 * hidden.mean(0)  # torch's momentum is 0.1
    torch.testing.assert_close(outcome.generator_buffers["net.1.running_mean"], expected)
    assert outcome.critic_buffers["net.1.num_batches_tracked"].item() == 2  # real, then fake
    for kept in (state.generator.buffers, state.critic.buffers):
        assert kept["net.1.num_batches_tracked"].item() == 0
        assert kept["net.1.running_mean"].abs().sum().item() == 0
    assert generator.net[1].num_batches_tracked.item() == 0
