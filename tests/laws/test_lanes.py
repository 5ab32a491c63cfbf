"""Truths about seeds: alone equals among others, a diverged lane disturbs nobody, the same seed gives the same run."""

from __future__ import annotations

import pytest
import torch

from uncollapse.loop import Trainer
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.dynamics import Dynamics
from uncollapse.parts.views import Packed
from uncollapse.run import make_spec
from uncollapse.trees import flatten

SMALL = MLP(width=8, depth=2, bounded=True)
UNROLLED = VANILLA.but(name="unrolled", dynamics=Dynamics(unroll=2, lr_critic=1e-3))
PACKED_PENALTY = METHODS["cwgan-gp"].but(name="packed", view=Packed(2))


def trainer(method: object, seeds: tuple[int, ...], *, dtype: str = "float64", updates: int = 200) -> Trainer:
    spec = make_spec(
        method,
        "blobs-4",
        seeds=seeds,
        updates=updates,
        batch=16,
        networks=SMALL,
        dtype=dtype,
        settings={"dynamics.half_life": 20.0},
    )
    return Trainer(spec)


@pytest.mark.parametrize("method", [*METHODS.values(), UNROLLED, PACKED_PENALTY], ids=lambda method: method.name)
def test_a_seed_alone_equals_the_same_seed_among_others(method: object) -> None:
    together = trainer(method, (3, 7, 11))
    together.advance(200)
    among = flatten(together.lanes)
    for lane, seed in enumerate((3, 7, 11)):
        alone = trainer(method, (seed,))
        alone.advance(200)
        for path, value in flatten(alone.lanes).items():
            other = among[path] if value.ndim == 0 else among[path][lane : lane + 1]
            torch.testing.assert_close(
                value, other, rtol=1e-10, atol=1e-10, msg=lambda text, path=path: f"{path}: {text}"
            )


def test_the_same_seed_twice_is_bit_identical_and_other_seeds_differ() -> None:
    runs = [trainer("wgan-gp", (5, 6), dtype="float32", updates=50) for _ in range(2)]
    for run in runs:
        run.advance(50)
    first, second = (flatten(run.lanes) for run in runs)
    assert all(torch.equal(first[path], second[path]) for path in first)
    assert not torch.equal(first["average"][0], first["average"][1])


@pytest.mark.parametrize("poisoned", [0, 1])
def test_a_diverged_lane_is_frozen_and_the_others_do_not_notice(poisoned: int) -> None:
    clean, hurt = (trainer("wgan-gp", (1, 2), updates=100) for _ in range(2))
    clean.advance(20)
    hurt.advance(20)
    hurt.lanes.state.critic.parameters[poisoned, 0] = float("nan")
    before = {path: value.clone() for path, value in flatten(hurt.lanes).items()}
    clean.advance(100)
    hurt.advance(100)
    after, healthy = flatten(hurt.lanes), flatten(clean.lanes)
    other = 1 - poisoned
    for path, value in after.items():
        if value.ndim:
            torch.testing.assert_close(value[other], healthy[path][other], rtol=0, atol=0)
            if path not in ("diverged_at", "critic_loss", "generator_loss"):
                torch.testing.assert_close(value[poisoned], before[path][poisoned], rtol=0, atol=0, equal_nan=True)
    assert hurt.diverged() == {(1, 2)[poisoned]: 21}
    assert hurt.losses()["critic"][poisoned] is None
    assert clean.diverged() == {}


def test_a_lane_that_diverges_in_the_generator_step_is_recorded() -> None:
    hurt = trainer("vanilla", (1, 2), updates=50)
    hurt.advance(10)
    hurt.lanes.state.generator.parameters[1] = float("inf")
    hurt.advance(50)
    assert list(hurt.diverged()) == [2]
    assert hurt.lanes.average[0].isfinite().all()


def test_training_does_not_touch_the_global_generator() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    trainer("cwgan-gp", (1, 2)).advance(10)
    assert torch.equal(torch.rand(3), expected)
