"""Shares of a batch: which rows are whose, means of results, and what cannot be shared; methods: tests/laws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.game import Batch, Outcome
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.networks.network import Networks
from uncollapse.parts.dynamics import Dynamics, LookAhead
from uncollapse.parts.generator_terms import PullingAway
from uncollapse.parts.penalties import Penalty
from uncollapse.parts.scene import Judgement, Law, Scene, Sizes
from uncollapse.parts.views import MinibatchStddev, Packed
from uncollapse.shares import SHARE_RULES, Shares, check_networks, check_shares, mean_of_shares, mixes, share_of
from uncollapse.spec import make_spec


def rows(*shape: int) -> Tensor:
    """(lanes, rows, ...) in which a number says its lane and its row."""
    lane, row = torch.arange(shape[0]).reshape(-1, 1), torch.arange(shape[1])
    return (100 * lane + row).reshape(*shape[:2], *[1] * (len(shape) - 2)).expand(*shape)


def batch() -> Batch:
    """Two lanes of 12 samples in packs of 2."""
    return Batch(
        latent=rows(2, 12, 3),
        real=rows(2, 12, 2),
        labels=None,
        generator_index=rows(2, 12, 4),
        noise={"penalties.0.between": rows(2, 6), "view.shift": rows(2, 12, 5), "generator_terms.0.x": rows(2, 12, 1)},
    )


@pytest.mark.parametrize("share", [0, 1, 2])
def test_a_share_is_a_stretch_of_rows_with_what_was_drawn_for_them(share: int) -> None:
    part = share_of(batch(), share, 3)
    assert part.labels is None
    assert part.real is not None
    assert part.generator_index is not None
    four = [4 * share + row for row in range(4)]
    assert part.latent.shape == (2, 4, 3)
    for value in (part.latent, part.real, part.generator_index, part.noise["generator_terms.0.x"]):
        assert value[0, :, 0].tolist() == four
        assert value[1, :, 0].tolist() == [100 + row for row in four]
    assert part.noise["penalties.0.between"][0].tolist() == [2 * share, 2 * share + 1]
    # Of a view's twelve rows six belong to real packs, then six to fake ones.
    own = [2 * share, 2 * share + 1]
    assert part.noise["view.shift"][0, :, 0].tolist() == [*own, *(6 + row for row in own)]


def test_all_shares_together_are_the_batch() -> None:
    parts = list(Shares(count=3, own=range(3)).of(batch()))
    assert torch.equal(torch.cat([part.latent for part in parts], 1), batch().latent)
    assert [len(list(Shares.of_rank(rank, 3, 2).of(batch()))) for rank in range(3)] == [2, 2, 2]
    whole = batch()
    assert next(Shares().of(whole)) is whole  # alone, nothing is copied


def result(value: float) -> Any:
    states = {"k": torch.tensor([value, 0.0])}
    buffers = {"u": torch.tensor([1.0])}
    return torch.tensor([value, 2 * value]), torch.full((2, 3), value), Outcome(buffers, {}, states)


def test_results_of_shares_are_averaged_and_buffers_are_those_of_the_first() -> None:
    values, gradient, outcome = mean_of_shares(result(value) for value in (1.0, 2.0, 6.0))
    assert values.tolist() == [3, 6]
    assert gradient.tolist() == [[3, 3, 3]] * 2
    assert outcome.loss["k"].tolist() == [3, 0]
    assert outcome.critic_buffers["u"].tolist() == [1]


def test_one_share_is_its_own_mean() -> None:
    only = result(0.1)
    for found, given in zip(mean_of_shares([only]), only, strict=True):
        assert found is given


@dataclass(frozen=True, kw_only=True)
class Directions(Penalty):
    """A user's penalty on slopes along a few directions that are drawn once for all samples."""

    def noise(self, sizes: Sizes) -> dict[str, tuple[Law, tuple[int, ...]]]:
        return {"directions": ("normal", (3, sizes.data))}

    def __call__(self, scene: Scene) -> Tensor:
        return (scene.slope(scene.fake).flatten(1) @ scene.noise["directions"].T).square().mean()


def sized(**given: Any) -> Sizes:
    return Sizes(**{"shape": (2,), "latent": 2, "batch": 24, "classes": 3, **given})


REFUSED: list[tuple[str, Method, Sizes, int, str]] = [
    (
        "terms of a whole batch", METHODS["ebgan-pt"], sized(), 2,
        "^PullingAway depends on the whole batch at once, so that 2 shares of it would train another method;",
    ),
    (
        "foreseen steps of a whole batch", METHODS["unrolled-5"], sized(), 3,
        "^dynamics.unroll = 5 foresees critic steps on the whole batch, so that 3 shares of it would",
    ),
    (
        "foreseen steps of a whole batch", VANILLA.but(dynamics=Dynamics(unroll=1, foresight=LookAhead())), sized(), 2,
        "^dynamics.unroll = 1 foresees",
    ),
    (
        "numbers of a whole batch", VANILLA.but(penalties=(Directions(),)), sized(), 2,
        "^penalties.0.directions is drawn for the whole batch and not for each of its rows, so that 2 shares",
    ),
    (
        "equal shares", VANILLA, sized(), 5,
        "^A batch of 24 cannot be split into 5 equal shares of whole packs and groups; choose a multiple of 5, or",
    ),
    (
        "equal shares", VANILLA.but(view=Packed(2)), sized(batch=20, group=2), 4,
        "^A batch of 20 cannot be split into 4 equal shares .* choose a multiple of 8, or fewer shares",
    ),
    (
        "equal shares", VANILLA.but(view=Packed(2, equal="packs")), sized(batch=20, group=2), 4,
        "^A batch of 10 cannot be split into 4 equal shares .* choose a multiple of 4, or fewer shares",
    ),
    (
        "equal shares", VANILLA.but(view=MinibatchStddev(size=4)), sized(), 4,
        "^A batch of 24 cannot be split into 4 equal shares of whole packs and groups; choose a multiple of 16, or",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "method", "sizes", "shares", "sentence"), REFUSED)
def test_what_cannot_be_shared_is_refused_and_alone_it_is_not(
    name: str, method: Method, sizes: Sizes, shares: int, sentence: str
) -> None:
    assert name in {rule.name for rule in SHARE_RULES if rule.broken(method, sizes, shares)}
    with pytest.raises(UserError, match=sentence) as refusal:
        check_shares(method, sizes, shares)
    assert str(refusal.value).endswith(".")
    check_shares(method, sizes, 1)


def test_every_rule_is_tried_above() -> None:
    assert {name for name, *_ in REFUSED} == {rule.name for rule in SHARE_RULES}


@pytest.mark.parametrize("shares", [2, 3])
def test_the_multiple_that_a_sentence_names_is_allowed(shares: int) -> None:
    for view, batch, group in ((Packed(2), 2, 2), (MinibatchStddev(size=4), 4, 1)):
        check_shares(VANILLA.but(view=view), sized(batch=batch * shares, group=group), shares)


def test_penalties_with_a_row_a_pack_or_a_sample_are_shared() -> None:
    for name in ("wgan-gp", "diffaugment", "pacgan-2"):
        method = METHODS[name]
        group = method.view.group
        check_shares(method, sized(batch=24 * group, group=group, shape=(8, 8)), 3)


class Normed(nn.Module):
    """A critic with batch norm that does not say that it mixes samples."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.last = layer, nn.Linear(2, 1)

    def forward(self, inputs: Tensor, context: Tensor | None) -> Judgement:
        return Judgement(score=self.last(self.layer(inputs)).squeeze(-1), features=inputs)


def test_batch_norm_is_found_and_other_norms_are_not() -> None:
    assert mixes(Normed(nn.BatchNorm1d(2)))
    assert mixes(nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))))
    for layer in (nn.LayerNorm(2), nn.GroupNorm(1, 2), nn.InstanceNorm1d(2), nn.Identity()):
        assert not mixes(Normed(layer))
    saying = nn.Linear(2, 2)
    saying.mixes = True  # type: ignore[assignment]
    assert mixes(saying)


def test_networks_whose_samples_see_each_other_are_refused_by_name() -> None:
    plain, normed = nn.Linear(2, 2), Normed(nn.BatchNorm1d(2))
    check_networks(plain, plain, 4)
    check_networks(normed, normed, 1)
    advice = "choose --set networks.norm=none, or --set networks.family=residual"
    with pytest.raises(
        UserError, match=f"^In the generator the samples of a batch see each other .* 4 shares .*{advice}"
    ):
        check_networks(normed, plain, 4)
    with pytest.raises(UserError, match=r"^In the critic the samples of a batch see each other"):
        check_networks(plain, normed, 2)


@dataclass(frozen=True, kw_only=True)
class NormedPair(MLP):
    """Fully connected networks with batch norm in the critic."""

    def critic(self, method: Method, sizes: Sizes) -> nn.Module:
        return Normed(nn.BatchNorm1d(2))


def test_a_run_with_such_networks_is_refused_before_anything_starts() -> None:
    networks: Networks = NormedPair(width=4)
    options: dict[str, Any] = {"seeds": (1,), "updates": 2, "batch": 8, "networks": networks}
    make_spec("vanilla", "ring-8", **options)
    with pytest.raises(UserError, match=r"^In the critic the samples of a batch see each other"):
        make_spec("vanilla", "ring-8", accumulate=2, **options)


def test_a_term_that_is_not_on_the_list_of_methods_is_found_too() -> None:
    method = METHODS["ebgan"].but(generator_terms=(PullingAway(),))
    with pytest.raises(UserError, match="PullingAway"):
        make_spec(method, "ring-8", seeds=(1,), updates=2, batch=8, accumulate=2)


@pytest.mark.parametrize("method", ["wgan-gp", "sngan"])
def test_shares_one_after_the_other_take_less_memory(method: str) -> None:
    """The largest tensor that a layer makes is as large as a share."""
    largest = []
    for accumulate in (1, 4):
        sizes = {"seeds": (1,), "updates": 5, "batch": 64, "networks": MLP(width=32, depth=2)}
        trainer = Trainer(make_spec(method, "ring-8", accumulate=accumulate, **sizes))
        seen: list[int] = []
        for network in (trainer.game.generator, trainer.game.critic):
            for layer in network.modules():
                if isinstance(layer, nn.Linear):
                    layer.register_forward_hook(lambda layer, given, made, seen=seen: seen.append(made.numel()))
        trainer.advance(5)
        largest.append(max(seen))
    assert largest == [2 * 64 * 32, 2 * 16 * 32]
