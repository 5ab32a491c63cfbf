"""The judge: constrained weights in every pass, counted passes only in the buffers, each kind with its own noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from uncollapse.game import Game
from uncollapse.judge import FAKE, REAL, Judge
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.scene import Judgement, Sizes
from uncollapse.parts.views import View

SIZES = Sizes(shape=(2,), latent=2, batch=4)


@dataclass(frozen=True, kw_only=True)
class Shifted(View):
    """Shows each item moved by what was drawn for it."""

    joint: ClassVar[bool] = True

    def alter(self, inputs: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        return inputs + noise["by"].unsqueeze(-1)


class Linear(nn.Module):
    """Scores by the sum of a sample's numbers times a weight; counts passes in a buffer."""

    passes: Tensor

    def __init__(self, *, mixes: bool = False) -> None:
        super().__init__()
        self.weight, self.mixes = nn.Parameter(torch.ones(2)), mixes
        self.register_buffer("passes", torch.zeros(()))
        self.seen: list[int] = []

    def forward(self, inputs: Tensor, context: Tensor | None) -> Judgement:
        self.passes += 1
        self.seen.append(len(inputs))
        return Judgement(score=inputs @ self.weight, features=inputs)


def judge(critic: Linear, noise: dict[str, Tensor] | None = None, view: View | None = None) -> Judge:
    method = VANILLA if view is None else VANILLA.but(view=view)
    game = Game.of(method, MLP(width=4).generator(method, SIZES), critic)
    return Judge(game, torch.tensor([2.0, 3.0]), {"passes": torch.zeros(())}, noise or {}, packs=4)


REAL_ROWS, FAKE_ROWS = torch.eye(2).repeat(2, 1), torch.full((4, 2), 10.0)


def test_real_and_fake_are_judged_in_one_counted_pass() -> None:
    critic = Linear()
    asked = judge(critic)
    real, fake = asked.both(REAL_ROWS, FAKE_ROWS, None, None)
    assert real is not None
    assert real.score.tolist() == [2, 3, 2, 3]
    assert fake.score.tolist() == [50] * 4
    assert critic.seen == [8]
    assert asked.buffers["passes"].item() == 1


def test_a_critic_that_mixes_samples_judges_each_kind_alone() -> None:
    critic = Linear(mixes=True)
    asked = judge(critic)
    real, fake = asked.both(REAL_ROWS, FAKE_ROWS, None, None)
    assert real is not None
    assert (real.score.tolist(), fake.score.tolist()) == ([2, 3, 2, 3], [50] * 4)
    assert critic.seen == [4, 4]
    assert asked.buffers["passes"].item() == 2


def test_without_real_samples_only_fakes_are_judged() -> None:
    critic = Linear()
    assert judge(critic).both(None, FAKE_ROWS, None, None)[0] is None
    assert critic.seen == [4]


def test_questions_in_between_leave_the_buffers_as_they_were() -> None:
    asked = judge(Linear())
    assert asked(FAKE_ROWS, None, FAKE).score.tolist() == [50] * 4
    assert asked.slope(FAKE_ROWS, None, FAKE).tolist() == [[2, 3]] * 4
    assert asked.buffers["passes"].item() == 0


def test_each_item_is_shown_with_the_number_that_was_drawn_for_it() -> None:
    noise = {"by": torch.tensor([0.0, 1.0, 2.0, 3.0, 10.0, 20.0, 30.0, 40.0])}
    asked = judge(Linear(), noise, Shifted())
    zeros = torch.zeros(4, 2)
    real, fake = asked.both(zeros, zeros, None, None)
    assert real is not None
    assert real.score.tolist() == [0, 5, 10, 15]
    assert fake.score.tolist() == [50, 100, 150, 200]
    assert asked(zeros, None, REAL).score.tolist() == real.score.tolist()
    assert asked(zeros, None, FAKE).score.tolist() == fake.score.tolist()


def test_the_constraint_is_applied_once_an_update() -> None:
    method = METHODS["sngan"]
    critic = MLP(width=8, depth=2).critic(method, SIZES).double()
    game = Game.of(method, MLP(width=4).generator(method, SIZES).double(), critic)
    tensors = {name: value.detach() for name, value in critic.named_parameters()}
    buffers = method.constraint.init_buffers(tensors)
    asked = Judge(game, game.critic_layout.pack(tensors), buffers, {}, packs=4)
    after = dict(asked.buffers)
    asked.both(REAL_ROWS.double(), FAKE_ROWS.double(), None, None)
    asked(FAKE_ROWS.double(), None, FAKE)
    assert all(torch.equal(asked.buffers[name], after[name]) for name in after)
    largest = torch.linalg.matrix_norm(asked.tensors["body.2.weight"], 2).item()
    assert abs(largest - 1) < 0.05 < abs(torch.linalg.matrix_norm(tensors["body.2.weight"], 2).item() - 1)
