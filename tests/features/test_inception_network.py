"""The network against tables written out by hand, published counts, and a second forward pass in plain functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, max_pool2d

from uncollapse.features.inception_network import OUTPUTS, WIDTH, InceptionV3

# name, input channels, output channels, kernel height, kernel width; from the published description, not from the code.
STEM = [
    ("Conv2d_1a_3x3", 3, 32, 3, 3), ("Conv2d_2a_3x3", 32, 32, 3, 3), ("Conv2d_2b_3x3", 32, 64, 3, 3),
    ("Conv2d_3b_1x1", 64, 80, 1, 1), ("Conv2d_4a_3x3", 80, 192, 3, 3),
]  # fmt: skip


def block_35(name: str, inputs: int, pooled: int) -> list[tuple[str, int, int, int, int]]:
    return [
        (f"{name}.branch1x1", inputs, 64, 1, 1),
        (f"{name}.branch5x5_1", inputs, 48, 1, 1),
        (f"{name}.branch5x5_2", 48, 64, 5, 5),
        (f"{name}.branch3x3dbl_1", inputs, 64, 1, 1),
        (f"{name}.branch3x3dbl_2", 64, 96, 3, 3),
        (f"{name}.branch3x3dbl_3", 96, 96, 3, 3),
        (f"{name}.branch_pool", inputs, pooled, 1, 1),
    ]


def block_17(name: str, narrow: int) -> list[tuple[str, int, int, int, int]]:
    return [
        (f"{name}.branch1x1", 768, 192, 1, 1),
        (f"{name}.branch7x7_1", 768, narrow, 1, 1),
        (f"{name}.branch7x7_2", narrow, narrow, 1, 7),
        (f"{name}.branch7x7_3", narrow, 192, 7, 1),
        (f"{name}.branch7x7dbl_1", 768, narrow, 1, 1),
        (f"{name}.branch7x7dbl_2", narrow, narrow, 7, 1),
        (f"{name}.branch7x7dbl_3", narrow, narrow, 1, 7),
        (f"{name}.branch7x7dbl_4", narrow, narrow, 7, 1),
        (f"{name}.branch7x7dbl_5", narrow, 192, 1, 7),
        (f"{name}.branch_pool", 768, 192, 1, 1),
    ]


def block_8(name: str, inputs: int) -> list[tuple[str, int, int, int, int]]:
    return [
        (f"{name}.branch1x1", inputs, 320, 1, 1),
        (f"{name}.branch3x3_1", inputs, 384, 1, 1),
        (f"{name}.branch3x3_2a", 384, 384, 1, 3),
        (f"{name}.branch3x3_2b", 384, 384, 3, 1),
        (f"{name}.branch3x3dbl_1", inputs, 448, 1, 1),
        (f"{name}.branch3x3dbl_2", 448, 384, 3, 3),
        (f"{name}.branch3x3dbl_3a", 384, 384, 1, 3),
        (f"{name}.branch3x3dbl_3b", 384, 384, 3, 1),
        (f"{name}.branch_pool", inputs, 192, 1, 1),
    ]


CONVOLUTIONS = [
    *STEM,
    *block_35("Mixed_5b", 192, 32), *block_35("Mixed_5c", 256, 64), *block_35("Mixed_5d", 288, 64),
    ("Mixed_6a.branch3x3", 288, 384, 3, 3), ("Mixed_6a.branch3x3dbl_1", 288, 64, 1, 1),
    ("Mixed_6a.branch3x3dbl_2", 64, 96, 3, 3), ("Mixed_6a.branch3x3dbl_3", 96, 96, 3, 3),
    *block_17("Mixed_6b", 128), *block_17("Mixed_6c", 160), *block_17("Mixed_6d", 160), *block_17("Mixed_6e", 192),
    ("Mixed_7a.branch3x3_1", 768, 192, 1, 1), ("Mixed_7a.branch3x3_2", 192, 320, 3, 3),
    ("Mixed_7a.branch7x7x3_1", 768, 192, 1, 1), ("Mixed_7a.branch7x7x3_2", 192, 192, 1, 7),
    ("Mixed_7a.branch7x7x3_3", 192, 192, 7, 1), ("Mixed_7a.branch7x7x3_4", 192, 192, 3, 3),
    *block_8("Mixed_7b", 1280), *block_8("Mixed_7c", 2048),
]  # fmt: skip


def drawn(seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep activations alive, with batch norms that do something."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    state: dict[str, Tensor] = {}
    for name, inputs, out, high, wide in CONVOLUTIONS:
        state[f"{name}.conv.weight"] = normal(out, inputs, high, wide) * math.sqrt(2 / (inputs * high * wide))
        state[f"{name}.bn.weight"] = 1 + 0.1 * normal(out)
        state[f"{name}.bn.bias"] = 0.1 * normal(out)
        state[f"{name}.bn.running_mean"] = 0.1 * normal(out)
        state[f"{name}.bn.running_var"] = 1 + 0.1 * normal(out).abs()
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(0)
    state["fc.weight"], state["fc.bias"] = normal(1008, 2048) / 45, normal(1008)
    return state


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return drawn()


@pytest.fixture(scope="module")
def network(state: dict[str, Tensor]) -> InceptionV3:
    with torch.device("meta"):
        made = InceptionV3()
    made.load_state_dict(state, assign=True)
    return made.eval().requires_grad_(False)


def test_names_and_shapes_are_those_of_the_converted_weights(state: dict[str, Tensor], network: InceptionV3) -> None:
    assert len(CONVOLUTIONS) == 94
    assert len(state) == 94 * 6 + 2 == 566  # the entries of pt_inception-2015-12-05-6726825d.pth
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in state.items()
    }
    assert (WIDTH, OUTPUTS) == (2048, 1008)


def test_the_counts_are_the_published_ones(network: InceptionV3) -> None:
    kernels = sum(inputs * out * high * wide for _, inputs, out, high, wide in CONVOLUTIONS)
    channels = sum(out for _, _, out, _, _ in CONVOLUTIONS)
    # Keras Applications: 23,851,784 for 1,000 classes, counting offsets, means and variances but no scales.
    assert kernels + 3 * channels + 2049 * 1000 == 23_851_784
    parameters = sum(value.numel() for value in network.parameters())
    assert parameters == kernels + 2 * channels + 2049 * 1008 == 23_850_960
    buffers = sum(value.numel() for name, value in network.named_buffers() if "running" in name)
    assert parameters + buffers == 23_885_392


def by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The forward pass written out a second time, after the description of the FID variant."""

    def layer(name: str, x: Tensor, stride: int = 1, padding: tuple[int, int] = (0, 0)) -> Tensor:
        x = conv2d(x, state[f"{name}.conv.weight"], stride=stride, padding=padding)
        mean, variance = state[f"{name}.bn.running_mean"], state[f"{name}.bn.running_var"]
        return batch_norm(x, mean, variance, state[f"{name}.bn.weight"], state[f"{name}.bn.bias"], eps=1e-3).relu()

    def mean_pool(x: Tensor) -> Tensor:
        # The sum over the 3x3 window divided by how many of its pixels lie inside.
        total = 9 * avg_pool2d(x, 3, 1, 1)
        return total / (9 * avg_pool2d(torch.ones_like(x[:1, :1]), 3, 1, 1))

    def best_pool(x: Tensor) -> Tensor:
        return max_pool2d(torch.nn.functional.pad(x, (1, 1, 1, 1), value=-math.inf), 3, 1)

    def early(name: str, x: Tensor) -> Tensor:
        five = layer(f"{name}.branch5x5_2", layer(f"{name}.branch5x5_1", x), padding=(2, 2))
        three = layer(f"{name}.branch3x3dbl_2", layer(f"{name}.branch3x3dbl_1", x), padding=(1, 1))
        three = layer(f"{name}.branch3x3dbl_3", three, padding=(1, 1))
        pooled = layer(f"{name}.branch_pool", mean_pool(x))
        return torch.cat([layer(f"{name}.branch1x1", x), five, three, pooled], 1)

    def middle(name: str, x: Tensor) -> Tensor:
        seven = layer(f"{name}.branch7x7_2", layer(f"{name}.branch7x7_1", x), padding=(0, 3))
        seven = layer(f"{name}.branch7x7_3", seven, padding=(3, 0))
        twice = layer(f"{name}.branch7x7dbl_1", x)
        for step, padding in (("2", (3, 0)), ("3", (0, 3)), ("4", (3, 0)), ("5", (0, 3))):
            twice = layer(f"{name}.branch7x7dbl_{step}", twice, padding=padding)
        pooled = layer(f"{name}.branch_pool", mean_pool(x))
        return torch.cat([layer(f"{name}.branch1x1", x), seven, twice, pooled], 1)

    def late(name: str, x: Tensor, pool: Callable[[Tensor], Tensor]) -> Tensor:
        three = layer(f"{name}.branch3x3_1", x)
        twice = layer(f"{name}.branch3x3dbl_2", layer(f"{name}.branch3x3dbl_1", x), padding=(1, 1))
        return torch.cat(
            [
                layer(f"{name}.branch1x1", x),
                layer(f"{name}.branch3x3_2a", three, padding=(0, 1)),
                layer(f"{name}.branch3x3_2b", three, padding=(1, 0)),
                layer(f"{name}.branch3x3dbl_3a", twice, padding=(0, 1)),
                layer(f"{name}.branch3x3dbl_3b", twice, padding=(1, 0)),
                layer(f"{name}.branch_pool", pool(x)),
            ],
            1,
        )

    x = layer("Conv2d_2a_3x3", layer("Conv2d_1a_3x3", x, stride=2))
    x = max_pool2d(layer("Conv2d_2b_3x3", x, padding=(1, 1)), 3, 2)
    x = max_pool2d(layer("Conv2d_4a_3x3", layer("Conv2d_3b_1x1", x)), 3, 2)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = early(name, x)
    twice = layer("Mixed_6a.branch3x3dbl_2", layer("Mixed_6a.branch3x3dbl_1", x), padding=(1, 1))
    twice = layer("Mixed_6a.branch3x3dbl_3", twice, stride=2)
    x = torch.cat([layer("Mixed_6a.branch3x3", x, stride=2), twice, max_pool2d(x, 3, 2)], 1)
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = middle(name, x)
    three = layer("Mixed_7a.branch3x3_2", layer("Mixed_7a.branch3x3_1", x), stride=2)
    seven = layer("Mixed_7a.branch7x7x3_2", layer("Mixed_7a.branch7x7x3_1", x), padding=(0, 3))
    seven = layer("Mixed_7a.branch7x7x3_4", layer("Mixed_7a.branch7x7x3_3", seven, padding=(3, 0)), stride=2)
    x = torch.cat([three, seven, max_pool2d(x, 3, 2)], 1)
    x = late("Mixed_7c", late("Mixed_7b", x, mean_pool), best_pool)
    assert x.shape[1:] == (2048, 8, 8)
    return x.mean((2, 3))


def test_the_forward_pass_is_the_one_written_out_by_hand(state: dict[str, Tensor], network: InceptionV3) -> None:
    x = torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(1)) * 2 - 1
    features, logits = network(x)
    expected = by_hand(state, x)
    assert expected.std() > 0.1
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
    unbiased = features @ state["fc.weight"].T
    torch.testing.assert_close(logits, unbiased, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network.logits(features, bias=True), unbiased + state["fc.bias"], rtol=1e-4, atol=1e-4)
