"""The Inception-v3 of the published FID, as a table of its layers: shapes and names of the converted weights.

It differs from the Inception-v3 of the paper in three points, as the TensorFlow graph `inception-2015-12-05` does: its
average poolings do not count the padding, the last block pools by the maximum, and it has 1,008 outputs. `inception`
loads the weights and turns it into an extractor. Reference: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2015,
arXiv 1512.00567.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

SIDE, WIDTH, OUTPUTS = 299, 2048, 1008
Pool = Literal["", "average", "maximum", "halve"]
Shape = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One convolution with batch norm and ReLU.

    Attributes:
        name: Its name inside the block.
        out: Output channels.
        kernel: Height and width.
        padding: Of height and width.
        stride: Of both.
    """

    name: str
    out: int
    kernel: Shape = (1, 1)
    padding: Shape = (0, 0)
    stride: int = 1


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One way through a block.

    Attributes:
        layers: One after the other.
        fork: Two layers that both read what came before; their outputs are concatenated.
        pool: What comes first.
    """

    layers: tuple[Layer, ...] = ()
    fork: tuple[Layer, ...] = ()
    pool: Pool = ""


def _same(name: str, out: int, *kernel: int) -> Layer:
    """A layer that keeps height and width."""
    high, wide = (kernel * 2)[:2]
    return Layer(name=name, out=out, kernel=(high, wide), padding=(high // 2, wide // 2))


def _half(name: str, out: int) -> Layer:
    return Layer(name=name, out=out, kernel=(3, 3), stride=2)


def _block_a(pooled: int) -> tuple[Branch, ...]:
    triple = (_same("branch3x3dbl_1", 64, 1), _same("branch3x3dbl_2", 96, 3), _same("branch3x3dbl_3", 96, 3))
    return (
        Branch(layers=(_same("branch1x1", 64, 1),)),
        Branch(layers=(_same("branch5x5_1", 48, 1), _same("branch5x5_2", 64, 5))),
        Branch(layers=triple),
        Branch(layers=(_same("branch_pool", pooled, 1),), pool="average"),
    )


def _block_c(narrow: int) -> tuple[Branch, ...]:
    single = (_same("branch7x7_1", narrow, 1), _same("branch7x7_2", narrow, 1, 7), _same("branch7x7_3", 192, 7, 1))
    double = (
        *(_same("branch7x7dbl_1", narrow, 1), _same("branch7x7dbl_2", narrow, 7, 1)),
        *(_same("branch7x7dbl_3", narrow, 1, 7), _same("branch7x7dbl_4", narrow, 7, 1)),
        _same("branch7x7dbl_5", 192, 1, 7),
    )
    return (
        Branch(layers=(_same("branch1x1", 192, 1),)),
        Branch(layers=single),
        Branch(layers=double),
        Branch(layers=(_same("branch_pool", 192, 1),), pool="average"),
    )


def _block_e(pool: Pool) -> tuple[Branch, ...]:
    double = (_same("branch3x3dbl_1", 448, 1), _same("branch3x3dbl_2", 384, 3))
    return (
        Branch(layers=(_same("branch1x1", 320, 1),)),
        Branch(layers=(_same("branch3x3_1", 384, 1),), fork=_cross("branch3x3_2")),
        Branch(layers=double, fork=_cross("branch3x3dbl_3")),
        Branch(layers=(_same("branch_pool", 192, 1),), pool=pool),
    )


def _cross(name: str) -> tuple[Layer, Layer]:
    return _same(f"{name}a", 384, 1, 3), _same(f"{name}b", 384, 3, 1)


BLOCKS: Mapping[str, tuple[Branch, ...]] = {
    "Mixed_5b": _block_a(32),
    "Mixed_5c": _block_a(64),
    "Mixed_5d": _block_a(64),
    "Mixed_6a": (
        Branch(layers=(_half("branch3x3", 384),)),
        Branch(layers=(_same("branch3x3dbl_1", 64, 1), _same("branch3x3dbl_2", 96, 3), _half("branch3x3dbl_3", 96))),
        Branch(pool="halve"),
    ),
    "Mixed_6b": _block_c(128),
    "Mixed_6c": _block_c(160),
    "Mixed_6d": _block_c(160),
    "Mixed_6e": _block_c(192),
    "Mixed_7a": (
        Branch(layers=(_same("branch3x3_1", 192, 1), _half("branch3x3_2", 320))),
        Branch(
            layers=(
                *(_same("branch7x7x3_1", 192, 1), _same("branch7x7x3_2", 192, 1, 7)),
                *(_same("branch7x7x3_3", 192, 7, 1), _half("branch7x7x3_4", 192)),
            )
        ),
        Branch(pool="halve"),
    ),
    "Mixed_7b": _block_e("average"),
    "Mixed_7c": _block_e("maximum"),
}


class Convolution(nn.Module):
    """Convolution without bias, batch norm with epsilon .001, ReLU."""

    def __init__(self, inputs: int, layer: Layer) -> None:
        """Builds the layer for a number of input channels."""
        super().__init__()
        self.conv = nn.Conv2d(inputs, layer.out, layer.kernel, layer.stride, layer.padding, bias=False)
        self.bn = nn.BatchNorm2d(layer.out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, out, h', w')."""
        return relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Several branches side by side, their outputs concatenated."""

    def __init__(self, inputs: int, branches: tuple[Branch, ...]) -> None:
        """Builds the branches for a number of input channels.

        Args:
            inputs: Input channels.
            branches: In the order of their outputs.
        """
        super().__init__()
        self.branches, self.outputs = branches, 0
        for branch in branches:
            width = inputs
            for layer in branch.layers:
                self.add_module(layer.name, Convolution(width, layer))
                width = layer.out
            for layer in branch.fork:
                self.add_module(layer.name, Convolution(width, layer))
            self.outputs += sum(layer.out for layer in branch.fork) or width

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h', w')."""
        return torch.cat([self._through(branch, x) for branch in self.branches], 1)

    def _through(self, branch: Branch, x: Tensor) -> Tensor:
        if branch.pool == "average":
            x = avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        elif branch.pool:
            x = max_pool2d(x, 3, stride=2) if branch.pool == "halve" else max_pool2d(x, 3, stride=1, padding=1)
        for layer in branch.layers:
            x = self.get_submodule(layer.name)(x)
        return torch.cat([self.get_submodule(layer.name)(x) for layer in branch.fork], 1) if branch.fork else x


class InceptionV3(nn.Module):
    """The whole network; modules are named as in the converted weights."""

    def __init__(self) -> None:
        """Builds the layers; weights are loaded."""
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, _half("", 32))
        self.Conv2d_2a_3x3 = Convolution(32, Layer(name="", out=32, kernel=(3, 3)))
        self.Conv2d_2b_3x3 = Convolution(32, _same("", 64, 3))
        self.Conv2d_3b_1x1 = Convolution(64, _same("", 80, 1))
        self.Conv2d_4a_3x3 = Convolution(80, Layer(name="", out=192, kernel=(3, 3)))
        width = 192
        for name, branches in BLOCKS.items():
            block = Block(width, branches)
            self.add_module(name, block)
            width = block.outputs
        self.fc = nn.Linear(width, OUTPUTS)

    def pooled(self, x: Tensor) -> Tensor:
        """The 2,048 features of FID and KID ("pool3") of images (n, 3, 299, 299) in [-1, 1]."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(max_pool2d(x, 3, stride=2)))
        x = max_pool2d(x, 3, stride=2)
        for name in BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))

    def logits(self, features: Tensor, *, bias: bool = False) -> Tensor:
        """Logits (n, 1008) of features (n, 2048); the published Inception score leaves the bias out."""
        return nn.functional.linear(features, self.fc.weight, self.fc.bias if bias else None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, 2048) and logits without bias (n, 1008)."""
        features = self.pooled(x)
        return features, self.logits(features)
