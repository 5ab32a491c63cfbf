"""DCGAN: strided convolutions, with batch norm where the method allows it.

`convolutions` puts generator and critic around these layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, TypedDict

import torch
from torch import nn

from uncollapse.errors import UserError, unknown
from uncollapse.networks.convolutions import (
    LEAKY_GAIN,
    NORMALISED_SPREAD,
    SLOPE,
    Convolutional,
    Picture,
    Reader,
    reparameterised,
    started,
)
from uncollapse.networks.network import true_or_false, whole_number
from uncollapse.parts.scene import Law, Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method
    from uncollapse.parts.population import Factory

NORMS = ("auto", "batch", "none")
# Keeps the size of what goes through a ReLU.
RELU_GAIN = math.sqrt(2)


class Window(TypedDict):
    """What a convolution sees at once and how far it moves."""

    kernel_size: int
    stride: int
    padding: int


HALVING = Window(kernel_size=4, stride=2, padding=1)
KEEPING = Window(kernel_size=3, stride=1, padding=1)


@dataclass(frozen=True, kw_only=True)
class DCGAN(Convolutional):
    """The settings of a DCGAN pair.

    The generator turns the latent into a base map of 4 to 7 pixels and doubles it by transposed convolutions with batch
    norm and ReLU; the last one ends in Tanh. The critic halves images by convolutions with leaky ReLU and batch norm,
    which its first one does without (so that an image that is halved once meets none), and ends in a hidden layer.

    Attributes:
        latent: Dimension of the latent.
        width: Channels of the finest hidden level; each coarser level has twice as many.
        norm: ``"auto"``: batch norm in the generator, and in the critic unless the method penalises slopes of single
            samples, constrains the critic's matrices or reads reconstructions; ``"batch"``: in both; ``"none"``.
        uniform: Whether latents are uniform in [-1, 1), as in the paper; standard normal otherwise.
        critic_width: The critic's own width, 0 for `width` (Metz et al. 2017 make it a quarter or half of it).

    Reference: Radford et al. 2016, arXiv:1511.06434.
    Differs from the paper: sides are halved down to 4 to 7 pixels, and the critic has a hidden layer before its score,
        as in the authors' networks for MNIST (github.com/Newmu/dcgan_code), but without batch norm there.
    """

    family: ClassVar[str] = "dcgan"

    norm: str = "auto"
    uniform: bool = False
    critic_width: int = 0

    def __post_init__(self) -> None:
        """Refuses networks without channels, and norms that there are none of."""
        Convolutional.__post_init__(self)
        whole_number(self.critic_width, "critic_width", 0)
        true_or_false(self.uniform, "uniform")
        if self.norm not in NORMS:
            raise unknown("networks.norm", self.norm, NORMS)

    @property
    def latent_law(self) -> Law:
        """Uniform in [-1, 1) or standard normal."""
        return "uniform" if self.uniform else "normal"

    @property
    def features(self) -> int:
        """Four units for each channel of the critic's finest level."""
        return 4 * (self.critic_width or self.width)

    def normalised(self, judging: Method | None) -> bool:
        """Whether hidden layers of the critic of a method, or of the generator, have batch norm."""
        if self.norm != "auto" or judging is None:
            return self.norm != "none"
        alone = per_sample(judging) or reparameterised(judging) or judging.loss.reads == "reconstruction"
        return not alone

    def check(self, method: Method, sizes: Sizes) -> None:
        """Refuses samples that are no images, and batch norm under slopes of single samples.

        Raises:
            UserError: With what to choose instead.
        """
        Convolutional.check(self, method, sizes)
        if self.norm == "batch" and (penalties := per_sample(method)):
            raise UserError(
                "networks.norm = batch lets the critic's samples see each other, so the slope of one sample that"
                f" {penalties[0]} asks for is not defined; choose networks.norm = auto."
            )

    def reader(self, picture: Picture, told: int, judging: Method | None) -> tuple[Reader, int]:
        """Strided convolutions; the generator's side reads with an encoder, which has no batch norm."""
        normalised = judging is not None and self.normalised(judging)
        sides, channels = picture.sides, self._channels(picture, judging)
        window = HALVING if len(sides) > 1 else KEEPING
        opening = nn.Conv2d(picture.channels, channels[0], **window)
        rest: list[nn.Module] = [nn.LeakyReLU(SLOPE)]
        for finer, coarser in pairwise(channels):
            layer = nn.Conv2d(finer, coarser, **HALVING, bias=not normalised)
            rest.append(started(layer, normalised=normalised, gain=LEAKY_GAIN))
            rest += [batch_norm(coarser, tracked=False)] if normalised else []
            rest.append(nn.LeakyReLU(SLOPE))
        reader = Reader(
            started(opening, normalised=normalised, gain=LEAKY_GAIN),
            channels[0],
            told,
            nn.Sequential(*rest),
            normalised=normalised,
        )
        return reader, channels[-1] * math.prod(sides[-1])

    def layers(self, picture: Picture, inputs: int, judging: Method | None) -> list[Factory]:
        """A dense layer to the base map, a transposed convolution for each hidden level, and one for the image."""
        normalised, drawing = self.normalised(judging), judging is None
        sides, channels = picture.sides, self._channels(picture, judging)
        base = (channels[-1], *sides[-1])

        def hidden(layer: nn.Linear | nn.ConvTranspose2d, width: int, *shaping: nn.Module) -> nn.Module:
            norm = [batch_norm(width, tracked=drawing)] if normalised else []
            return nn.Sequential(started(layer, normalised=normalised, gain=RELU_GAIN), *shaping, *norm, nn.ReLU())

        def dense() -> nn.Module:
            layer = nn.Linear(inputs, math.prod(base), bias=not normalised)
            return hidden(layer, channels[-1], nn.Unflatten(1, base))

        def doubling(level: int) -> nn.Module:
            layer = doubled(channels[level], channels[level - 1], sides[level], bias=not normalised)
            return hidden(layer, channels[level - 1])

        def image() -> nn.Module:
            several = len(sides) > 1
            layer = (
                started(doubled(channels[0], picture.channels, sides[0]), normalised=normalised)
                if several
                else started(nn.Conv2d(channels[0], picture.channels, **KEEPING), normalised=normalised)
            )
            return nn.Sequential(layer, nn.Tanh()) if drawing else layer

        return [dense, *[partial(doubling, level) for level in range(len(channels) - 1, 0, -1)], image]

    def _channels(self, picture: Picture, judging: Method | None) -> list[int]:
        """Channels of the hidden levels, finest first; a picture that is not halved has one, as large as itself."""
        width = self.width if judging is None else self.critic_width or self.width
        return [width * 2**level for level in range(max(1, len(picture.sides) - 1))]


def doubled(channels: int, fewer: int, sides: tuple[int, int], *, bias: bool = True) -> nn.ConvTranspose2d:
    """A transposed convolution to twice the sides, and one more pixel where `sides`, those that come out, are odd."""
    height, width = sides
    return nn.ConvTranspose2d(channels, fewer, **HALVING, output_padding=(height % 2, width % 2), bias=bias)


def batch_norm(channels: int, *, tracked: bool) -> nn.BatchNorm2d:
    """Batch norm that starts as in DCGAN, with scales N(1, 0.02).

    A critic is only ever asked about whole batches, so that nobody would read running statistics of it.
    """
    layer = nn.BatchNorm2d(channels, track_running_stats=tracked)
    with torch.no_grad():
        layer.weight.normal_(1.0, NORMALISED_SPREAD)
    return layer


def per_sample(method: Method) -> list[str]:
    """The penalties of a method that ask for slopes of single samples."""
    return [type(penalty).__name__ for penalty in method.penalties if penalty.per_sample]
