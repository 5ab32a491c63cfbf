"""Lanes: seeds of members, shared widths, frozen lanes by hand; what follows from them: tests/laws/test_lanes.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.conftest import no_global_draws
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.game import Layout
from uncollapse.lanes import (
    drawn_networks,
    lane_seeds,
    lifted,
    living,
    player,
    recorded,
    shared_out,
    sizes_of,
    where,
)
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.population import Ensemble, Mixture
from uncollapse.parts.views import Packed
from uncollapse.run import make_spec


def specification(seeds: tuple[int, ...] = (3, 7), width: int = 16, **axes: Any) -> Any:
    method = VANILLA.but(name="mine", **axes)
    return make_spec(method, "blobs-4", seeds=seeds, updates=5, batch=12, networks=MLP(width=width, depth=2, latent=3))


def test_sizes_are_those_of_the_task_the_networks_and_the_view() -> None:
    sizes = sizes_of(specification(view=Packed(3, equal="packs"), population=Mixture(size=5)))
    assert (sizes.shape, sizes.latent, sizes.classes) == ((2,), 3, 4)
    assert (sizes.batch, sizes.group, sizes.packs, sizes.generators) == (36, 3, 12, 5)
    assert sizes_of(specification(view=Packed(3))).batch == 12
    assert sizes_of(specification(population=Ensemble(size=5))).generators == 1


def test_a_seed_is_its_own_first_member() -> None:
    assert lane_seeds(specification()) == (3, 7)
    seeds = lane_seeds(specification(population=Ensemble(size=3)))
    assert (seeds[0], seeds[3], len(set(seeds))) == (3, 7, 6)
    assert lane_seeds(specification((7, 3), population=Ensemble(size=3))) == seeds[3:] + seeds[:3]
    assert lane_seeds(specification(population=Ensemble(size=2)))[:2] == seeds[:2]  # more members change no member


@pytest.mark.parametrize("name", ["ensemble-4"])
@pytest.mark.parametrize("width", [4, 16, 100])
def test_the_shared_width_is_the_largest_that_fits(name: str, width: int) -> None:
    method = METHODS[name]
    spec = make_spec(method, "blobs-4", seeds=(1,), updates=5, batch=12, networks=MLP(width=width, depth=2))
    sizes = sizes_of(spec)

    def count(wide: int) -> int:
        networks = MLP(width=wide, depth=2)
        pair = networks.generator(method, sizes), networks.critic(method, sizes)
        return sum(value.numel() for network in pair for value in network.parameters())

    with no_global_draws():
        found = shared_out(spec, sizes)
    assert 4 * count(found.width) <= count(width) < 4 * count(found.width + 1)
    assert found.depth == 2
    assert shared_out(specification(), sizes).width == 16  # alone, a member has all of it


def test_members_that_cannot_fit_are_refused() -> None:
    spec = specification(width=2, population=Ensemble(size=4))
    with pytest.raises(UserError, match="4 members do not fit into the parameters of one network of width 2"):
        shared_out(spec, sizes_of(spec))


def test_networks_are_a_function_of_the_seed_alone() -> None:
    spec = specification()
    with no_global_draws():
        first, again, other = (
            drawn_networks(spec.method, spec.networks, sizes_of(spec), seed, torch.float64) for seed in (3, 3, 7)
        )
    for place in (0, 1):
        weights = [dict(pair[place].named_parameters()) for pair in (first, again, other)]
        for name, value in weights[0].items():
            assert value.dtype == torch.float64
            assert torch.equal(value, weights[1][name])
            assert not torch.equal(value, weights[2][name])


def test_lifting_is_one_call_a_lane() -> None:
    leaf, lanes = torch.randn(3, 4), {"a": torch.randn(3, 2), "b": None}

    def function(at: Tensor, lane: Any) -> tuple[Tensor, Any]:
        return at.sum() * lane["a"][0], {"c": lane["a"] + at[0], "d": None}

    values, outcome = lifted(function, leaf, lanes)
    for place in range(3):
        value, one = function(leaf[place], {"a": lanes["a"][place], "b": None})
        torch.testing.assert_close(values[place], value)
        torch.testing.assert_close(outcome["c"][place], one["c"])
    assert outcome["d"] is None


@pytest.mark.parametrize("at_once", [1, 2, 3, 5])
def test_lifting_a_few_lanes_at_a_time_changes_nothing(at_once: int) -> None:
    leaf = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    data = {"x": torch.randn(5, 3, dtype=torch.float64), "none": None}

    def objective(at: Tensor, lane: Any) -> tuple[Tensor, Any]:
        return (at * lane["x"]).square().sum(), {"seen": at + lane["x"]}

    values, outcome = lifted(objective, leaf, data, at_once)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    torch.testing.assert_close(values, (leaf * data["x"]).square().sum(1))
    torch.testing.assert_close(gradient, 2 * leaf * data["x"] ** 2)
    torch.testing.assert_close(outcome["seen"], leaf + data["x"])


def test_a_part_may_ask_for_few_seeds_at_a_time() -> None:
    for name, few in (("minibatch-discrimination", 2), ("vanilla", None)):
        spec = make_spec(name, "blobs-4", seeds=(0, 1, 2), updates=2, batch=8, networks=MLP(width=4, depth=1))
        trainer = Trainer(spec)
        assert trainer.at_once == few
        trainer.advance(2)
        assert trainer.diverged() == {}


def test_players_are_stacked_with_the_buffers_of_their_constraint() -> None:
    networks = [torch.nn.BatchNorm1d(2) for _ in range(3)]
    extra = [{"weight_u": torch.full((2,), float(place))} for place in range(3)]
    made = player(networks, Layout(dict(networks[0].named_parameters())), extra)
    assert made.parameters.shape == made.moments.first.shape == (3, 4)
    assert made.moments.second.abs().sum() == 0
    assert made.buffers["weight_u"].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert made.buffers["running_mean"].shape == (3, 2)
    networks[0].running_mean += 1
    assert made.buffers["running_mean"].abs().sum() == 0  # copies


def test_a_lane_lives_while_its_value_and_its_gradient_are_finite() -> None:
    nan, inf = float("nan"), float("inf")
    diverged_at = torch.tensor([-1, -1, -1, -1, 4])
    values = torch.tensor([1.0, nan, 1.0, inf, 1.0])
    gradient = torch.tensor([[1.0, 2.0], [1.0, 2.0], [nan, 2.0], [1.0, 2.0], [1.0, 2.0]])
    healthy = living(diverged_at, values, gradient)
    assert healthy.tolist() == [True, False, False, False, False]
    when = recorded(diverged_at, healthy, torch.tensor(9.0, dtype=torch.float64))
    assert when.tolist() == [-1, 9, 9, 9, 4]  # the first time counts
    assert when.dtype == diverged_at.dtype


def test_frozen_lanes_keep_the_old_tree() -> None:
    new, old = (
        {"a": torch.ones(3, 2), "b": torch.full((3,), float("nan"))},
        {"a": torch.zeros(3, 2), "b": torch.zeros(3)},
    )
    kept = where(torch.tensor([True, False, True]), new, old)
    assert kept["a"].tolist() == [[1, 1], [0, 0], [1, 1]]
    assert kept["b"].isnan().tolist() == [True, False, True]
    assert where(torch.tensor([True] * 3), new, old) is new
