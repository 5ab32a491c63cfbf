"""Constraints: clipping by hand, after every step and at the start."""

from __future__ import annotations

import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS
from uncollapse.networks.mlp import MLP
from uncollapse.parts.constraints import Free, WeightClip
from uncollapse.run import make_spec


def test_clipping_by_hand() -> None:
    clipped = WeightClip(limit=0.5).project({"a": torch.tensor([-2.0, -0.1, 0.5, 3.0])})
    assert clipped["a"].tolist() == pytest.approx([-0.5, -0.1, 0.5, 0.5])


def test_free_changes_nothing() -> None:
    tensors = {"a": torch.randn(3)}
    assert Free().project(tensors) is tensors
    assert Free().reparameterise(tensors, {}) == (tensors, {})
    assert Free().init_buffers(tensors) == {}


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_the_critic_is_clipped_from_the_start_and_after_every_step(seeds: tuple[int, ...]) -> None:
    spec = make_spec("wgan", "ring-8", seeds=seeds, updates=10, batch=8, networks=MLP(width=8, depth=2))
    trainer = Trainer(spec)
    for until in (0, 5, 10):
        trainer.advance(until)
        assert trainer.lanes.state.critic.parameters.abs().max().item() == pytest.approx(0.01)
    assert trainer.lanes.state.generator.parameters.abs().max() > 0.05  # only the critic is clipped
    assert METHODS["wgan"].constraint == WeightClip(limit=0.01)


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_refusals(limit: float) -> None:
    with pytest.raises(UserError, match=r"would erase the critic; choose a limit above 0"):
        WeightClip(limit=limit)
