"""Convolutional auto-encoding critics: scores by hand, and a gradient through the sample and its reconstruction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from uncollapse.method import Method
from uncollapse.methods import METHODS
from uncollapse.networks import DCGAN, Residual
from uncollapse.networks.convolutions import Convolutional
from uncollapse.networks.image_autoencoder import ImageAutoencoder
from uncollapse.parts.conditioning import Concat
from uncollapse.parts.scene import Sizes
from uncollapse.parts.views import Packed

SETTINGS: dict[str, Convolutional] = {
    "dcgan": DCGAN(width=3, latent=5),
    "residual": Residual(width=3, latent=5, group=4),
}
FAMILIES = pytest.mark.parametrize("family", sorted(SETTINGS))
LOSSES = pytest.mark.parametrize("name", ["ebgan", "began"])
SIZES = Sizes(shape=(2, 8, 8), latent=5, classes=4, batch=6)


def made(family: str, method: Method, sizes: Sizes = SIZES) -> ImageAutoencoder:
    critic = SETTINGS[family].critic(method, sizes).double()
    assert isinstance(critic, ImageAutoencoder)
    with torch.no_grad():
        for weight in critic.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)  # blocks do nothing at the start
    return critic


@FAMILIES
@LOSSES
def test_the_score_is_minus_the_error_of_the_reconstruction(family: str, name: str) -> None:
    critic, x = made(family, METHODS[name]), torch.randn(6, 2, 8, 8, dtype=torch.float64)
    judged = critic(x)
    difference = critic.decoder(judged.code).reshape(6, 128) - x.reshape(6, 128)
    expected = difference.norm(dim=-1) if name == "ebgan" else difference.abs().mean(-1)
    torch.testing.assert_close(judged.score, -expected)
    torch.testing.assert_close(judged.code, critic.code(critic.features(x, None)))
    assert judged.code.shape == (6, 5)


@FAMILIES
def test_a_perfect_reconstruction_scores_highest(family: str) -> None:
    critic, x = made(family, METHODS["began"]), torch.randn(6, 2, 8, 8, dtype=torch.float64)

    class Known(nn.Module):
        def forward(self, code: Tensor) -> Tensor:
            return x

    critic.decoder = Known()  # type: ignore[assignment]
    assert critic(x).score.abs().max().item() == 0


@FAMILIES
@LOSSES
def test_the_generators_gradient_flows_through_the_sample_and_its_reconstruction(family: str, name: str) -> None:
    method, x = METHODS[name], torch.randn(2, 2, 8, 8, dtype=torch.float64)
    critic = made(family, method)

    def loss(at: Tensor) -> Tensor:
        return method.loss.generator(None, critic(at), None)  # type: ignore[arg-type]

    point = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point), point)
    for _ in range(4):
        direction = torch.randn_like(x)
        difference = (loss(x + 1e-7 * direction) - loss(x - 1e-7 * direction)) / 2e-7
        torch.testing.assert_close((gradient * direction).sum(), difference.detach(), rtol=1e-5, atol=1e-7)
    rebuilt, flat = critic.decoder(critic(point).code).flatten(1), point.flatten(1)
    parts = []
    for target, guess in ((flat.detach(), rebuilt), (flat, rebuilt.detach())):
        (partial,) = torch.autograd.grad(method.loss.error(guess - target).mean(), point, retain_graph=True)
        parts.append(partial)
    torch.testing.assert_close(parts[0] + parts[1], gradient)
    assert all(part.norm() > 1e-3 * gradient.norm() for part in parts)


@FAMILIES
def test_packs_are_rebuilt_whole_and_labels_are_told_to_the_encoder_only(family: str) -> None:
    method = METHODS["ebgan"].but(view=Packed(2), conditioning=Concat(width=3))
    critic = made(family, method, Sizes(shape=(8, 8), latent=5, classes=4, batch=6, group=2))
    x, labels = torch.randn(6, 8, 8, dtype=torch.float64), torch.eye(4, dtype=torch.float64)[[0, 1, 2, 3, 0, 1]]
    packs = method.view.pack(x)
    judged = critic(packs, method.view.pack(labels))
    assert packs.shape == (3, 16, 8)
    rebuilt = critic.decoder(judged.code)
    assert rebuilt.shape == (3, 2, 8, 8)
    torch.testing.assert_close(judged.score, -(rebuilt - x.reshape(3, 2, 8, 8)).flatten(1).norm(dim=-1))
    other = critic(packs, method.view.pack(labels.flip(0)))
    assert (other.code - judged.code).abs().max() > 1e-6


@FAMILIES
def test_extra_heads_read_the_code(family: str) -> None:
    method = METHODS["ebgan"].but(penalties=METHODS["mgan-4"].penalties, population=METHODS["mgan-4"].population)
    critic = made(family, method, Sizes(shape=(2, 8, 8), latent=5, batch=6, generators=4))
    judged = critic(torch.randn(6, 2, 8, 8, dtype=torch.float64))
    torch.testing.assert_close(judged.generator_logits, critic.heads["generator_logits"](judged.code))
    assert judged.generator_logits.shape == (6, 4)


@FAMILIES
def test_the_decoder_is_not_bounded_and_a_code_has_an_angle(family: str) -> None:
    critic = made(family, METHODS["began"], Sizes(shape=(8, 8), latent=1, batch=6))
    assert not [module for module in critic.modules() if isinstance(module, nn.Tanh)]
    assert critic(torch.randn(3, 8, 8, dtype=torch.float64)).code.shape == (3, 2)


@FAMILIES
def test_a_sample_is_judged_by_itself(family: str) -> None:
    critic, x = made(family, METHODS["began"]), torch.randn(6, 2, 8, 8, dtype=torch.float64)
    assert not critic.mixes
    torch.testing.assert_close(critic(x[:1]).score, critic(x).score[:1])
