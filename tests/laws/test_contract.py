"""The contract holds parts that a user writes: each asks for something no built-in part does, without a special case.

A class head beside labels of one's own, an encoder with another reconstruction, whole generators side by side, a second
score, spectral normalisation with its own state in buffers, and a constraint that mixes all weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from uncollapse.draws import stream
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import VANILLA
from uncollapse.networks.mlp import MLP
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
class OwnClassLogits(GeneratorTerm):
    def __call__(self, scene: Scene) -> Tensor:
        return class_error(scene.fake_judgement.class_logits, scene.labels)


@dataclass(frozen=True, kw_only=True)
class OwnPairs(Conditioning):
    encodes: ClassVar[bool] = True

    def context(self, labels: Tensor | None, code: Callable[[], Tensor]) -> Tensor:
        return code()

    def critic_extra(self, sizes: Sizes) -> int:
        return sizes.latent

    def critic_join(self, module: nn.Module | None, inputs: Tensor, context: Tensor | None) -> Tensor:
        assert context is not None
        return torch.cat([inputs, context], -1)


@dataclass(frozen=True, kw_only=True)
class AbsoluteReconstruction(GeneratorTerm):
    trains_encoder: ClassVar[bool] = True

    def __call__(self, scene: Scene) -> Tensor:
        assert scene.encode is not None
        return (scene.latent - scene.encode(scene.fake_samples)).abs().sum(-1).mean()


class SideBySide(nn.Module):
    def __init__(self, generators: list[nn.Module]) -> None:
        super().__init__()
        self.generators = nn.ModuleList(generators)

    def forward(self, inputs: Tensor, index: Tensor | None) -> Tensor:
        assert index is not None
        return (index.unsqueeze(-1) * torch.stack([generator(inputs) for generator in self.generators], 1)).sum(1)


@dataclass(frozen=True, kw_only=True)
class Pair(Population):
    @property
    def count(self) -> int:
        return 2

    def assemble(self, layers: Sequence[Callable[[], nn.Module]]) -> nn.Module:
        return SideBySide([nn.Sequential(*(layer() for layer in layers)) for _ in range(2)])


@dataclass(frozen=True, kw_only=True)
class NamesOrReal(Loss):
    """The critic names the generator, or says real (the last class); its plain score is not used."""

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
    """Two critics with opposite tastes, as in D2GAN."""

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

    def init_buffers(self, parameters: Mapping[str, Tensor], transposed: Collection[str] = ()) -> dict[str, Tensor]:
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
class Consistency(Penalty):
    """The critic should say the same of a real sample and of its mirror image; it judges inputs of its own."""

    def __call__(self, scene: Scene) -> Tensor:
        assert scene.real is not None
        assert scene.real_judgement is not None
        return (scene.critic(-scene.real).score - scene.real_judgement.score).square().mean()


@dataclass(frozen=True, kw_only=True)
class UnitBall(Constraint):
    """Keeps the whole critic in a ball, which mixes all numbers of one run and none of another's."""

    def project(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        norm = torch.cat([value.flatten() for value in parameters.values()]).norm()
        return {name: value / norm.clamp(min=1) for name, value in parameters.items()}


CLASSIFIED = VANILLA.but(
    name="own-classifier",
    conditioning=LabelsInGenerator(),
    penalties=(ClassError(),),
    generator_terms=(OwnClassLogits(),),
)
ENCODED = VANILLA.but(name="own-encoder", conditioning=OwnPairs(), generator_terms=(AbsoluteReconstruction(),))
SIDE_BY_SIDE = VANILLA.but(name="own-population", loss=NamesOrReal(), population=Pair())
TWO_SCORES = VANILLA.but(name="own-scores", loss=TwoScores())
UNROLLED = VANILLA.but(name="unrolled", dynamics=Dynamics(unroll=3, lr_critic=1e-3))
SPECTRAL = VANILLA.but(name="spectral", constraint=Spectral())
CONSISTENT = VANILLA.but(name="consistent", penalties=(Consistency(),))
BALL = VANILLA.but(name="ball", constraint=UnitBall())
ALL = (CLASSIFIED, ENCODED, SIDE_BY_SIDE, TWO_SCORES, UNROLLED, SPECTRAL, CONSISTENT, BALL)


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
        # Nothing is left out of the gradient, except the plain score that naming does not use.
        assert still == ({"score.weight", "score.bias"} if (player, method) == ("critic", SIDE_BY_SIDE) else set())


def test_the_auxiliary_classifier_learns_the_labels() -> None:
    played = trainer(CLASSIFIED.but(dynamics=Dynamics(lr_critic=5e-3)), (2, 5))
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
