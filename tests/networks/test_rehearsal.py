"""The rehearsal of a first update: nothing is trained, every method's parts take part, and failures are sentences."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.lanes import sizes_of
from uncollapse.methods import METHODS
from uncollapse.networks.adapters import Fit, OwnCritic, OwnGenerator
from uncollapse.networks.mlp import MLP
from uncollapse.networks.rehearsal import rehearse
from uncollapse.parts.scene import Sizes
from uncollapse.spec import make_spec

SIZES = Sizes(shape=(2,), latent=2, batch=8)


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.population.members == 1])
def test_every_method_can_be_rehearsed_and_nothing_is_trained(name: str) -> None:
    spec = make_spec(name, "digits", batch=12, networks=MLP(width=6, depth=2, latent=3))
    sizes = sizes_of(spec)
    pair = spec.networks.generator(spec.method, sizes), spec.networks.critic(spec.method, sizes)
    before = [value.clone() for network in pair for value in network.parameters()]
    rehearse(spec.method, sizes, *pair)
    after = [value for network in pair for value in network.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


class Once(torch.autograd.Function):
    """The identity, whose gradient cannot be differentiated again."""

    @staticmethod
    def forward(context: object, inputs: Tensor) -> Tensor:
        return inputs.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[misc]
    def backward(context: object, gradient: Tensor) -> Tensor:
        return gradient


class Acting(nn.Module):
    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.act = nn.Linear(2, 4), nn.Linear(4, 1), act

    def forward(self, samples: Tensor) -> Tensor:
        return self.last(self.act(self.first(samples)))  # type: ignore[no-any-return]


def critic(act: Callable[[Tensor], Tensor]) -> nn.Module:
    return OwnCritic(Acting(act), METHODS["vanilla"], SIZES, Fit(packs=8))


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, samples: Tensor) -> Tensor:
        return self.layer(samples).detach()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("method", "act", "sentence"),
    [
        ("wgan-gp", Once.apply, "The first critic update of wgan-gp fails with your networks: "),
        ("vanilla", lambda x: x / 0, "The first critic loss of vanilla or its gradient is not finite with your networks"
         " (loss "),
        ("vanilla", lambda x: (x - x.detach()).sqrt(), "The first critic loss of vanilla or its gradient is not"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(method: str, act: Callable[[Tensor], Tensor], sentence: str) -> None:
    generator = OwnGenerator(nn.Linear(2, 2), SIZES)
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}") as caught:
        rehearse(METHODS[method], SIZES, generator, critic(act))
    assert "\n" not in str(caught.value)


def test_what_is_overwritten_before_its_gradient_is_called_so() -> None:
    def spoilt(samples: Tensor) -> Tensor:
        squashed = samples.sigmoid()
        doubled = squashed * squashed
        squashed.add_(1)
        return doubled

    sentence = r"^The first critic update of .*inplace operation.*; a layer overwrites what its gradient needs, as add_"
    with pytest.raises(UserError, match=sentence) as caught:
        rehearse(METHODS["vanilla"], SIZES, OwnGenerator(nn.Linear(2, 2), SIZES), critic(spoilt))
    assert "must be differentiable" not in str(caught.value)
    rehearse(METHODS["vanilla"], SIZES, OwnGenerator(nn.Linear(2, 2), SIZES), critic(lambda x: (x * 2).add_(1)))


def test_scores_without_a_gradient_are_refused() -> None:
    detached = OwnCritic(Detached(), METHODS["vanilla"], SIZES, Fit(packs=8))
    sentence = (
        r"^The first critic update of vanilla fails with your networks: RuntimeError: .*; their layers must be diff"
    )
    with pytest.raises(UserError, match=sentence):
        rehearse(METHODS["vanilla"], SIZES, OwnGenerator(nn.Linear(2, 2), SIZES), detached)


def test_a_part_that_reads_features_which_are_not_there_is_noticed() -> None:
    generator = OwnGenerator(nn.Linear(2, 2), SIZES)
    blind = critic(lambda x: x)
    with pytest.raises(UserError, match=r"not finite with your networks \(loss nan\); check their weights, and return "
                                        r"features in a Judgement if a part reads them\.$"):  # fmt: skip
        rehearse(METHODS["bures"], SIZES, generator, blind)
