"""Penalties against closed forms of linear and quadratic critics."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.functional import gradient_penalty
from uncollapse.game import differentiate_alone
from uncollapse.parts.penalties import GradientPenalty, ZeroCentred
from uncollapse.parts.scene import Judgement, Scene, Sizes


def scene(critic, real: Tensor, fake: Tensor, between: Tensor) -> Scene:  # type: ignore[no-untyped-def]
    """A critic step of a critic given as a function of samples to scores."""

    def judge(inputs: Tensor) -> Judgement:
        return Judgement(score=critic(inputs), features=inputs.flatten(1))

    return Scene(
        real=real,
        fake=fake,
        real_samples=real,
        fake_samples=fake,
        latent=torch.zeros(len(fake), 1),
        labels=None,
        generator_index=None,
        noise={"between": between},
        progress=torch.zeros(()),
        real_judgement=judge(real),
        fake_judgement=judge(fake),
        critic=judge,
        slope=lambda inputs: differentiate_alone(lambda at: (critic(at).sum(), ()), inputs)[0],
        generate=lambda latent: fake,
        encode=None,
    )


def batches(size: int, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.randn(size, *shape, dtype=torch.float64),
        torch.randn(size, *shape, dtype=torch.float64),
        torch.rand(size, dtype=torch.float64),
    )


@pytest.mark.parametrize("size", [1, 2, 7, 128])
@pytest.mark.parametrize("shape", [(3,), (2, 4, 4)])
def test_gradient_penalty_of_a_linear_critic_at_any_batch_size(size: int, shape: tuple[int, ...]) -> None:
    weight = torch.randn(*shape, dtype=torch.float64)
    penalty = GradientPenalty(weight=10.0)(scene(lambda x: (x * weight).flatten(1).sum(-1), *batches(size, *shape)))
    assert penalty.item() == pytest.approx(10 * (weight.norm().item() - 1) ** 2, rel=1e-9)


@pytest.mark.parametrize(("slope", "expected"), [(3.0, 4.0), (0.25, 0.0)])
def test_one_sided_penalty_spares_gentle_slopes(slope: float, expected: float) -> None:
    penalty = GradientPenalty(weight=1.0, one_sided=True)(scene(lambda x: slope * x[:, 0], *batches(5, 2)))
    assert penalty.item() == pytest.approx(expected, abs=1e-9)


def test_each_sample_gets_its_own_position_between_real_and_fake() -> None:
    real, fake, between = batches(6, 2)
    inputs = between[:, None] * real + (1 - between[:, None]) * fake
    penalty = GradientPenalty(weight=1.0)(scene(lambda x: x.square().sum(-1), real, fake, between))
    expected = (2 * inputs.norm(dim=-1) - 1).square().mean()  # the slope of |x|^2 is 2 x
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-9)


def test_the_position_is_asked_for_once_a_pack() -> None:
    assert GradientPenalty().noise(Sizes(shape=(2,), latent=2, batch=12, group=3)) == {"between": ("uniform", (4,))}


@pytest.mark.parametrize("on", ["real", "fake"])
def test_zero_centred_of_a_quadratic_critic(on: str) -> None:
    real, fake, between = batches(8, 3)
    where = real if on == "real" else fake
    penalty = ZeroCentred(weight=0.6, on=on)(scene(lambda x: x.square().sum(-1) / 2, real, fake, between))  # type: ignore[arg-type]
    assert penalty.item() == pytest.approx(0.3 * where.square().sum(-1).mean().item(), rel=1e-12)


def test_a_zero_slope_has_a_finite_derivative() -> None:
    weight = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    penalty = GradientPenalty(weight=1.0)(scene(lambda x: (x * weight).sum(-1), *batches(4, 2)))
    (derivative,) = torch.autograd.grad(penalty, weight)
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    assert derivative.isfinite().all()


def test_penalties_have_the_derivative_of_their_equation() -> None:
    real, fake, between = batches(4, 2)

    def value(weight: Tensor) -> Tensor:
        staged = scene(lambda x: torch.tanh(x @ weight), real, fake, between)
        return GradientPenalty(weight=2.0)(staged) + ZeroCentred(weight=0.5)(staged)

    assert torch.autograd.gradcheck(value, torch.randn(2, dtype=torch.float64, requires_grad=True), rtol=1e-5)


def test_the_function_equals_the_part() -> None:
    real, fake, _ = batches(9, 3)
    between = torch.rand(9, 1, generator=torch.Generator().manual_seed(4), dtype=torch.float64)[:, 0]

    def critic(x: Tensor) -> Tensor:
        return torch.tanh(x).sum(-1)

    part = GradientPenalty(weight=2.0)(scene(critic, real, fake, between))
    function = gradient_penalty(critic, real=real, fake=fake, weight=2.0, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(function, part, rtol=1e-12, atol=0)


def test_refusals() -> None:
    with pytest.raises(UserError, match=r"ZeroCentred\(on='both'\) is not a place to look; choose 'real'"):
        ZeroCentred(on="both")  # type: ignore[arg-type]
    staged = replace(scene(lambda x: x.sum(-1), *batches(2, 2)), real=None)
    with pytest.raises(RuntimeError, match="needs the real batch"):
        GradientPenalty()(staged)
