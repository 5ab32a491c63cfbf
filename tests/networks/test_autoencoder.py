"""Auto-encoding critics: scores by hand, and a gradient through the sample as well as through its reconstruction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from uncollapse.method import Method
from uncollapse.methods import METHODS
from uncollapse.networks.autoencoder import AutoencodingCritic, code_width
from uncollapse.networks.mlp import MLP
from uncollapse.parts.conditioning import Concat
from uncollapse.parts.scene import Sizes
from uncollapse.parts.views import Packed

SIZES = Sizes(shape=(3, 2), latent=2, classes=4, batch=6)


def critic(method: Method, sizes: Sizes = SIZES, **settings: int) -> AutoencodingCritic:
    made = MLP(width=7, depth=2, **settings).critic(method, sizes).double()
    assert isinstance(made, AutoencodingCritic)
    return made


def test_the_code_is_half_as_wide_but_has_an_angle() -> None:
    assert [code_width(numbers) for numbers in (1, 2, 5, 64)] == [2, 2, 2, 32]


@pytest.mark.parametrize("name", ["ebgan", "began"])
def test_the_score_is_minus_the_error_of_the_reconstruction(name: str) -> None:
    network, x = critic(METHODS[name]), torch.randn(6, 3, 2, dtype=torch.float64)
    judged = network(x)
    difference = network.decoder(network.encoder(x.flatten(1))) - x.flatten(1)
    expected = difference.norm(dim=-1) if name == "ebgan" else difference.abs().mean(-1)
    torch.testing.assert_close(judged.score, -expected)
    torch.testing.assert_close(judged.code, network.encoder(x.flatten(1)))
    assert judged.code.shape == (6, 3)


def test_a_perfect_reconstruction_scores_highest() -> None:
    network = critic(METHODS["began"])

    class Same(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs

    network.encoder, network.decoder = Same(), Same()  # type: ignore[assignment]
    assert network(torch.randn(6, 3, 2, dtype=torch.float64)).score.abs().max().item() == 0


@pytest.mark.parametrize("name", ["ebgan", "began"])
def test_the_generators_gradient_flows_through_the_sample_and_its_reconstruction(name: str) -> None:
    method, x = METHODS[name], torch.randn(4, 3, 2, dtype=torch.float64)
    network = critic(method)
    for weight in network.parameters():
        weight.data *= 3  # at the start a reconstruction hardly depends on the sample

    def loss(at: Tensor) -> Tensor:
        return method.loss.generator(None, network(at), None)  # type: ignore[arg-type]

    point = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point), point)
    differences = torch.zeros_like(x)
    for place in range(x.numel()):
        nudge = torch.zeros_like(x)
        nudge.view(-1)[place] = 1e-7
        differences.view(-1)[place] = (loss(x + nudge) - loss(x - nudge)).item() / 2e-7
    torch.testing.assert_close(gradient, differences, rtol=1e-5, atol=1e-7)
    flat = point.flatten(1)
    rebuilt = network.decoder(network.encoder(flat))
    for target, guess in ((flat.detach(), rebuilt), (flat, rebuilt.detach())):  # what popular code cuts off
        halved = method.loss.error(guess - target).mean()
        (partial,) = torch.autograd.grad(halved, point, retain_graph=True)
        assert (partial - gradient).norm() > 0.1 * gradient.norm()


def test_packs_are_rebuilt_whole_and_labels_are_told_to_the_encoder_only() -> None:
    method = METHODS["ebgan"].but(view=Packed(2), conditioning=Concat(width=5))
    sizes = Sizes(shape=(3, 2), latent=2, classes=4, batch=6, group=2)
    network = critic(method, sizes)
    packs, labels = torch.randn(3, 6, 2, dtype=torch.float64), torch.eye(4, dtype=torch.float64)[[0, 1, 2, 3, 0, 1]]
    context = labels.reshape(3, 8)
    told = torch.cat([packs.flatten(1), (labels @ network.embedding.weight).reshape(3, 10)], 1)
    rebuilt = network.decoder(network.encoder(told))
    torch.testing.assert_close(network(packs, context).score, -(rebuilt - packs.flatten(1)).norm(dim=-1))


def test_sines_help_to_see_and_are_not_rebuilt() -> None:
    network = critic(METHODS["began"], octaves=2)
    assert network.encoder[0][0].in_features == 6 * 5
    assert network.decoder[-1].out_features == 6


def test_extra_heads_read_the_code() -> None:
    method = METHODS["ebgan"].but(penalties=METHODS["mgan-4"].penalties, population=METHODS["mgan-4"].population)
    network = critic(method, Sizes(shape=(3, 2), latent=2, batch=6, generators=4))
    judged = network(torch.randn(6, 3, 2, dtype=torch.float64))
    torch.testing.assert_close(judged.generator_logits, network.heads["generator_logits"](judged.code))
    assert judged.generator_logits.shape == (6, 4)
