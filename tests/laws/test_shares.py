"""An update in shares of its batch is the update of the batch, for every method that does not look at all of it.

Two-sided: a method that is refused really differs, so that none is refused in vain.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from uncollapse import loop, shares
from uncollapse.errors import UserError
from uncollapse.lanes import Lanes
from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import _ROWS, METHODS
from uncollapse.networks.mlp import MLP
from uncollapse.parts.views import Packed
from uncollapse.run import make_spec
from uncollapse.spec import RunSpec
from uncollapse.trees import flatten

PACKED_PENALTY = METHODS["cwgan-gp"].but(name="packed", view=Packed(2))
REFUSED = {
    "dragan", "top-k", "ebgan-pt", "began", "minibatch-discrimination", "msgan", "gdpp", "bures", "unrolled-5",
    "unrolled-5-first-order",
}  # fmt: skip


def specification(method: Method, accumulate: int = 1) -> RunSpec:
    return make_spec(
        method,
        "digits" if method.view.images_only else "blobs-4",
        seeds=(3, 7),
        updates=100,
        batch=24,
        networks=MLP(width=8, depth=2, bounded=True),
        dtype="float64",
        accumulate=accumulate,
    )


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every method be trained in shares."""
    monkeypatch.setattr(shares, "check_shares", lambda method, sizes, shares: None)
    monkeypatch.setattr(loop, "check_shares", lambda method, sizes, shares: None)


def trained(method: Method, accumulate: int, updates: int = 10) -> Lanes:
    trainer = Trainer(specification(method, accumulate))
    trainer.advance(updates)
    assert trainer.diverged() == {}
    return trainer.lanes


def apart(one: Lanes, other: Lanes) -> float:
    """The largest relative difference of any tensor."""
    pairs = zip(flatten(one).values(), flatten(other).values(), strict=True)
    return max(_apart(first.double(), second.double()) for first, second in pairs)


def _apart(first: Tensor, second: Tensor) -> float:
    return ((first - second).abs().max() / (1 + second.abs().max())).item() if first.numel() else 0.0


@pytest.mark.parametrize("method", [*_ROWS, PACKED_PENALTY], ids=lambda method: method.name)
@pytest.mark.usefixtures("unchecked")
def test_shares_train_what_the_batch_trains_or_the_method_is_refused_and_they_do_not(method: Method) -> None:
    refused = bool(
        [rule for rule in shares.SHARE_RULES if rule.broken(method, Trainer(specification(method)).sizes, 3)]
    )
    assert refused is (method.name in REFUSED)
    found = apart(trained(method, 3), trained(method, 1))
    if refused:
        assert found > 1e-5
    else:
        assert found < 1e-10


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_says_so(name: str) -> None:
    with pytest.raises(UserError, match=r"depends on the whole batch at once|foresees critic steps on the whole batch"):
        specification(METHODS[name], 3)


@pytest.mark.parametrize("name", ["wgan-gp", "cwgan-gp", "r3gan", "sngan", "diffaugment", "minibatch-stddev"])
def test_the_gradient_of_the_batch_is_the_mean_of_those_of_its_shares(name: str) -> None:
    """The first update's gradients and losses to the last digits, in two, three and six shares."""
    whole = trained(METHODS[name], 1, 1)
    for count in (2, 3, 6):
        parts = trained(METHODS[name], count, 1)
        for player in ("critic", "generator"):
            ours, theirs = (getattr(lanes.state, player).moments.first for lanes in (parts, whole))
            assert (ours - theirs).abs().max() <= 1e-12 * theirs.abs().max()
        torch.testing.assert_close(parts.critic_loss, whole.critic_loss, rtol=1e-12, atol=1e-13)


def test_the_comparison_would_see_noise_of_another_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The law can fail: a gradient penalty whose places between real and fake are those of the first share."""
    method = METHODS["wgan-gp"]
    right = shares.share_of

    def wrong(batch: object, share: int, count: int) -> object:
        first = right(batch, 0, count)  # type: ignore[arg-type]
        return right(batch, share, count)._replace(noise=first.noise)  # type: ignore[arg-type]

    whole = trained(method, 1)
    monkeypatch.setattr(shares, "share_of", wrong)
    assert apart(trained(method, 3), whole) > 1e-5


@pytest.mark.parametrize("name", ["sngan", "projection"])
def test_vectors_of_a_constraint_advance_once_an_update_and_are_the_same_in_every_share(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[dict[str, Tensor]]] = []
    mean = loop.mean_of_shares

    def noting(results: object) -> object:
        every = list(results)  # type: ignore[call-overload]
        seen.append([result[2].critic_buffers for result in every])
        return mean(every)

    monkeypatch.setattr(loop, "mean_of_shares", noting)
    shared, alone = trained(METHODS[name], 3, 10), trained(METHODS[name], 1, 10)
    for parts in seen:
        for one, other in itertools.pairwise(parts):
            assert one.keys() == other.keys() != set()
            assert all(torch.equal(one[vector], other[vector]) for vector in one)
    ours, theirs = shared.state.critic.buffers, alone.state.critic.buffers
    for vector in theirs:
        torch.testing.assert_close(ours[vector], theirs[vector], rtol=1e-9, atol=1e-9)


def test_a_lane_that_diverges_in_shares_is_frozen_and_its_neighbour_is_not() -> None:
    spec = specification(METHODS["wgan-gp"], 3)
    hurt, clean = Trainer(spec), Trainer(spec)
    for trainer in (hurt, clean):
        trainer.advance(5)
    hurt.lanes.state.critic.parameters[1, 0] = float("nan")
    for trainer in (hurt, clean):
        trainer.advance(10)
    assert hurt.diverged() == {7: 6}
    assert torch.equal(hurt.lanes.average[0], clean.lanes.average[0]) is True
    assert torch.equal(hurt.lanes.average[1], clean.lanes.average[1]) is False
