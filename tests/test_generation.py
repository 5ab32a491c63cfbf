"""Samples: a function of weights, seed and draw, equal to those of a plain module with the same weights."""

from __future__ import annotations

import pytest
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

from uncollapse import generation
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.generation import checked_labels
from uncollapse.loop import Trainer
from uncollapse.networks.mlp import MLP
from uncollapse.spec import make_spec

SMALL = MLP(width=8, depth=2)
SEEDS = (3, 7)


def trainer(method: str, *, dtype: str = "float64") -> Trainer:
    """A trainer on the unequal blobs after ten fast updates."""
    settings = {"dynamics.lr_generator": 1e-2}
    played = Trainer(
        make_spec(
            method, "unequal-3", seeds=SEEDS, updates=20, batch=16, networks=SMALL, dtype=dtype, settings=settings
        )
    )
    played.advance(10)
    return played


def filled(network: nn.Module, flat: Tensor) -> nn.Module:
    """A plain module with the weights of one lane."""
    network = network.double()
    vector_to_parameters(flat.detach().clone(), network.parameters())
    return network


def by_hand(
    played: Trainer, lane: int, weights: Tensor, n: int, draw: int = 0, labels: list[int] | None = None
) -> Tensor:
    """Samples of a plain module with the lane's weights."""
    latent = stream(SEEDS[lane], "sampling", draw, dtype=torch.float64).normal(n, 2)
    hot = None if labels is None else torch.eye(3, dtype=torch.float64)[labels]
    with torch.no_grad():
        samples: Tensor = filled(SMALL.generator(played.method, played.sizes), weights[lane])(latent, hot)
    return samples


@pytest.fixture(scope="module")
def vanilla() -> Trainer:
    return trainer("vanilla")


@pytest.fixture(scope="module")
def conditional() -> Trainer:
    return trainer("cwgan-gp")


@pytest.mark.parametrize("draw", [0, 3])
@pytest.mark.parametrize("averaged", [True, False])
def test_samples_come_from_the_averaged_or_the_live_generator(vanilla: Trainer, averaged: bool, draw: int) -> None:
    weights = vanilla.lanes.average if averaged else vanilla.lanes.state.generator.parameters
    found = vanilla.samples(50, averaged=averaged, draw=draw)
    assert found.shape == (2, 50, 2)
    assert not found.requires_grad
    for lane in range(2):
        torch.testing.assert_close(found[lane], by_hand(vanilla, lane, weights, 50, draw), rtol=1e-12, atol=1e-14)


def test_samples_are_a_function_of_weights_and_draw(vanilla: Trainer) -> None:
    first = vanilla.samples(50)
    torch.manual_seed(1)
    assert torch.equal(vanilla.samples(50), first)
    purposes = torch.stack([vanilla.lane_samples(lane, 50, purpose="monitor") for lane in range(2)])
    for other in (vanilla.samples(50, draw=1), vanilla.samples(50, averaged=False), first.flip(0), purposes):
        assert 1e-3 < (other - first).abs().max() < 10


def test_samples_of_images_have_their_shape() -> None:
    spec = make_spec("cgan", "digits", seeds=(1, 2), updates=2, batch=4, networks=MLP(width=4, depth=1, bounded=True))
    found = Trainer(spec).samples(7)
    assert found.shape == (2, 7, 8, 8)
    assert found.dtype == torch.float32
    assert 0 < found.abs().max() <= 1


def test_conditional_samples_have_the_labels_of_the_task_in_proportion(conditional: Trainer) -> None:
    labels = [0] * 6 + [1] * 3 + [2] * 2  # weights 6/11, 3/11, 2/11
    balanced = conditional.samples(11)
    assert torch.equal(balanced, conditional.samples(11, labels=torch.tensor(labels)))
    for lane in range(2):
        expected = by_hand(conditional, lane, conditional.lanes.average, 11, labels=labels)
        torch.testing.assert_close(balanced[lane], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", ["vanilla", "cwgan-gp", "mad-gan-4", "ensemble-4"])
def test_no_samples_are_an_empty_tensor_of_the_right_shape(method: str) -> None:
    played = trainer(method)
    for averaged in (True, False):
        assert played.samples(0, averaged=averaged).shape == (2, 0, 2)
    assert played.samples(1).shape == (2, 1, 2)


def test_no_labels_are_labels_of_no_samples(conditional: Trainer) -> None:
    every: list[ArrayLike] = [[], torch.zeros(0, dtype=torch.int64)]
    for labels in every:
        assert checked_labels(labels, 0, conditional.spec).tolist() == []
        with pytest.raises(UserError, match="labels must be 1 whole numbers"):
            checked_labels(labels, 1, conditional.spec)


def test_the_asked_labels_are_those_that_are_used(conditional: Trainer) -> None:
    labels = [2, 0, 1, 1, 2]
    found = conditional.samples(5, labels=torch.tensor(labels), averaged=False)
    weights = conditional.lanes.state.generator.parameters
    torch.testing.assert_close(found[1], by_hand(conditional, 1, weights, 5, labels=labels), rtol=1e-12, atol=1e-14)
    assert (found - conditional.samples(5, averaged=False)).abs().max() > 1e-3


@pytest.mark.parametrize("at_once", [1, 13, 50])
def test_samples_do_not_depend_on_how_many_are_made_at_once(
    vanilla: Trainer, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = vanilla.samples(50)
    monkeypatch.setattr(generation, "SAMPLED_NUMBERS", 2 * at_once)  # a sample has two numbers
    made: list[int] = []
    generate = type(vanilla.game).generate

    def counting(game: object, parameters: Tensor, buffers: dict[str, Tensor], batch: object) -> object:
        made.append(len(batch.latent))  # type: ignore[attr-defined]
        return generate(game, parameters, buffers, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(type(vanilla.game), "generate", counting)
    torch.testing.assert_close(vanilla.samples(50), whole, rtol=1e-12, atol=1e-14)
    assert max(made) == at_once
    assert sum(made) == 2 * 50


def test_no_samples_are_an_empty_tensor_of_their_shape(vanilla: Trainer) -> None:
    assert vanilla.samples(0).shape == (2, 0, 2)


def test_members_of_an_ensemble_share_the_samples_among_them() -> None:
    played = trainer("ensemble-4")
    numbers = stream(SEEDS[1], "sampling", 0, dtype=torch.float64)
    latent, asked = numbers.normal(200, 2), numbers.integers(4, 200)
    assert set(asked.tolist()) == {0, 1, 2, 3}
    found = played.lane_samples(1, 200)
    shape = played.game.generator  # of the width that four members share
    for member in range(4):
        module = filled(shape, played.lanes.average[4 + member])
        with torch.no_grad():
            expected = module(latent[asked == member], None, None)
        torch.testing.assert_close(found[asked == member], expected, rtol=1e-12, atol=1e-14)


def test_samples_are_made_in_full_precision_whatever_the_layers_are_trained_in() -> None:
    played = trainer("vanilla", dtype="bfloat16")
    found = played.samples(50)
    assert found.dtype == torch.float32
    numbers = stream(SEEDS[0], "sampling", 0, dtype=torch.float32)
    with torch.no_grad():
        module = filled(played.game.generator, played.lanes.average[0].double())
        expected = module(numbers.normal(50, 2).double(), None, None)
    assert (found[0] - expected).abs().max() < 1e-5 * expected.abs().max()
