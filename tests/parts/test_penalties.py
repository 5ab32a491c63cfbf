"""Penalties against closed forms of linear and quadratic critics."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from tests.parts.staging import staged
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.functional import gradient_penalty
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS
from uncollapse.networks.mlp import MLP
from uncollapse.parts.dynamics import Cosine
from uncollapse.parts.penalties import (
    PARTS,
    Dragan,
    GeneratorClassifier,
    GradientPenalty,
    LabelClassifier,
    Penalty,
    ZeroCentred,
)
from uncollapse.parts.scene import Judgement, Scene, Sizes
from uncollapse.run import make_spec
from uncollapse.trees import tree_map


def scene(critic, real: Tensor, fake: Tensor, between: Tensor) -> Scene:  # type: ignore[no-untyped-def]
    """A critic step of a critic given as a function of samples to scores."""
    return staged(critic=critic, real=real, fake=fake, noise={"between": between})


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
        at = scene(lambda x: torch.tanh(x @ weight), real, fake, between)
        return GradientPenalty(weight=2.0)(at) + ZeroCentred(weight=0.5)(at)

    assert torch.autograd.gradcheck(value, torch.randn(2, dtype=torch.float64, requires_grad=True), rtol=1e-5)


def test_the_function_equals_the_part() -> None:
    real, fake, _ = batches(9, 3)
    between = torch.rand(9, 1, generator=torch.Generator().manual_seed(4), dtype=torch.float64)[:, 0]

    def critic(x: Tensor) -> Tensor:
        return torch.tanh(x).sum(-1)

    part = GradientPenalty(weight=2.0)(scene(critic, real, fake, between))
    function = gradient_penalty(critic, real=real, fake=fake, weight=2.0, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(function, part, rtol=1e-12, atol=0)


@pytest.mark.parametrize("on", ["real", "fake"])
@pytest.mark.parametrize("size", [1, 2, 33])
def test_zero_centred_of_a_linear_critic_at_any_batch_size(size: int, on: str) -> None:
    weight = torch.randn(3, dtype=torch.float64)
    penalty = ZeroCentred(weight=5.0, on=on)(scene(lambda x: x @ weight, *batches(size, 3)))  # type: ignore[arg-type]
    assert penalty.item() == pytest.approx(5 * weight.square().sum().item() / 2, rel=1e-12)


@pytest.mark.parametrize("part", [GradientPenalty(weight=4.0), ZeroCentred(weight=4.0)], ids=type)
@pytest.mark.parametrize(("progress", "factor"), [(0.0, 1.0), (0.5, 0.6), (1.0, 0.2)])
def test_the_weight_follows_its_schedule(part: Any, progress: float, factor: float) -> None:
    real, fake, between = batches(5, 2)
    now = replace(scene(lambda x: x.square().sum(-1), real, fake, between), progress=torch.tensor(progress))
    fading = replace(part, schedule=Cosine(final=0.2))
    assert fading(now).item() == pytest.approx(factor * part(now).item(), rel=1e-6)
    assert fading.weight == 4.0


# DRAGAN.


def around(real: Tensor, spread: float = 0.5) -> Scene:
    noise = {"direction": torch.rand_like(real), "distance": torch.rand(len(real), dtype=real.dtype)}
    return staged(critic=lambda x: x.flatten(1).square().sum(-1), real=real, fake=real + 7, noise=noise)


@pytest.mark.parametrize("shape", [(3,), (2, 4)])
def test_dragan_looks_around_real_samples_only(shape: tuple[int, ...]) -> None:
    real = torch.randn(6, *shape, dtype=torch.float64) * torch.logspace(-1, 1, shape[-1], dtype=torch.float64)
    at = around(real)
    x, direction = real.numpy(), at.noise["direction"].numpy()
    distance = at.noise["distance"].numpy().reshape(6, *[1] * len(shape))
    points = (x + distance * 0.5 * x.std(ddof=1) * direction).reshape(6, -1)
    norms = 2 * np.sqrt((points**2).sum(1))  # the slope of |x|^2 is 2 x
    assert Dragan(weight=3.0)(at).item() == pytest.approx(3 * ((norms - 1) ** 2).mean(), rel=1e-10)
    per_feature = (x + distance * 0.5 * x.std(0, ddof=1) * direction).reshape(6, -1)
    other = 3 * ((2 * np.sqrt((per_feature**2).sum(1)) - 1) ** 2).mean()
    assert Dragan(weight=3.0)(at).item() != pytest.approx(other, rel=1e-3)


def test_dragan_asks_for_a_direction_a_number_and_a_distance_a_pack() -> None:
    wish = Dragan().noise(Sizes(shape=(2,), latent=2, batch=12, group=3))
    assert wish == {"direction": ("uniform", (4, 6)), "distance": ("uniform", (4,))}


@pytest.mark.parametrize("size", [1 + 1, 33])
def test_dragan_of_a_linear_critic(size: int) -> None:
    weight = torch.randn(3, dtype=torch.float64)
    real, fake, _ = batches(size, 3)
    at = replace(scene(lambda x: x @ weight, real, fake, torch.empty(0)), noise=around(real).noise)
    assert Dragan(weight=10.0)(at).item() == pytest.approx(10 * (weight.norm().item() - 1) ** 2, rel=1e-9)


# Classifiers.

LOGITS = np.array([[0.3, -1.2, 2.0], [1.0, 0.4, -0.5]])
OTHER = np.array([[-0.7, 0.9, 0.2], [0.0, 3.0, 1.0]])


def classified(**fields: Any) -> Scene:
    def judgement(logits: np.ndarray) -> Judgement:
        tensor = torch.from_numpy(logits)
        return Judgement(score=tensor[:, 0], features=tensor, class_logits=tensor, generator_logits=tensor)

    x = torch.zeros(2, 2, dtype=torch.float64)
    return staged(real=x, fake=x, **{"real_judgement": judgement(LOGITS), "fake_judgement": judgement(OTHER), **fields})


WANTED = torch.eye(3, dtype=torch.float64)[[2, 1]]


def entropy(logits: np.ndarray) -> float:
    said = log_softmax(logits, axis=1)
    return -(said[0, 2] + said[1, 1]) / 2


def test_the_label_classifier_is_the_cross_entropy_of_both_batches() -> None:
    value = LabelClassifier(weight=2.0)(classified(labels=WANTED)).item()
    assert value == pytest.approx(2 * (entropy(LOGITS) + entropy(OTHER)), rel=1e-12)
    softmaxed = [np.exp(log_softmax(logits, axis=1)) for logits in (LOGITS, OTHER)]
    assert value != pytest.approx(2 * sum(map(entropy, softmaxed)), rel=1e-2)  # probabilities taken for logits
    assert value != pytest.approx(2 * entropy(LOGITS), rel=1e-2)  # the real batch alone
    assert LabelClassifier().heads(Sizes(shape=(2,), latent=2, classes=7)) == {"class_logits": 7}


def test_the_generator_classifier_is_the_cross_entropy_of_the_fakes() -> None:
    value = GeneratorClassifier(weight=3.0)(classified(generator_index=WANTED)).item()
    assert value == pytest.approx(3 * entropy(OTHER), rel=1e-12)
    assert value != pytest.approx(3 * (entropy(OTHER) + entropy(LOGITS)), rel=1e-2)
    assert GeneratorClassifier().heads(Sizes(shape=(2,), latent=2, generators=4)) == {"generator_logits": 4}


@pytest.mark.parametrize("name", ["wgan-gp", "dragan", "r1", "r3gan", "ac-gan", "mgan-4"])
def test_a_penalty_is_added_to_the_whole_loss_with_its_own_weight(name: str) -> None:
    """Neither half of the adversarial loss is scaled or left out, so that lambda means what the paper says.

    All three start alike: extra heads are drawn last.
    """
    method, values = METHODS[name], []
    for penalties in ((), method.penalties, tuple(replace(one, weight=3 * one.weight) for one in method.penalties)):  # type: ignore[call-arg, attr-defined]
        other = method.but(penalties=penalties, generator_terms=(), conditioning=METHODS["projection"].conditioning)
        spec = make_spec(other, "blobs-4", seeds=(1,), updates=5, batch=8, networks=MLP(width=6), dtype="float64")
        trainer = Trainer(spec)
        state, batch = tree_map(lambda value: value[0], (trainer.lanes.state, trainer.critic_blocks.batch(0)))
        noise = {
            f"penalties.{place}.{key}": value
            for place, one in enumerate(method.penalties)
            for key, value in drawn(one, trainer.sizes).items()
        }
        batch = batch._replace(noise=noise)
        value = trainer.game.critic_objective(state.critic.parameters, state, batch, trainer._clock(trainer.lanes))[0]
        values.append(value.item())
    assert values[1] - values[0] > 1e-6
    assert values[2] - values[0] == pytest.approx(3 * (values[1] - values[0]), rel=1e-9)


def drawn(part: Penalty, sizes: Sizes) -> dict[str, Tensor]:
    return {
        name: torch.linspace(0, 0.9, math.prod(shape), dtype=torch.float64).reshape(shape)
        for name, (_, shape) in part.noise(sizes).items()
    }


def test_the_critic_learns_under_dragan() -> None:
    """The adversarial half has a gradient too: with the generator at rest, the whole loss falls."""
    method = METHODS["dragan"]
    spec = make_spec(
        method,
        "ring-8",
        seeds=(1,),
        updates=300,
        batch=64,
        networks=MLP(width=16),
        dtype="float64",
        settings={"dynamics.lr_generator": 1e-9, "dynamics.lr_critic": 2e-3},
    )
    trainer = Trainer(spec)
    trainer.advance(300)
    # A critic that says 0 everywhere pays 2 log 2 for its scores alone; the penalty only adds to that.
    late = trainer.losses()["critic"][0]
    assert late is not None
    assert late < 1.2 < 2 * math.log(2)


def test_what_each_penalty_asks_of_the_critic() -> None:
    assert {part for part in PARTS if part.per_sample} == {GradientPenalty, ZeroCentred, Dragan}
    assert {part for part in PARTS if part.off_samples} == {GradientPenalty, Dragan}


@pytest.mark.parametrize("part", PARTS)
def test_negative_weights_are_refused(part: Any) -> None:
    with pytest.raises(UserError, match=rf"{part.__name__}\(weight=-1.0\) rewards what it should punish"):
        part(weight=-1.0)


def test_refusals() -> None:
    with pytest.raises(
        UserError, match=r"ZeroCentred\(on='both'\) is not one of 'real', 'fake'; 'real' is the usual value"
    ):
        ZeroCentred(on="both")  # type: ignore[arg-type]
    unseen = replace(scene(lambda x: x.sum(-1), *batches(2, 2)), real=None)
    with pytest.raises(RuntimeError, match="a part reads the real batch"):
        GradientPenalty()(unseen)
