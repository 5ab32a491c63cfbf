"""Layers in bfloat16: what rounding changes in a gradient, beside what another batch would change, decides who may.

Penalties that differentiate twice are no worse off than losses; a loss that scores by what a reconstruction lacks is.
The same on networks of the tasks' own size, for all methods (digits, 3,000 updates, width 128): at most .31 of another
batch, but .58 to .71 for ebgan-pt, ebgan and began.
"""

from __future__ import annotations

from statistics import median
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from uncollapse import compatibility
from uncollapse.errors import UserError
from uncollapse.game import Batch, Game
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import METHODS
from uncollapse.metrics.modes import judged
from uncollapse.networks.mlp import MLP
from uncollapse.run import make_spec
from uncollapse.spec import RunSpec
from uncollapse.trees import flatten, tree_map

FAST = {"dynamics.lr_critic": 1e-3, "dynamics.lr_generator": 1e-3}
# bfloat16 keeps 8 binary digits.
DIGITS = 2**-8


def specification(method: str | Method, dtype: str = "float32", seeds: tuple[int, ...] = (3,)) -> RunSpec:
    networks = MLP(latent=8, width=32, depth=2, bounded=True)
    return make_spec(
        method, "digits", seeds=seeds, updates=1000, batch=32, networks=networks, dtype=dtype, settings=FAST
    )


def played(method: str, updates: int, dtype: str = "float32", seeds: tuple[int, ...] = (3,)) -> Trainer:
    trainer = Trainer(specification(method, dtype, seeds))
    trainer.advance(updates)
    return trainer


def gradient(trainer: Trainer, player: str, batch: Batch, dtype: torch.dtype, *, rounded: bool = False) -> Tensor:
    """One player's gradient (P,) in float64, computed in another type or with its layers in bfloat16."""
    game = Game.of(trainer.method, trainer.game.generator, trainer.game.critic, bfloat16_on="cpu" if rounded else "")
    state, own, clock = tree_map(
        lambda value: value.to(dtype) if value.is_floating_point() else value,
        (
            tree_map(lambda value: value[0], trainer.lanes.state),
            tree_map(lambda value: value[0], batch),
            trainer._clock(trainer.lanes),
        ),
    )
    leaf = getattr(state, player).parameters.detach().requires_grad_()
    value, _ = getattr(game, f"{player}_objective")(leaf, state, own, clock)
    (found,) = torch.autograd.grad(value, leaf)
    return found.double()


class Errors(NamedTuple):
    """Relative changes of a gradient, medians over batches: by a type, and by another batch."""

    single: float
    rounded: float
    other: float


def errors(trainer: Trainer, player: str) -> Errors:
    blocks = getattr(trainer, f"{player}_blocks")
    found = []
    for number in range(7):
        batch, other = blocks.batch(1_000_000 + number), blocks.batch(1_000_032 + number)
        exact = gradient(trainer, player, batch, torch.float64)
        changed = (
            gradient(trainer, player, batch, torch.float32),
            gradient(trainer, player, batch, torch.float32, rounded=True),
            gradient(trainer, player, other, torch.float64),
        )
        found.append([((one - exact).norm() / exact.norm()).item() for one in changed])
    return Errors(*map(median, zip(*found, strict=True)))


@pytest.mark.parametrize("name", ["vanilla", "wgan-gp", "r3gan", "sngan", "unrolled-5", "bures", "cwgan-gp"])
def test_rounding_changes_a_gradient_by_a_few_hundredths_and_far_less_than_another_batch(name: str) -> None:
    trainer = played(name, 100)
    for player in ("critic", "generator"):
        found = errors(trainer, player)
        assert found.single < 1e-5 or name == "bures"  # whose roots of eigenvalues are steep
        assert 1e-3 < found.rounded < 0.2
        assert found.rounded < found.other / 3


def test_a_gradient_penalty_is_rounded_no_worse_than_a_loss() -> None:
    """The penalty's own gradient, its second derivative included: 1 to 4 per cent off, and 1e-6 in float32."""
    trainer = played("wgan-gp", 100)
    batches = [trainer.critic_blocks.batch(1_000_000 + number) for number in range(7)]
    bare = trainer.method.but(penalties=())
    found: dict[str, list[float]] = {"single": [], "rounded": [], "loss": []}
    for batch in batches:

        def parts(dtype: torch.dtype, batch: Batch = batch, **options: bool) -> tuple[Tensor, Tensor]:
            """The gradients of the loss and of the penalty."""
            whole = gradient(trainer, "critic", batch, dtype, **options)
            trainer.method = bare
            loss = gradient(trainer, "critic", batch, dtype, **options)
            trainer.method = METHODS["wgan-gp"]
            return loss, whole - loss

        (loss, penalty), (_, single), (rounded_loss, rounded) = (
            parts(torch.float64), parts(torch.float32), parts(torch.float32, rounded=True),
        )  # fmt: skip
        found["single"].append(((single - penalty).norm() / penalty.norm()).item())
        found["rounded"].append(((rounded - penalty).norm() / penalty.norm()).item())
        found["loss"].append(((rounded_loss - loss).norm() / loss.norm()).item())
    assert median(found["single"]) < 1e-5
    assert 1e-3 < median(found["rounded"]) < 0.1
    assert 1e-3 < median(found["loss"]) < 0.1


def test_an_auto_encoders_score_is_rounded_too_much_once_it_reconstructs_well() -> None:
    found = errors(played("began", 450), "generator")
    assert found.single < 1e-5
    assert found.rounded > found.other / 3


@pytest.mark.parametrize("name", METHODS)
def test_exactly_the_methods_that_read_reconstructions_are_refused(name: str) -> None:
    method = METHODS[name]
    for dtype in ("float32", "float64"):
        compatibility.check_precision(method, dtype)
    if name in ("ebgan", "ebgan-pt", "began"):
        with pytest.raises(UserError, match="scores by the small difference between a sample and its reconstruction"):
            compatibility.check_precision(method, "bfloat16")
    else:
        compatibility.check_precision(method, "bfloat16")


def test_weights_moments_and_averages_stay_in_float32_and_losses_stay_close() -> None:
    for name in ("wgan-gp", "cgan", "sngan"):
        single, rounded = played(name, 5), played(name, 5, "bfloat16")
        for path, value in flatten(rounded.lanes).items():
            assert value.dtype in (torch.float32, torch.float64, torch.int64), path
            assert value.dtype == flatten(single.lanes)[path].dtype
        ours, theirs = rounded.losses(), single.losses()
        for player in ("critic", "generator"):
            one, other = ours[player][0], theirs[player][0]
            assert one is not None
            assert other is not None
            # A difference of scores is rounded as the scores are, and not as their difference.
            assert 0 < abs(one - other) < 4 * DIGITS * max(1, abs(other))


def test_seeds_take_turns_because_a_lift_would_round_nothing() -> None:
    """Under vmap autocast is silently without effect, so the seeds of fully connected networks are not lifted."""
    together, alone = played("wgan-gp", 5, "bfloat16", (3, 7)), played("wgan-gp", 5, "bfloat16", (7,))
    single = played("wgan-gp", 5, "float32", (3, 7))
    assert together.in_turn is True
    assert single.in_turn is False
    ours = together.lanes.state.critic.moments.second
    torch.testing.assert_close(ours[1], alone.lanes.state.critic.moments.second[0], rtol=1e-5, atol=1e-9)
    theirs = single.lanes.state.critic.moments.second
    for lane in range(2):
        assert 1e-3 < ((ours[lane] - theirs[lane]).norm() / theirs[lane].norm()).item() < 0.2


def test_rounded_shares_train_what_a_rounded_batch_trains() -> None:
    spec: dict[str, Any] = {"seeds": (3,), "updates": 10, "batch": 32, "dtype": "bfloat16"}
    found = []
    for accumulate in (1, 4):
        trainer = Trainer(make_spec("wgan-gp", "digits", accumulate=accumulate, **spec))
        trainer.advance(1)
        found.append(trainer.lanes.state.critic.moments.second)
    assert 0 < ((found[0] - found[1]).norm() / found[0].norm()).item() < 0.05


@pytest.mark.slow
def test_a_game_in_bfloat16_ends_where_one_in_float32_does() -> None:
    """All modes of the ring, by a method with two penalties that differentiate twice."""
    options: dict[str, Any] = {"seeds": (0, 1), "updates": 1500, "batch": 64, "networks": MLP(width=64, depth=2)}
    for dtype in ("float32", "bfloat16"):
        spec = make_spec("r3gan", "ring-8", dtype=dtype, settings=FAST, **options)
        trainer = Trainer(spec)
        trainer.advance(1500)
        assert [judged(samples, spec.task)[0]["modes_hit"] for samples in trainer.samples(2000)] == [8, 8]
