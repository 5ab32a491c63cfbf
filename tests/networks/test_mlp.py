"""The fully connected pair against plain sequential networks with the same weights, and parameter counts by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks.mlp import MLP, Octaves
from uncollapse.nn import packed
from uncollapse.parts.scene import Sizes
from uncollapse.parts.views import MinibatchDiscrimination


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
        ({"octaves": -1}, "networks.octaves = -1 is not a whole number of 0 or more"),
    ],
)
def test_refusals(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MLP(**given)  # type: ignore[arg-type]


def test_no_encoder_unless_the_method_brings_one() -> None:
    generator = MLP().generator(VANILLA, Sizes(shape=(2,), latent=2))
    with pytest.raises(RuntimeError, match="no encoder"):
        generator.encode(torch.randn(3, 2))


def test_octaves_by_hand() -> None:
    x = torch.tensor([[0.25, -0.5]], dtype=torch.float64)
    seen = Octaves(2)(x)[0].tolist()
    half, third = math.pi / 4, -math.pi / 2
    expected = [0.25, -0.5]
    for times in (1, 2):
        expected += [math.sin(times * half), math.sin(times * third), math.cos(times * half), math.cos(times * third)]
    assert seen == pytest.approx(expected, abs=1e-15)
    assert Octaves(2).width(2) == len(seen) == 10
    assert Octaves(0)(x) is x


def test_the_critic_sees_octaves_and_its_slope_passes_through_them() -> None:
    critic = MLP(width=7, depth=1, octaves=3).critic(VANILLA, Sizes(shape=(2,), latent=2)).double()
    assert critic.body[0].in_features == 2 * 7
    assert torch.autograd.gradcheck(
        lambda x: critic(x).score, torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    )


def test_extra_heads_read_the_features_and_a_second_score_has_a_critic_of_its_own() -> None:
    sizes = Sizes(shape=(2,), latent=2, classes=3, batch=6, generators=4)
    x = torch.randn(6, 2)
    d2gan = MLP(width=7, depth=2).critic(METHODS["d2gan"], sizes)
    judged = d2gan(x)
    torch.testing.assert_close(judged.second_score, d2gan.second(x).score)
    plain = MLP(width=7, depth=2).critic(VANILLA, sizes)
    assert count(d2gan) == 2 * count(plain)
    first = torch.autograd.grad(
        judged.score.sum(), list(d2gan.second.parameters()), allow_unused=True, retain_graph=True
    )
    assert all(value is None for value in first)  # the two critics share nothing
    mad = MLP(width=7, depth=2).critic(METHODS["mad-gan-4"], sizes)
    torch.testing.assert_close(mad(x).generator_logits, mad.heads["generator_logits"](mad(x).features))
    assert mad(x).generator_logits.shape == (6, 5)


def test_an_encoder_mirrors_the_critics_body() -> None:
    generator = MLP(width=7, depth=2, latent=3).generator(METHODS["veegan"], Sizes(shape=(4, 2), latent=3))
    x = torch.randn(5, 4, 2)
    hidden: Tensor = x.flatten(1)
    for layer in generator.encoder[0]:
        hidden = layer(hidden)
    torch.testing.assert_close(generator.encode(x), generator.encoder[1](hidden))
    assert generator.encode(x).shape == (5, 3)


def test_a_critic_without_a_summary_of_the_batch_starts_from_nothing() -> None:
    critic = MLP().critic(VANILLA, Sizes(shape=(2,), latent=2))
    assert not critic.starts_from_data
    assert MLP().critic(METHODS["minibatch-discrimination"], Sizes(shape=(2,), latent=2)).starts_from_data


def test_a_packing_view_that_starts_from_data_is_shown_packs_with_their_codes() -> None:
    """Whose codes are packed with the samples, once."""

    @dataclass(frozen=True, kw_only=True)
    class PairsAmongOthers(MinibatchDiscrimination):
        @property
        def group(self) -> int:
            return 2

        def pack(self, samples: Tensor) -> Tensor:
            return packed(samples, 2)

    method = METHODS["veegan"].but(name="mine", view=PairsAmongOthers(kernels=4, size=3))
    sizes = Sizes(shape=(2,), latent=3, batch=8, group=2)
    critic = MLP(width=6, depth=1, latent=3).critic(method, sizes)
    critic.start(torch.randn(8, 2), None)  # type: ignore[operator]
    judged = critic(torch.randn(4, 4), torch.randn(4, 6))
    assert judged.score.shape == (4,)
    assert float(critic.summary.log_scale.detach().abs().max()) > 0  # type: ignore[union-attr, operator]
