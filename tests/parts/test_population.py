"""Populations: private and shared layers by hand, uniform shares, and ensembles that pool what trains alone."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import nn

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.lanes import lane_seeds, shared_out
from uncollapse.loop import Trainer
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.population import Ensemble, Mixture, OneGenerator, Private
from uncollapse.run import make_spec


def factories() -> list[object]:
    return [lambda: nn.Linear(3, 5), nn.ReLU, lambda: nn.Linear(5, 2)]


def test_one_generator_is_its_layers_one_after_the_other() -> None:
    first, last = nn.Linear(3, 5), nn.Linear(5, 2)
    module = OneGenerator().assemble([lambda: first, nn.ReLU, lambda: last])
    x = torch.randn(4, 3)
    torch.testing.assert_close(module(x, None), last(torch.relu(first(x))))
    assert (OneGenerator().count, OneGenerator().members) == (1, 1)
    assert sum(value.numel() for value in module.parameters()) == 3 * 5 + 5 + 5 * 2 + 2


def test_a_sample_goes_through_its_own_copy() -> None:
    copies = [nn.Linear(3, 2) for _ in range(3)]
    x, who = torch.randn(5, 3), [2, 0, 1, 1, 2]
    made = Private(copies)(x, torch.eye(3)[who])
    expected = torch.stack([copies[copy](row) for copy, row in zip(who, x, strict=True)])
    torch.testing.assert_close(made, expected)
    made[0].sum().backward()
    assert copies[2].weight.grad.abs().sum() > 0
    assert all(copy.weight.grad.abs().sum() == 0 for copy in copies[:2])  # what others made teaches them nothing


@pytest.mark.parametrize(("first", "last", "private"), [(0, 1, [2]), (1, 0, [0]), (1, 1, [0, 2]), (2, 2, [0, 1, 2])])
def test_private_layers_stand_at_the_ends(first: int, last: int, private: list[int]) -> None:
    module = Mixture(size=4, first=first, last=last).assemble(factories())  # type: ignore[arg-type]
    assert [place for place, layer in enumerate(module.layers) if isinstance(layer, Private)] == private
    counts = [3 * 5 + 5, 0, 5 * 2 + 2]
    expected = sum(count * (4 if place in private else 1) for place, count in enumerate(counts))
    assert sum(value.numel() for value in module.parameters()) == expected
    x, index = torch.randn(6, 3), torch.eye(4)[[0, 1, 2, 3, 0, 1]]
    by_hand = []
    for row, who in zip(x, index.argmax(-1).tolist(), strict=True):
        for layer in module.layers:
            row = layer.copies[who](row) if isinstance(layer, Private) else layer(row)
        by_hand.append(row)
    torch.testing.assert_close(module(x, index), torch.stack(by_hand))


def test_the_rows_are_those_of_their_papers() -> None:
    assert METHODS["mad-gan-4"].population == Mixture(size=4, first=0, last=1)  # early layers shared
    assert METHODS["mgan-4"].population == Mixture(size=4, first=1, last=0)  # only the first layer private


def played(population: object, *, seeds: tuple[int, ...] = (3, 7), width: int = 16) -> Trainer:
    method = VANILLA.but(name="several", population=population)
    spec = make_spec(
        method, "ring-8", seeds=seeds, updates=20, batch=12, networks=MLP(width=width, depth=2), dtype="float64"
    )
    return Trainer(spec)


def test_samples_of_a_mixture_come_from_each_generator_alike() -> None:
    trainer = played(Mixture(size=4))
    trainer.advance(2)
    # Each generator's last bias names it.
    layout = trainer.game.generator_layout
    for lane in range(2):
        weights = layout.unpack(trainer.lanes.average[lane])
        for who in range(4):
            weights[f"body.layers.2.copies.{who}.bias"].fill_(100.0 * who)
    for lane in trainer.samples(2000):
        counts = torch.bincount((lane.mean(-1) / 100).round().long(), minlength=4)
        assert 1e-3 < stats.chisquare(counts).pvalue < 1 - 1e-6
        assert counts.sum() == 2000


def test_all_members_together_have_at_most_the_parameters_of_one() -> None:
    def count(trainer: Trainer) -> int:
        return sum(trainer.parameter_counts().values())

    for width in (16, 33, 64):
        one, four = played(OneGenerator(), width=width), played(Ensemble(size=4), width=width)
        assert 0.8 * count(one) < count(four) <= count(one)  # not one unit wider would fit
    method = METHODS["ensemble-4"]
    spec = make_spec(method, "ring-8", seeds=(1,), updates=5, batch=12, networks=MLP(width=128, depth=3))
    wider = shared_out(spec, played(Ensemble(size=4)).sizes).width + 1
    alone = make_spec("vanilla", "ring-8", seeds=(1,), updates=5, batch=12, networks=MLP(width=wider, depth=3))
    one = make_spec("vanilla", "ring-8", seeds=(1,), updates=5, batch=12, networks=MLP(width=128, depth=3))
    assert 4 * count(Trainer(alone)) > count(Trainer(one))


def test_the_first_member_is_what_its_seed_trains_alone_with_those_networks() -> None:
    together = played(Ensemble(size=3))
    width = shared_out(together.spec, together.sizes).width
    alone = played(OneGenerator(), width=width)
    for trainer in (together, alone):
        trainer.advance(20)
    torch.testing.assert_close(together.lanes.average[[0, 3]], alone.lanes.average, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        together.lanes.state.critic.parameters[[0, 3]], alone.lanes.state.critic.parameters, rtol=1e-10, atol=1e-12
    )


def test_members_have_numbers_of_their_own_and_one_data_set() -> None:
    trainer = played(Ensemble(size=3))
    seeds = lane_seeds(trainer.spec)
    assert len(set(seeds)) == 6
    assert (seeds[0], seeds[3]) == (3, 7)
    assert lane_seeds(played(Ensemble(size=3), seeds=(7,)).spec) == seeds[3:]  # whatever the company
    batch = trainer.critic_blocks.batch(0)
    assert len(batch.latent.unique()) == batch.latent.numel()
    assert len(batch.real.unique()) == batch.real.numel()
    assert len({tuple(lane.tolist()) for lane in trainer.lanes.average}) == 6
    small = VANILLA.but(name="few", population=Ensemble(size=3))
    from uncollapse.tasks import find

    spec = make_spec(small, find("ring-8", train_size=20), seeds=(3, 7), updates=5, batch=200, networks=MLP(width=8))
    rows = [{tuple(row) for row in lane.tolist()} for lane in Trainer(spec).critic_blocks.batch(0).real]
    assert all(len(lane) == 20 for lane in rows)
    assert rows[0] == rows[1] == rows[2] != rows[3]


def test_pooled_samples_ask_each_member_alike() -> None:
    trainer = played(Ensemble(size=4))
    layout = trainer.game.generator_layout
    for lane in range(8):
        weights = layout.unpack(trainer.lanes.average[lane])
        weights["body.layers.2.bias"].fill_(100.0 * lane)
    for seed, lane in enumerate(trainer.samples(2000)):
        members = (lane.mean(-1) / 100).round().long() - 4 * seed
        counts = torch.bincount(members, minlength=4)  # never a member of the other seed
        assert counts.sum() == 2000
        assert 1e-3 < stats.chisquare(counts).pvalue < 1 - 1e-6


def test_a_pooled_sample_is_that_of_its_member_at_its_latent() -> None:
    trainer = played(Ensemble(size=3), seeds=(5,))
    trainer.advance(3)
    numbers = stream(5, "sampling", 0, dtype=torch.float64)
    latent, asked = numbers.normal(50, trainer.sizes.latent), numbers.integers(3, 50)
    layout, generator = trainer.game.generator_layout, trainer.game.generator
    by_hand = [
        torch.func.functional_call(generator, layout.unpack(trainer.lanes.average[who]), (row[None],))[0]
        for who, row in zip(asked.tolist(), latent, strict=True)
    ]
    torch.testing.assert_close(trainer.samples(50)[0], torch.stack(by_hand))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: Mixture(size=1), r"Mixture\(size=1\) is no mixture"),
        (lambda: Mixture(first=0, last=0), "nothing of their own"),
        (lambda: Mixture(first=-1), "nothing of their own"),
        (lambda: Ensemble(size=1), r"Ensemble\(size=1\) pools nothing"),
    ],
)
def test_refusals(given: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        given()  # type: ignore[operator]
