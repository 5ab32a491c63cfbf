"""The fully connected pair against plain sequential networks with the same weights, and parameter counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uncollapse.errors import UserError
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP
from uncollapse.parts.scene import Sizes


def count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def test_parameter_counts_of_the_tutorials_networks() -> None:
    sizes = Sizes(shape=(2,), latent=2, classes=8, batch=128)
    settings = MLP(width=128, depth=3, latent=2, bounded=True)
    hidden = 2 * (128 * 128 + 128)
    assert count(settings.generator(VANILLA, sizes)) == 2 * 128 + 128 + hidden + 128 * 2 + 2
    assert count(settings.critic(VANILLA, sizes)) == 2 * 128 + 128 + hidden + 128 + 1
    conditional = METHODS["cwgan-gp"]
    assert count(settings.critic(conditional, sizes)) == (2 + 8) * 128 + 128 + hidden + 128 + 1 + 8 * 8


@pytest.mark.parametrize("bounded", [True, False])
def test_equals_a_plain_sequential_network(bounded: bool) -> None:
    sizes = Sizes(shape=(4, 3), latent=5, batch=6)
    network = MLP(width=7, depth=2, latent=5, bounded=bounded).generator(VANILLA, sizes)
    plain = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 7), nn.ReLU(), nn.Linear(7, 12))
    plain.load_state_dict(dict(zip(plain.state_dict(), network.state_dict().values(), strict=True)))
    latent = torch.randn(6, 5)
    expected = plain(latent).reshape(6, 4, 3)
    torch.testing.assert_close(network(latent), expected.tanh() if bounded else expected)


def test_the_critic_reads_images_as_vectors() -> None:
    sizes = Sizes(shape=(8, 8), latent=5, batch=6)
    critic = MLP(width=7, depth=1).critic(VANILLA, sizes)
    x = torch.randn(3, 8, 8)
    judged = critic(x)
    features = torch.relu(critic.body[0](x.reshape(3, 64)))
    torch.testing.assert_close(judged.features, features)
    torch.testing.assert_close(judged.score, critic.score(features)[:, 0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 0}, "networks.width = 0 is not a whole number of 1 or more"),
        ({"depth": 1.5}, "networks.depth = 1.5 is not a whole number"),
        ({"latent": -2}, "networks.latent = -2"),
        ({"bounded": 1}, "networks.bounded = 1 is neither true nor false"),
    ],
)
def test_refusals(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MLP(**given)  # type: ignore[arg-type]


def test_no_encoder_unless_the_method_brings_one() -> None:
    generator = MLP().generator(VANILLA, Sizes(shape=(2,), latent=2))
    with pytest.raises(RuntimeError, match="no encoder"):
        generator.encode(torch.randn(3, 2))
