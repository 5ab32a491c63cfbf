"""Residual networks: counts by hand, blocks against plain convolutions, and a start at which blocks do nothing."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, pixel_shuffle, pixel_unshuffle

from uncollapse.errors import UserError
from uncollapse.lanes import shared_out
from uncollapse.methods import METHODS, VANILLA
from uncollapse.networks import Residual, networks_from_json
from uncollapse.networks.residual import Base, Block, Pointwise, middle_of
from uncollapse.parts.scene import Sizes
from uncollapse.spec import make_spec

MNIST = Sizes(shape=(28, 28), latent=10, batch=6)


def count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def blocks(network: nn.Module) -> list[Block]:
    return [module for module in network.modules() if isinstance(module, Block)]


def moved(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return network


def without_blocks(network: nn.Module) -> nn.Module:
    for parent in network.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, Block):
                setattr(parent, name, nn.Identity())
    return network


def test_parameter_counts_on_mnist() -> None:
    def block(channels: int, middle: int, group: int) -> int:
        return channels * middle + middle + middle * group * 9 + middle + middle * channels

    settings = Residual(width=16, latent=10)
    fine, coarse = block(16, 32, 16), block(32, 64, 16)
    patches = 4  # of 2x2 pixels, so that 28 is 14
    critic = patches * 16 * 9 + 16 + fine + 16 * 32 + coarse + 32 * 49 * 64 + 64 + 64 + 1
    generator = 32 * 49 + 10 * 32 + coarse + 32 * 16 + fine + 16 * patches * 9 + patches
    assert count(settings.critic(VANILLA, MNIST)) == critic
    assert count(settings.generator(VANILLA, MNIST)) == generator
    pixels = dataclasses.replace(settings, patches=False, blocks=2)
    three = 2 * (fine + coarse + block(64, 128, 16)) + 16 * 32 + 32 * 64
    assert count(pixels.critic(VANILLA, MNIST)) == 16 * 9 + 16 + three + 64 * 49 * 64 + 64 + 64 + 1
    conditional = settings.critic(METHODS["cwgan-gp"], dataclasses.replace(MNIST, classes=10))
    assert count(conditional) == critic + 10 * 10 + 10 * 16


def test_a_block_equals_plain_convolutions() -> None:
    block = moved(Block(6, 4, 3, still=True)).double()
    assert (block.mixing.groups, block.mixing.in_channels) == (3, 12)
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    widening, narrowing = block.widening.weights, block.narrowing.weights
    inner = leaky_relu(conv2d(x, widening.weight[..., None, None], widening.bias), 0.2)
    inner = leaky_relu(conv2d(inner, block.mixing.weight, block.mixing.bias, padding=1, groups=3), 0.2)
    torch.testing.assert_close(block(x), x + conv2d(inner, narrowing.weight[..., None, None]))


def test_a_pointwise_layer_equals_a_convolution_in_any_memory_layout() -> None:
    layer = Pointwise(3, 5, bias=True).double()
    x = torch.randn(4, 3, 6, 7, dtype=torch.float64)
    expected = conv2d(x, layer.weights.weight[..., None, None], layer.weights.bias)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x.contiguous(memory_format=torch.channels_last)), expected)
    assert layer(x).is_contiguous(memory_format=torch.channels_last)


def test_the_critic_equals_plain_functions() -> None:
    critic = moved(Residual(width=3, latent=4, group=2).critic(VANILLA, MNIST)).double()
    reader = critic.features.reader
    opening, (fine, _, widening, coarse) = reader.opening[1], reader.rest
    x = torch.randn(5, 28, 28, dtype=torch.float64)
    maps = conv2d(pixel_unshuffle(x.unsqueeze(1), 2), opening.weight, opening.bias, padding=1)
    maps = avg_pool2d(fine(maps), 2)
    maps = coarse(conv2d(maps, widening.weights.weight[..., None, None]))
    features = leaky_relu(critic.features.hidden(maps.reshape(5, 6 * 49)), 0.2)
    torch.testing.assert_close(critic(x).features, features)
    torch.testing.assert_close(critic(x).score, critic.score(features)[:, 0])


@pytest.mark.parametrize("bounded", [True, False])
def test_the_generator_equals_plain_functions(bounded: bool) -> None:
    generator = moved(Residual(width=3, latent=10, group=2, bounded=bounded).generator(VANILLA, MNIST)).double()
    (base, _, coarse), (thinning, _, fine), last = generator.body.layers
    latent = torch.randn(5, 10, dtype=torch.float64)
    maps = coarse((latent @ base.scale.weight.T).reshape(5, 6, 1, 1) * base.basis)
    maps = conv2d(interpolate(maps, (14, 14), mode="bilinear"), thinning.weights.weight[..., None, None])
    images = pixel_shuffle(conv2d(fine(maps), last[0].weight, last[0].bias, padding=1), 2).squeeze(1)
    torch.testing.assert_close(generator(latent), images.tanh() if bounded else images)


def test_the_base_map_is_scaled_by_the_latent() -> None:
    base = Base(3, 4, (5, 6))
    one, other = base(torch.tensor([[1.0, 0, 0], [-2.0, 0, 0]]))
    torch.testing.assert_close(other, -2 * one)
    torch.testing.assert_close(one[2] / base.basis[2], base.scale.weight[2, 0].expand(5, 6))


def test_at_the_start_blocks_are_the_identity() -> None:
    settings, x, latent = Residual(width=4, latent=10, blocks=2), torch.randn(6, 28, 28), torch.randn(6, 10)
    critic, generator = settings.critic(VANILLA, MNIST), settings.generator(VANILLA, MNIST)
    assert len(blocks(critic)) == len(blocks(generator)) == 4
    scores, images = critic(x).score, generator(latent)
    assert torch.equal(without_blocks(critic)(x).score, scores)
    assert torch.equal(without_blocks(generator)(latent), images)
    later = moved(settings.critic(VANILLA, MNIST))
    scores = later(x).score
    assert (without_blocks(later)(x).score - scores).abs().max() > 1e-3


def test_a_block_among_many_starts_smaller() -> None:
    torch.manual_seed(0)
    alone = Block(32, 16, 1, still=True)
    torch.manual_seed(0)
    among = Block(32, 16, 16, still=True)
    for layer in ("widening.weights", "mixing"):
        ratio = among.get_submodule(layer).weight / alone.get_submodule(layer).weight
        torch.testing.assert_close(ratio, torch.full_like(ratio, 16 ** (-1 / 4)))
    assert alone.mixing.weight.std().item() == pytest.approx(math.sqrt(2 / 1.04 / (16 * 9)), rel=0.03)


def test_under_a_spectral_norm_no_matrix_starts_at_zero() -> None:
    critic = Residual(width=4).critic(METHODS["sngan"], MNIST)
    assert all(block.narrowing.weights.weight.count_nonzero() for block in blocks(critic))
    method, parameters = METHODS["sngan"], {name: value.detach() for name, value in critic.named_parameters()}
    used, _ = method.constraint.reparameterise(parameters, method.constraint.init_buffers(parameters))
    matrices = [value for value in used.values() if value.ndim > 1]
    assert len(matrices) == 10
    assert all(value.isfinite().all() for value in used.values())
    norms = torch.stack([torch.linalg.matrix_norm(value.flatten(1), ord=2) for value in matrices])
    torch.testing.assert_close(norms, torch.ones(10), rtol=0.1, atol=0)
    encoder = Residual(width=4).generator(METHODS["veegan"].but(constraint=method.constraint), MNIST)
    assert all(block.narrowing.weights.weight.count_nonzero() == 0 for block in blocks(encoder))


def test_every_width_builds_and_more_width_is_more_parameters() -> None:
    sizes = []
    with torch.device("meta"):
        for width in range(1, 25):
            settings = Residual(width=width, latent=4, group=8)
            pair = settings.generator(VANILLA, MNIST), settings.critic(VANILLA, MNIST)
            for block in (block for network in pair for block in blocks(network)):
                assert block.mixing.in_channels % block.mixing.groups == 0
                assert block.mixing.in_channels // block.mixing.groups <= 8
            sizes.append(sum(map(count, pair)))
    assert sizes == sorted(set(sizes))


def test_the_middle_of_a_block_is_whole_groups() -> None:
    assert [middle_of(channels, 16) for channels in (1, 8, 9, 16, 24)] == [(2, 1), (16, 1), (32, 2), (32, 2), (48, 3)]


def test_the_members_of_an_ensemble_have_the_parameters_of_one() -> None:
    spec = make_spec("ensemble-4", "digits", networks=Residual(width=16, latent=4))
    sizes = Sizes(shape=(8, 8), latent=4, batch=64)

    def total(settings: Residual) -> int:
        return count(settings.generator(VANILLA, sizes)) + count(settings.critic(VANILLA, sizes))

    member = shared_out(spec, sizes)
    assert isinstance(member, Residual)
    assert 4 * total(member) <= total(Residual(width=16, latent=4))
    assert 4 * total(dataclasses.replace(member, width=member.width + 1)) > total(Residual(width=16, latent=4))


@pytest.mark.parametrize(
    ("shape", "inputs"), [((28, 28), 4), ((3, 32, 32), 12), ((8, 8), 1), ((3, 14, 14), 3), ((33, 32), 1)]
)
def test_large_even_images_are_read_as_patches(shape: tuple[int, ...], inputs: int) -> None:
    sizes = Sizes(shape=shape, latent=4)

    def first(settings: Residual) -> Tensor:
        return next(m for m in settings.critic(VANILLA, sizes).modules() if isinstance(m, nn.Conv2d)).weight

    assert first(Residual(width=4)).shape == (4, inputs, 3, 3)
    assert first(Residual(width=4, patches=False)).shape[1] == (shape[0] if len(shape) == 3 else 1)


def test_settings_lead_back_from_json() -> None:
    settings = Residual(width=5, latent=6, blocks=2, group=3, bounded=False, patches=False)
    assert networks_from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"blocks": 0}, "networks.blocks = 0 is not a whole number of 1 or more"),
        ({"group": 2.5}, "networks.group = 2.5 is not a whole number"),
        ({"bounded": 1}, "networks.bounded = 1 is neither true nor false"),
        ({"patches": "no"}, "networks.patches = 'no' is neither true nor false"),
    ],
)
def test_refused_settings(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Residual(**given)  # type: ignore[arg-type]
