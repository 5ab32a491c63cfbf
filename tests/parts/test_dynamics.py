"""Dynamics: schedules by hand, their effect on the step, and every refusal."""

from __future__ import annotations

import math

import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.methods import VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.dynamics import Constant, Cosine, Dynamics, LookAhead, PerPlayer, ThroughSteps
from uncollapse.run import make_spec


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 1.0), (0.5, 0.55), (1.0, 0.1), (1 / 3, 0.775)])
def test_cosine_by_hand(progress: float, factor: float) -> None:
    assert Cosine(final=0.1)(torch.tensor(progress)).item() == pytest.approx(factor, rel=1e-6)


def test_constant_is_one() -> None:
    assert Constant()(torch.tensor(0.3)).item() == 1.0


def first_move(dynamics: Dynamics, after: int) -> tuple[float, float]:
    """Largest move of critic and generator in the update after `after` of 10; Adam's with b1 = b2 = 0 is the rate."""
    method = VANILLA.but(name="moves", dynamics=dynamics)
    spec = make_spec(method, "ring-8", seeds=[0], updates=10, batch=8, networks=MLP(width=8, depth=1), dtype="float64")
    trainer = Trainer(spec)
    trainer.advance(after)
    before = trainer.lanes.state
    trainer.advance(after + 1)
    now = trainer.lanes.state
    return tuple(  # type: ignore[return-value]
        (getattr(now, player).parameters - getattr(before, player).parameters).abs().max().item()
        for player in ("critic", "generator")
    )


def test_rates_belong_to_their_players_and_follow_the_schedule() -> None:
    dynamics = Dynamics(lr_critic=3e-3, lr_generator=1e-3, betas=(0.0, 0.0), schedule=Cosine(final=0.0))
    for after in (0, 5):
        # The critic moves first; the generator then stands one critic update further on.
        factors = [(1 + math.cos(math.pi * (after + ahead) / 10)) / 2 for ahead in (0, 1)]
        assert first_move(dynamics, after) == pytest.approx((3e-3 * factors[0], 1e-3 * factors[1]), rel=1e-3)


def test_each_player_may_follow_a_schedule_of_its_own() -> None:
    apart = PerPlayer(critic=Cosine(final=0.3), generator=Cosine(final=0.0))
    dynamics = Dynamics(lr_critic=3e-3, lr_generator=1e-3, betas=(0.0, 0.0), schedule=apart)
    for after in (0, 5, 9):
        falls = [(1 + math.cos(math.pi * (after + ahead) / 10)) / 2 for ahead in (0, 1)]
        expected = 3e-3 * (0.3 + 0.7 * falls[0]), 1e-3 * falls[1]
        assert first_move(dynamics, after) == pytest.approx(expected, rel=1e-3, abs=1e-12)


def test_the_foreseen_critic_moves_at_the_critics_rate() -> None:
    still = PerPlayer(critic=Cosine(final=0.0), generator=Constant())
    methods = [
        VANILLA.but(name="ahead", dynamics=Dynamics(schedule=schedule, unroll=unroll, lr_critic=0.3, lr_generator=0.3))
        for schedule, unroll in ((still, 1), (still, 3), (Constant(), 3))
    ]
    moves = []
    for method in methods:
        networks = MLP(width=8, depth=1)
        spec = make_spec(method, "ring-8", seeds=[0], updates=4, batch=8, networks=networks, dtype="float64")
        trainer = Trainer(spec)
        # The generator's last step stands at the end of the budget, where the critic's rate is 0: nothing to foresee.
        trainer.lanes = trainer.lanes._replace(critic_updates=trainer.lanes.critic_updates + 3)
        trainer.advance(1)
        moves.append(trainer.lanes.state.generator.parameters)
    torch.testing.assert_close(moves[0], moves[1])
    assert not torch.allclose(moves[0], moves[2])


def test_one_schedule_serves_both_and_a_penalty_takes_the_critics() -> None:
    progress = torch.tensor(0.5)
    for schedule in (Constant(), Cosine(final=0.2)):
        assert schedule.for_critic(progress) == schedule.for_generator(progress) == schedule(progress)
    apart = PerPlayer(critic=Cosine(final=0.5), generator=PerPlayer(generator=Cosine(final=0.1)))
    assert apart(progress).item() == apart.for_critic(progress).item() == pytest.approx(0.75)
    assert apart.for_generator(progress).item() == pytest.approx(0.55)
    with pytest.raises(UserError, match=r"PerPlayer\(generator=0\.1\) is not a Schedule; Cosine"):
        PerPlayer(generator=0.1)  # type: ignore[arg-type]


def test_a_plan_can_name_two_schedules() -> None:
    given = {"part": "PerPlayer", "critic": {"part": "Cosine", "final": 0.3}}
    changed = VANILLA.with_setting("dynamics.schedule", given)
    assert changed.dynamics.schedule == PerPlayer(critic=Cosine(final=0.3), generator=Cosine(final=0.0))
    assert changed.follows_budget
    assert not VANILLA.with_setting(
        "dynamics.schedule", given | {"critic": {"part": "Constant"}, "generator": {"part": "Constant"}}
    ).follows_budget


def test_lists_become_tuples_so_that_specs_read_back_equal() -> None:
    assert Dynamics(betas=[0, 0.9]) == Dynamics(betas=(0.0, 0.9))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"critic_steps": 0}, "dynamics.critic_steps = 0 is not a whole number of 1 or more"),
        ({"generator_steps": -1}, "dynamics.generator_steps = -1 is not a whole number"),
        ({"lr_critic": 0.0}, "dynamics.lr_critic = 0.0 is not above 0"),
        ({"lr_generator": float("nan")}, "lr_generator=nan. is not a finite number"),
        ({"half_life": -1.0}, "dynamics.half_life = -1.0 is negative; 0 switches it off"),
        ({"unroll": -2}, "dynamics.unroll = -2 is negative"),
        ({"clip": float("inf")}, "clip=inf. is not a finite number"),
        ({"betas": (0.5, 1.0)}, r"dynamics.betas = \[0.5, 1.0\] must be two numbers in \[0, 1\)"),
        ({"betas": (0.5,)}, "must be two numbers"),
    ],
)
def test_refusals(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Dynamics(**given)  # type: ignore[arg-type]


def test_what_foresight_knows() -> None:
    """See tests/laws/test_unrolling.py for what follows from it."""
    value = torch.ones(2, requires_grad=True)
    assert ThroughSteps().known(value) is value
    assert not LookAhead().known(value).requires_grad
    assert torch.equal(LookAhead().known(value), value)
