"""A residual pair without normalisation, in the manner of R3GAN, for every method.

`convolutions` puts generator and critic around these layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, leaky_relu

from uncollapse.networks.convolutions import LEAKY_GAIN, SLOPE, Convolutional, Picture, Reader, reparameterised, started
from uncollapse.networks.network import true_or_false, whole_number

if TYPE_CHECKING:
    from uncollapse.method import Method
    from uncollapse.parts.population import Factory

# Layers of a block, and how much wider its middle is.
BLOCK_LAYERS = 3
EXPANSION = 2
# An image that is halved at least so often is read and drawn as patches.
HALVINGS_FOR_PATCHES = 2
PATCH = 2


@dataclass(frozen=True, kw_only=True)
class Residual(Convolutional):
    """The settings of a pair of residual networks without normalisation.

    Blocks are inverted bottlenecks (1x1, grouped 3x3, 1x1) with leaky ReLU that are the identity at the start; between
    levels, maps are averaged down or interpolated up bilinearly. The generator starts from a learned base map, each
    channel of which is scaled by a linear function of the latent; the critic ends in a hidden layer.

    Attributes:
        latent: Dimension of the latent.
        width: Channels of the finest level; each coarser level has twice as many.
        blocks: Residual blocks at each level.
        group: Channels that a 3x3 convolution mixes; the middle of a block is rounded up to whole groups.
        bounded: Whether the generator ends in a Tanh, for data in [-1, 1].
        patches: Whether images that are halved twice or more are read and drawn as patches of 2x2 pixels, in place of
            the finest level, which costs most; images with an odd side are not.

    Reference: Huang et al. 2024, arXiv:2501.05441; Zhang et al. 2019, arXiv:1901.09321.
    Differs from the paper: Tanh (``bounded=False`` for none), patches (``patches=False`` for none), fewer channels at
        finer levels, 3x3 convolutions at the image, and a dense hidden layer at the critic's end.
    """

    family: ClassVar[str] = "residual"

    blocks: int = 1
    group: int = 16
    bounded: bool = True
    patches: bool = True

    def __post_init__(self) -> None:
        """Refuses networks without channels or blocks."""
        Convolutional.__post_init__(self)
        for name in ("blocks", "group"):
            whole_number(getattr(self, name), name, 1)
        for name in ("bounded", "patches"):
            true_or_false(getattr(self, name), name)

    @property
    def features(self) -> int:
        """Four units for each channel of the finest level."""
        return 4 * self.width

    def reader(self, picture: Picture, told: int, judging: Method | None) -> tuple[Reader, int]:
        """A convolution, then blocks at each level with averages between."""
        seen = self._seen(picture)
        channels = self._channels(seen)
        opening: list[nn.Module] = [nn.PixelUnshuffle(PATCH)] if seen != picture else []
        opening += [started(nn.Conv2d(seen.channels, channels[0], 3, padding=1), normalised=False), ChannelsLast()]
        rest: list[nn.Module] = [*self._blocks(channels[0], len(channels), judging)]
        for level, (finer, coarser) in enumerate(pairwise(channels), start=1):
            rest += [Averaged(seen.sides[level]), Pointwise(finer, coarser)]
            rest += self._blocks(coarser, len(channels), judging)
        reader = Reader(nn.Sequential(*opening), channels[0], told, nn.Sequential(*rest), normalised=False)
        return reader, channels[-1] * math.prod(seen.sides[-1])

    def layers(self, picture: Picture, inputs: int, judging: Method | None) -> list[Factory]:
        """The base map with its blocks, a doubling with blocks for each level, and the image."""
        seen = self._seen(picture)
        channels = self._channels(seen)

        def base() -> nn.Module:
            blocks = self._blocks(channels[-1], len(channels), judging)
            return nn.Sequential(Base(inputs, channels[-1], seen.sides[-1]), ChannelsLast(), *blocks)

        def doubling(level: int) -> nn.Module:
            thinner = Pointwise(channels[level], channels[level - 1])
            blocks = self._blocks(channels[level - 1], len(channels), judging)
            return nn.Sequential(thinner, Interpolated(seen.sides[level - 1]), *blocks)

        def image() -> nn.Module:
            last: list[nn.Module] = [started(nn.Conv2d(channels[0], seen.channels, 3, padding=1), normalised=False)]
            last += [nn.PixelShuffle(PATCH)] if seen != picture else []
            last += [nn.Tanh()] if self.bounded and judging is None else []
            return nn.Sequential(*last)

        return [base, *[partial(doubling, level) for level in range(len(channels) - 1, 0, -1)], image]

    def _seen(self, picture: Picture) -> Picture:
        """The picture as it is read and drawn: with the pixels of a patch as channels, or as it is."""
        often = len(picture.sides) > HALVINGS_FOR_PATCHES
        if not (self.patches and often) or picture.height % PATCH or picture.width % PATCH:
            return picture
        return Picture(
            channels=picture.channels * PATCH**2, height=picture.height // PATCH, width=picture.width // PATCH
        )

    def _channels(self, seen: Picture) -> list[int]:
        """Channels of each level, finest first."""
        return [self.width * 2**level for level in range(len(seen.sides))]

    def _blocks(self, channels: int, levels: int, judging: Method | None) -> list[nn.Module]:
        """The blocks of one of so many levels."""
        still = judging is None or not reparameterised(judging)
        return [Block(channels, self.group, self.blocks * levels, still=still) for _ in range(self.blocks)]


def middle_of(channels: int, group: int) -> tuple[int, int]:
    """Channels in the middle of a block, rounded up to whole groups, and how many groups they make.

    >>> middle_of(16, 16), middle_of(9, 16), middle_of(3, 16)
    ((32, 2), (32, 2), (6, 1))
    """
    wanted = EXPANSION * channels
    groups = math.ceil(wanted / group)
    return (wanted, 1) if groups == 1 else (groups * group, groups)


class Block(nn.Module):
    """``x + W3 lrelu(W2 lrelu(W1 x))`` with W2 grouped: the identity at the start.

    Args:
        channels: That come in and go out.
        group: Channels that the 3x3 convolution mixes.
        among: Blocks in the network, L; W1 and W2 start smaller by ``L^(-1/4)``, so that all blocks together change
            the output by as much as one would.
        still: Whether W3 starts at zero. Under a constraint that divides matrices by their norm nothing can be zero and
            no size matters, so W3 starts as the others there.

    Reference: Zhang et al. 2019, arXiv:1901.09321.
    """

    def __init__(self, channels: int, group: int, among: int, *, still: bool) -> None:
        """Builds the three layers."""
        super().__init__()
        middle, groups = middle_of(channels, group)
        gain = LEAKY_GAIN * among ** (-1 / (2 * BLOCK_LAYERS - 2))
        self.widening = Pointwise(channels, middle, bias=True, gain=gain)
        self.mixing = started(nn.Conv2d(middle, middle, 3, padding=1, groups=groups), normalised=False, gain=gain)
        self.narrowing = Pointwise(middle, channels, gain=gain)
        if still:
            nn.init.zeros_(self.narrowing.weights.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """(packs, channels, height, width) -> the same shape."""
        inner = leaky_relu(self.widening(maps), SLOPE)
        change: Tensor = self.narrowing(leaky_relu(self.mixing(inner), SLOPE))
        return maps + change


class Pointwise(nn.Module):
    """A 1x1 convolution as a matrix product over channels.

    With channels last in memory the product needs no copy; a WGAN-GP critic update of 28x28 images takes 0.7 to 0.8 of
    its time with 1x1 convolutions and channels first.

    Args:
        channels: That come in.
        others: That go out.
        bias: Whether a number is added to each channel.
        gain: How much larger the numbers become.
    """

    def __init__(self, channels: int, others: int, *, bias: bool = False, gain: float = 1.0) -> None:
        """Draws the matrix."""
        super().__init__()
        self.weights = started(nn.Linear(channels, others, bias=bias), normalised=False, gain=gain)

    def forward(self, maps: Tensor) -> Tensor:
        """(packs, channels, height, width) -> (packs, others, height, width)."""
        pixels: Tensor = self.weights(maps.permute(0, 2, 3, 1))  # (packs, height, width, others)
        return pixels.permute(0, 3, 1, 2)


class ChannelsLast(nn.Module):
    """The same maps with channels last in memory."""

    def forward(self, maps: Tensor) -> Tensor:
        """(packs, channels, height, width) -> the same shape."""
        # Asking for a memory format is not possible under vmap.
        return maps.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


class Base(nn.Module):
    """(batch, inputs) -> (batch, channels, height, width): a learned map whose channels are scaled by the inputs.

    Args:
        inputs: Numbers that come in.
        channels: Of the map.
        sides: Height and width of the map.
    """

    def __init__(self, inputs: int, channels: int, sides: tuple[int, int]) -> None:
        """Standard normal map, scales of variance 1."""
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, *sides))
        self.scale = started(nn.Linear(inputs, channels, bias=False), normalised=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """The scaled map."""
        scaled: Tensor = self.scale(inputs).unsqueeze(-1).unsqueeze(-1) * self.basis
        return scaled


class Averaged(nn.Module):
    """Maps made smaller by means over neighbouring pixels.

    Args:
        sides: Height and width that come out.
    """

    def __init__(self, sides: tuple[int, int]) -> None:
        """Holds no parameters."""
        super().__init__()
        self.sides = sides

    def forward(self, maps: Tensor) -> Tensor:
        """(packs, channels, ...) -> (packs, channels, *sides)."""
        return adaptive_avg_pool2d(maps, self.sides)


class Interpolated(nn.Module):
    """Maps made larger by bilinear interpolation.

    Args:
        sides: Height and width that come out.
    """

    def __init__(self, sides: tuple[int, int]) -> None:
        """Holds no parameters."""
        super().__init__()
        self.sides = sides

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, ...) -> (batch, channels, *sides)."""
        return interpolate(maps, self.sides, mode="bilinear", align_corners=False)
