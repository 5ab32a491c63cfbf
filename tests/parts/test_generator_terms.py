"""The contract of generator terms: a term is added to the generator's objective and to nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
from torch import Tensor

from uncollapse.loop import Trainer
from uncollapse.methods import VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.generator_terms import GeneratorTerm
from uncollapse.parts.scene import Scene
from uncollapse.run import make_spec
from uncollapse.trees import tree_map


@dataclass(frozen=True, kw_only=True)
class Pull(GeneratorTerm):
    """weight x mean square of the samples."""

    weight: float = 2.0

    def __call__(self, scene: Scene) -> Tensor:
        return self.weight * scene.fake_samples.square().mean()


@dataclass(frozen=True, kw_only=True)
class Looks(GeneratorTerm):
    """The mean distance of fakes from real samples, which needs the real batch."""

    generator_sees_real: ClassVar[bool] = True

    def __call__(self, scene: Scene) -> Tensor:
        assert scene.real_samples is not None
        return (scene.fake_samples - scene.real_samples).square().mean()


def objectives(*terms: GeneratorTerm) -> tuple[float, float, Tensor, Trainer]:
    """Generator's value, critic's value, the samples, the trainer, at the first update."""
    method = VANILLA.but(name="with-terms", generator_terms=terms)
    spec = make_spec(method, "ring-8", seeds=[0], updates=5, batch=8, networks=MLP(width=8, depth=1), dtype="float64")
    trainer = Trainer(spec)
    state, batch, critic_batch = tree_map(
        lambda value: value[0], (trainer.lanes.state, trainer.generator_blocks.batch(0), trainer.critic_blocks.batch(0))
    )
    clock = trainer._clock(trainer.lanes)
    generator = trainer.game.generator_objective(state.generator.parameters, state, batch, clock)[0].item()
    critic = trainer.game.critic_objective(state.critic.parameters, state, critic_batch, clock)[0].item()
    return generator, critic, trainer.game.generate(state.generator.parameters, {}, batch)[0], trainer


def test_terms_add_to_the_generator_and_leave_the_critic() -> None:
    plain, critic, samples, _ = objectives()
    pulled, same, _, _ = objectives(Pull(), Pull(weight=0.5))
    assert pulled == pytest.approx(plain + 2.5 * samples.square().mean().item(), rel=1e-12)
    assert same == pytest.approx(critic, rel=1e-12)


def test_real_samples_reach_the_generator_step_only_where_asked_for() -> None:
    trainers = {name: objectives(*terms)[3] for name, terms in {"blind": (Pull(),), "sees": (Pull(), Looks())}.items()}
    assert trainers["blind"].generator_blocks.batch(0).real is None
    assert trainers["sees"].generator_blocks.batch(0).real.shape == (1, 8, 2)
