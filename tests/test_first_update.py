"""Mistakes in a loss of one's own are said in a sentence, and a right one is not touched by the trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import uncollapse as uc
from uncollapse.errors import UserError
from uncollapse.loop import Trainer
from uncollapse.parts.losses import Loss, State
from uncollapse.parts.scene import Judgement, Scene
from uncollapse.spec import make_spec

Body = Callable[[Any, Any], Any]


def trainer(critic: Body, generator: Body, seeds: int = 2) -> Trainer:
    """A trainer of a loss with these bodies, which get both judgements."""

    @dataclass(frozen=True, kw_only=True)
    class Mine(Loss):
        def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
            return critic(real, fake)  # type: ignore[no-any-return]

        def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
            return generator(real, fake)  # type: ignore[no-any-return]

    method = uc.METHODS["lsgan"].but(name="mine", loss=Mine())
    return Trainer(make_spec(method, "ring-8", seeds=range(seeds), updates=2, batch=16))


def right_critic(real: Judgement, fake: Judgement) -> Tensor:
    return (real.score - 1).square().mean() / 2 + fake.score.square().mean() / 2


def right_generator(real: Judgement | None, fake: Judgement) -> Tensor:
    return (fake.score - 1).square().mean() / 2


@pytest.mark.parametrize("seeds", [1, 2, 16])
def test_a_right_loss_trains_as_the_built_in_one(seeds: int) -> None:
    mine = trainer(right_critic, right_generator, seeds)
    built_in = Trainer(make_spec("lsgan", "ring-8", seeds=range(seeds), updates=2, batch=16))
    for one in (mine, built_in):
        one.advance(2)
    assert torch.equal(mine.lanes.state.generator.parameters, built_in.lanes.state.generator.parameters)


def test_a_built_in_method_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> object:
        raise AssertionError

    monkeypatch.setattr("uncollapse.first_update._alone", never)
    Trainer(make_spec("lsgan", "ring-8", seeds=(0,), updates=2, batch=16)).advance(1)
    mine = trainer(right_critic, right_generator)  # which may still be sampled from
    with pytest.raises(UserError, match="AssertionError"):
        mine.advance(1)


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize(
    ("critic", "generator", "message"),
    [
        (
            lambda real, fake: (real.score - 1).square() + fake.score.square(),
            right_generator,
            r"The critic loss of mine with \S+Mine has the shape \[16\]; return one number, such as its \.mean",
        ),
        (right_critic, lambda real, fake: fake.score.square(), r"The generator loss of .* has the shape \[16\]"),
        (right_critic, lambda real, fake: None, r"The generator loss of .* is None; return one number as a tensor"),
        (lambda real, fake: 0.5, right_generator, r"The critic loss of .* is 0\.5; return one number as a tensor"),
        (
            right_critic,
            lambda real, fake: fake.score.mean().detach(),
            r"The generator loss of .* does not depend on the player that minimises it; leave out \.detach\(\)",
        ),
        (
            right_critic,
            lambda real, fake: (real.score - fake.score).mean(),
            r"The first generator update of .* fails: AttributeError: .*NoneType.*`generator_sees_real = True`",
        ),
        (
            lambda real, fake: real.score @ fake.score[:3],
            right_generator,
            r"The first critic update of .* fails: RuntimeError: inconsistent tensor size",
        ),
    ],
)
def test_mistakes_are_one_sentence(critic: Body, generator: Body, message: str, seeds: int) -> None:
    with pytest.raises(UserError, match=message):
        trainer(critic, generator, seeds).advance(1)


def test_what_fails_in_the_gradient_is_said_too() -> None:
    def spoilt(real: Judgement | None, fake: Judgement) -> Tensor:
        squashed = fake.score.sigmoid()
        value = squashed.square().mean()
        squashed.add_(1)
        return value

    for seeds in (1, 2):
        with pytest.raises(UserError, match=r"The first generator update of mine .* fails.*: RuntimeError: one of th"):
            trainer(right_critic, spoilt, seeds).advance(1)


def test_a_failing_line_is_named() -> None:
    def wrong(real: Judgement | None, fake: Judgement) -> Tensor:
        raise ValueError("not yet")

    with pytest.raises(UserError, match=r"fails: ValueError: not yet \(test_first_update\.py, line \d+\)\."):
        trainer(right_critic, wrong, 1).advance(1)


@pytest.mark.parametrize(
    "generator",
    [
        lambda real, fake: fake.score.mean() * fake.score.mean().item(),
        lambda real, fake: fake.score.mean() if fake.score.mean() > 0 else -fake.score.mean(),
    ],
)
def test_what_cannot_be_lifted_over_seeds_says_what_to_do(generator: Body) -> None:
    trainer(right_critic, generator, seeds=1).advance(1)
    message = r"first generator update of .* fails with several seeds: .*ask for numbers by `noise` and read them"
    with pytest.raises(UserError, match=message):
        trainer(right_critic, generator, seeds=2).advance(1)


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_loss_that_draws_is_refused_with_one_seed_too(seeds: int) -> None:
    """Nobody could repeat its run: only what `noise` asks for belongs to a seed and an update."""

    def drawn(real: Judgement, fake: Judgement) -> Tensor:
        return torch.rand(()) * right_critic(real, fake)

    before = torch.get_rng_state()
    with pytest.raises(
        UserError, match=r"draws at random, so that no run could be repeated or continued; ask for numbers"
    ):
        trainer(drawn, right_generator, seeds).advance(1)
    assert torch.equal(before, torch.get_rng_state())
