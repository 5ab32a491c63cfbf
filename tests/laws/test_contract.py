"""The contract holds what is still to come: five published methods as throw-away parts, without a special case.

AC-GAN (a class head), VEEGAN (an encoder and joint pairs), MAD-GAN (several generators and their logits), D2GAN (two
scores), unrolled GAN (through Adam); and spectral normalisation (state in buffers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from uncollapse.draws import stream
from uncollapse.game import Batch, Clock, Game, Player, State
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.optimiser import Moments
from uncollapse.parts.conditioning import Conditioning, LabelTable
from uncollapse.parts.constraints import Constraint
from uncollapse.parts.dynamics import Dynamics
from uncollapse.parts.generator_terms import GeneratorTerm
from uncollapse.parts.losses import Loss
from uncollapse.parts.penalties import Penalty
from uncollapse.parts.population import Population
from uncollapse.parts.scene import Judgement, Scene, Sizes
from uncollapse.run import make_spec
from uncollapse.trees import flatten


def class_error(logits: Tensor | None, labels: Tensor | None) -> Tensor:
    assert logits is not None
    assert labels is not None
    return -(labels * logits.log_softmax(-1)).sum(-1).mean()


@dataclass(frozen=True, kw_only=True)
class LabelsInGenerator(Conditioning):
    labelled: ClassVar[bool] = True

    def generator_module(self, sizes: Sizes) -> nn.Module:
        return LabelTable(sizes.classes, 3)

    def generator_extra(self, sizes: Sizes) -> int:
        return 3

    def generator_join(self, module: nn.Module | None, latent: Tensor, labels: Tensor | None) -> Tensor:
        assert module is not None
        return torch.cat([latent, module(labels)], -1)


@dataclass(frozen=True, kw_only=True)
class ClassError(Penalty):
    def heads(self, sizes: Sizes) -> dict[str, int]:
        return {"class_logits": sizes.classes}

    def __call__(self, scene: Scene) -> Tensor:
        assert scene.real_judgement is not None
        return class_error(scene.real_judgement.class_logits, scene.labels) + class_error(
            scene.fake_judgement.class_logits, scene.labels
        )


@dataclass(frozen=True, kw_only=True)
class ClassLogits(GeneratorTerm):
    def __call__(self, scene: Scene) -> Tensor:
        return class_error(scene.fake_judgement.class_logits, scene.labels)


@dataclass(frozen=True, kw_only=True)
class JointPairs(Conditioning):
    encodes: ClassVar[bool] = True

    def context(self, labels: Tensor | None, code: Callable[[], Tensor]) -> Tensor:
        return code()

    def critic_extra(self, sizes: Sizes) -> int:
        return sizes.latent

    def critic_join(self, module: nn.Module | None, inputs: Tensor, context: Tensor | None) -> Tensor:
        assert context is not None
        return torch.cat([inputs, context], -1)


@dataclass(frozen=True, kw_only=True)
class Reconstruction(GeneratorTerm):
    def __call__(self, scene: Scene) -> Tensor:
        assert scene.encode is not None
        return (scene.latent - scene.encode(scene.fake_samples)).square().sum(-1).mean()


class TwoHeads(nn.Module):
    def __init__(self, trunks: list[nn.Module], heads: list[nn.Module]) -> None:
        super().__init__()
        self.trunks, self.heads = nn.ModuleList(trunks), nn.ModuleList(heads)

    def forward(self, inputs: Tensor, index: Tensor | None) -> Tensor:
        assert index is not None
        made = torch.stack([head(trunk(inputs)) for trunk, head in zip(self.trunks, self.heads, strict=True)], 1)
        return (index.unsqueeze(-1) * made).sum(1)


@dataclass(frozen=True, kw_only=True)
class Pair(Population):
    @property
    def count(self) -> int:
        return 2

    def assemble(self, trunk: Callable[[], nn.Module], head: Callable[[], nn.Module]) -> nn.Module:
        return TwoHeads([trunk(), trunk()], [head(), head()])


@dataclass(frozen=True, kw_only=True)
class WhoMadeIt(Loss):
    """MAD-GAN: the critic names the generator, or says real (the last class)."""

    def heads(self, sizes: Sizes) -> dict[str, int]:
        return {"generator_logits": sizes.generators + 1}

    def critic(self, real: Judgement, fake: Judgement, state: Mapping[str, Tensor], scene: Scene) -> Tensor:
        assert real.generator_logits is not None
        assert fake.generator_logits is not None
        assert scene.generator_index is not None
        says_real = -real.generator_logits.log_softmax(-1)[:, -1].mean()
        return says_real - (scene.generator_index * fake.generator_logits.log_softmax(-1)[:, :-1]).sum(-1).mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        assert fake.generator_logits is not None
        return -fake.generator_logits.log_softmax(-1)[:, -1].mean()


@dataclass(frozen=True, kw_only=True)
class TwoScores(Loss):
    """D2GAN with alpha = beta = 1."""

    def heads(self, sizes: Sizes) -> dict[str, int]:
        return {"second_score": 1}

    def critic(self, real: Judgement, fake: Judgement, state: Mapping[str, Tensor], scene: Scene) -> Tensor:
        assert real.second_score is not None
        assert fake.second_score is not None
        first = -softplus(real.score).log().mean() + softplus(fake.score).mean()
        return first + softplus(real.second_score).mean() - softplus(fake.second_score).log().mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        assert fake.second_score is not None
        return -softplus(fake.score).mean() + softplus(fake.second_score).log().mean()


@dataclass(frozen=True, kw_only=True)
class Spectral(Constraint):
    """Spectral normalisation by one power iteration a forward pass, its vectors in the buffers."""

    def init_buffers(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            f"{name}_u": torch.ones(len(value), dtype=value.dtype)
            for name, value in parameters.items()
            if value.ndim == 2
        }

    def reparameterise(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        used, kept = dict(parameters), dict(buffers)
        for name, weight in parameters.items():
            if weight.ndim == 2:
                fixed = weight.detach()
                right = nn.functional.normalize(fixed.mT @ buffers[f"{name}_u"], dim=0)
                left = nn.functional.normalize(fixed @ right, dim=0)
                used[name], kept[f"{name}_u"] = weight / (left @ weight @ right), left
        return used, kept


@dataclass(frozen=True, kw_only=True)
class UnitBall(Constraint):
    """Keeps the whole critic in a ball, which mixes all numbers of one run and none of another's."""

    def project(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        norm = torch.cat([value.flatten() for value in parameters.values()]).norm()
        return {name: value / norm.clamp(min=1) for name, value in parameters.items()}


AC_GAN = VANILLA.but(
    name="ac-gan", conditioning=LabelsInGenerator(), penalties=(ClassError(),), generator_terms=(ClassLogits(),)
)
VEEGAN = VANILLA.but(name="veegan", conditioning=JointPairs(), generator_terms=(Reconstruction(),))
MAD_GAN = VANILLA.but(name="mad-gan", loss=WhoMadeIt(), population=Pair())
D2GAN = VANILLA.but(name="d2gan", loss=TwoScores())
UNROLLED = VANILLA.but(name="unrolled", dynamics=Dynamics(unroll=3, lr_critic=1e-3))
SPECTRAL = VANILLA.but(name="spectral", constraint=Spectral())
BALL = VANILLA.but(name="ball", constraint=UnitBall())
ALL = (AC_GAN, VEEGAN, MAD_GAN, D2GAN, UNROLLED, SPECTRAL, BALL)


def trainer(method: Method, seeds: tuple[int, ...]) -> Trainer:
    networks = MLP(width=8, depth=2, bounded=True)
    return Trainer(make_spec(method, "blobs-4", seeds=seeds, updates=60, batch=16, networks=networks, dtype="float64"))


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_fits_and_a_seed_alone_equals_the_same_seed_among_others(method: Method) -> None:
    together, alone = trainer(method, (2, 5)), trainer(method, (5,))
    start = flatten(together.lanes)
    together.advance(60)
    alone.advance(60)
    among, single = flatten(together.lanes), flatten(alone.lanes)
    for path, value in single.items():
        other = among[path] if value.ndim == 0 else among[path][1:]
        torch.testing.assert_close(value, other, rtol=1e-9, atol=1e-9)
    assert together.diverged() == {}
    for player in ("critic", "generator"):
        layout = getattr(together.game, f"{player}_layout")
        before, after = (layout.unpack(tree[f"state.{player}.parameters"]) for tree in (start, among))
        still = {name for name in before if torch.equal(before[name], after[name])}
        # Nothing is left out of the gradient, except the plain score that MAD-GAN does not use.
        assert still == ({"score.weight", "score.bias"} if (player, method) == ("critic", MAD_GAN) else set())


def test_the_auxiliary_classifier_learns_the_labels() -> None:
    played = trainer(AC_GAN.but(dynamics=Dynamics(lr_critic=5e-3)), (2, 5))
    played.advance(400)
    x, labels = played.spec.task.sample(200, stream(9, "test"))
    critic = played.lanes.state.critic
    tensors = played.game.critic_layout.unpack(critic.parameters[0])
    judgement = torch.func.functional_call(played.game.critic, tensors, (x.double(), None))
    assert cross_entropy(judgement.class_logits, labels).item() < 0.7 * torch.log(torch.tensor(4.0)).item()


def test_power_iteration_finds_the_largest_singular_value() -> None:
    played = trainer(SPECTRAL, (2, 5))
    played.advance(60)
    critic = played.lanes.state.critic
    tensors = played.game.critic_layout.unpack(critic.parameters[0])
    name = "body.2.weight"
    used, _ = Spectral().reparameterise(tensors, {key: value[0] for key, value in critic.buffers.items()})
    assert torch.linalg.matrix_norm(used[name], 2).item() == pytest.approx(1, abs=0.05)
    assert torch.linalg.matrix_norm(tensors[name], 2).item() != pytest.approx(1, abs=0.05)


def smooth_game(unroll: int) -> tuple[Game, State, Batch, Clock]:
    """A game with smooth activations, in float64, and a state whose critic moments are live."""
    sizes = Sizes(shape=(2,), latent=2, batch=6)
    method = VANILLA.but(dynamics=Dynamics(unroll=unroll, lr_critic=0.05))
    networks = MLP(width=5, depth=2)
    generator, critic = networks.generator(method, sizes).double(), networks.critic(method, sizes).double()
    for network in (generator, critic):
        for module in network.modules():
            if isinstance(module, nn.Sequential):
                for position, layer in enumerate(module):
                    if isinstance(layer, nn.ReLU):
                        module[position] = nn.Tanh()
    game = Game.of(method, generator, critic)

    def player(layout_size: int, network: nn.Module) -> Player:
        flat = torch.cat([value.detach().flatten() for value in network.parameters()])
        return Player(flat, Moments(torch.randn_like(flat) * 0.1, torch.rand_like(flat) * 0.1), {})

    state = State(player(game.critic_layout.size, critic), player(game.generator_layout.size, generator), {})
    batch = Batch(torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64), None, None, {})
    return game, state, batch, Clock(torch.zeros((), dtype=torch.float64), torch.tensor(4.0, dtype=torch.float64))


@pytest.mark.parametrize("unroll", [1, 3])
def test_unrolled_gradient_equals_finite_differences_through_real_optimiser_steps(unroll: int) -> None:
    game, state, batch, clock = smooth_game(unroll)
    betas = game.method.dynamics.betas

    def through_torch(generator: Tensor) -> float:
        """The generator's loss after `unroll` steps of torch.optim.Adam, with the same live moments."""
        critic = nn.Parameter(state.critic.parameters.clone())
        optimiser = torch.optim.Adam([critic], lr=0.05, betas=betas)
        optimiser.state[critic] = {
            "step": clock.critic_step.float() - 1,
            "exp_avg": state.critic.moments.first.clone(),
            "exp_avg_sq": state.critic.moments.second.clone(),
        }
        plain = game.method.but(dynamics=Dynamics())
        for_critic = Game.of(plain, game.generator, game.critic)
        now = state._replace(generator=state.generator._replace(parameters=generator))
        for _ in range(unroll):
            optimiser.zero_grad()
            for_critic.critic_objective(critic, now, batch, clock)[0].backward()
            optimiser.step()
        final = now._replace(critic=now.critic._replace(parameters=critic.detach()))
        return for_critic.generator_objective(generator, final, batch, clock)[0].item()

    at = state.generator.parameters.clone().requires_grad_()
    value, _ = game.generator_objective(at, state, batch, clock)
    (gradient,) = torch.autograd.grad(value, at)
    assert value.item() == pytest.approx(through_torch(at.detach()), rel=1e-12)
    width = 1e-5
    for position in range(0, len(at), 7):
        nudge = torch.zeros_like(at).detach()
        nudge[position] = width
        difference = (through_torch(at.detach() + nudge) - through_torch(at.detach() - nudge)) / (2 * width)
        assert gradient[position].item() == pytest.approx(difference, rel=1e-6, abs=1e-9)
