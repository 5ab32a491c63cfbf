"""What the convolutional families share: how a sample is laid out as an image, their contract, and the generator.

`dcgan` and `residual` say how an image is read and drawn; `image_critic` and `image_autoencoder` are their critics.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.networks.network import Networks, whole_number
from uncollapse.parts.constraints import Constraint
from uncollapse.parts.scene import Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method
    from uncollapse.parts.population import Factory

# A shorter side of more pixels is halved, so that 28 becomes 7, and 8, 32 and 64 become 4.
BASE_SIDE = 7
SLOPE = 0.2
# Keeps the size of what goes through a leaky ReLU of this slope (He et al. 2015, arXiv:1502.01852).
LEAKY_GAIN = math.sqrt(2 / (1 + SLOPE**2))
# Deviation of the weights of networks with batch norm, as in DCGAN.
NORMALISED_SPREAD = 0.02

Layer = TypeVar("Layer", bound=nn.Linear | nn.Conv2d | nn.ConvTranspose2d)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What the critic judges or the generator draws, as an image.

    Attributes:
        channels: Colours of all samples in a pack.
        height: Pixels.
        width: Pixels.
    """

    channels: int
    height: int
    width: int

    @classmethod
    def of(cls, shape: tuple[int, ...], group: int = 1) -> Picture:
        """The picture of packs of `group` samples of shape (height, width) or (colours, height, width)."""
        colours = shape[0] if len(shape) == 3 else 1
        return cls(channels=group * colours, height=shape[-2], width=shape[-1])

    @property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every level, finest first; each is half the one before, rounded down.

        >>> Picture(channels=1, height=28, width=28).sides
        ((28, 28), (14, 14), (7, 7))
        """
        found = [(self.height, self.width)]
        while min(found[-1]) > BASE_SIDE:
            found.append((found[-1][0] // 2, found[-1][1] // 2))
        return tuple(found)

    def images(self, inputs: Tensor) -> Tensor:
        """(packs, ...) -> (packs, channels, height, width); samples of a pack are channels."""
        return inputs.reshape(-1, self.channels, self.height, self.width)


def started(layer: Layer, *, normalised: bool, gain: float = 1.0) -> Layer:
    """The layer with fresh weights and biases of zero.

    Args:
        layer: To be changed.
        normalised: N(0, 0.02) as in DCGAN; otherwise ``N(0, gain^2 / inputs of a unit)`` as in He et al.
        gain: How much the numbers that come out should be larger than those that go in.
    """
    with torch.no_grad():
        layer.weight.normal_(std=NORMALISED_SPREAD if normalised else gain / math.sqrt(inputs_of_a_unit(layer)))
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def inputs_of_a_unit(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """How many numbers a unit sums over (on average, where strides let some see more than others)."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    seen = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
    return seen / math.prod(layer.stride) if isinstance(layer, nn.ConvTranspose2d) else seen


def mixing(network: nn.Module) -> bool:
    """Whether samples see each other within a pass of a network, as batch norm lets them."""
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def reparameterised(method: Method) -> bool:
    """Whether the critic plays with other matrices than its own, as under a spectral norm."""
    return type(method.constraint).reparameterise is not Constraint.reparameterise


@dataclass(frozen=True, kw_only=True)
class Convolutional(Networks):
    """Contract of the convolutional families: how an image is read and how one is drawn.

    Layers belong to the critic of a method, or to the generator's side (then `judging` is None).

    Attributes:
        latent: Dimension of the latent.
        width: Channels at the finest level.
    """

    latent: int = 64
    width: int = 16

    def __post_init__(self) -> None:
        """Refuses networks without channels or latent."""
        for name in ("latent", "width"):
            whole_number(getattr(self, name), name, 1)

    @property
    @abstractmethod
    def features(self) -> int:
        """Units of the critic's last hidden layer."""

    @abstractmethod
    def reader(self, picture: Picture, told: int, judging: Method | None) -> tuple[Reader, int]:
        """What turns an image, and `told` numbers beside it, into a base map, and how many numbers that has."""

    @abstractmethod
    def layers(self, picture: Picture, inputs: int, judging: Method | None) -> list[Factory]:
        """Factories of the layers that turn `inputs` numbers into an image, first to last."""

    def normalised(self, judging: Method | None) -> bool:
        """Whether hidden layers of the critic of a method, or of the generator, have batch norm."""
        return False

    def check(self, method: Method, sizes: Sizes) -> None:
        """Refuses samples that are no images.

        Raises:
            UserError: With what to choose instead.
        """
        if len(sizes.shape) not in (2, 3):
            raise UserError(
                f"{self.family} networks draw images, and this task has samples of shape {list(sizes.shape)};"
                " choose an image task such as digits, or networks.family = mlp."
            )

    def generator(self, method: Method, sizes: Sizes) -> Generator:
        """The generator of one run, drawn from torch's global generator."""
        return Generator(self, method, sizes)

    def critic(self, method: Method, sizes: Sizes) -> nn.Module:
        """The critic of one run, drawn from torch's global generator."""
        if method.loss.reads == "reconstruction":
            from uncollapse.networks.image_autoencoder import ImageAutoencoder

            return ImageAutoencoder(self, method, sizes)
        from uncollapse.networks.image_critic import Critic

        return Critic(self, method, sizes)


class Reader(nn.Module):
    """Images (packs, channels, height, width) and numbers told beside them (packs, told) -> base maps.

    The numbers stand beside the image as constant maps. All that a convolution makes of a constant map is one number
    for each of its channels (at the border, if the map went on beyond it), so those are added and the maps are never
    made.

    Args:
        opening: The first convolution.
        channels: What it gives.
        told: Numbers beside each image, 0 for none.
        rest: What follows.
        normalised: Whether the weights of the told numbers start as in networks with batch norm.
    """

    def __init__(self, opening: nn.Module, channels: int, told: int, rest: nn.Module, *, normalised: bool) -> None:
        """Keeps the layers; those of the told numbers are drawn."""
        super().__init__()
        self.opening, self.rest = opening, rest
        self.told = started(nn.Linear(told, channels, bias=False), normalised=normalised) if told else None

    def forward(self, images: Tensor, told: Tensor | None = None) -> Tensor:
        """The base maps (packs, channels, height, width)."""
        seen = self.opening(images)
        if self.told is not None:
            seen = seen + self.told(told).unsqueeze(-1).unsqueeze(-1)
        base: Tensor = self.rest(seen)
        return base


class Generator(nn.Module):
    """latent (batch, latent) -> samples (batch, *shape).

    Args:
        settings: Of the family.
        method: Says what joins the latent, how many generators there are, and whether an encoder is needed.
        sizes: Of the task and the batch.
    """

    def __init__(self, settings: Convolutional, method: Method, sizes: Sizes) -> None:
        """Builds embedding, body and encoder, in this order."""
        super().__init__()
        self.shape, self.conditioning = sizes.shape, method.conditioning
        self.embedding = method.conditioning.generator_module(sizes)
        inputs = settings.latent + method.conditioning.generator_extra(sizes)
        self.body = method.population.assemble(settings.layers(Picture.of(sizes.shape), inputs, None))
        self.encoder = Encoder(settings, sizes) if method.conditioning.encodes else None

    def forward(self, latent: Tensor, labels: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        """Samples; labels and index are one-hot rows where the method has them."""
        joined = self.conditioning.generator_join(self.embedding, latent, labels)
        samples: Tensor = self.body(joined, index).reshape(-1, *self.shape)
        return samples

    def encode(self, samples: Tensor) -> Tensor:
        """samples (batch, *shape) -> latent (batch, latent), for methods whose conditioning brings an encoder."""
        if self.encoder is None:
            raise RuntimeError("this method has no encoder")
        code: Tensor = self.encoder(samples)
        return code


class Encoder(nn.Module):
    """samples (batch, *shape) -> latent (batch, latent); without batch norm, so that a code belongs to its sample.

    Args:
        settings: Of the family.
        sizes: Of the task.
    """

    def __init__(self, settings: Convolutional, sizes: Sizes) -> None:
        """Builds reader and last layer, in this order."""
        super().__init__()
        self.picture = Picture.of(sizes.shape)
        self.reader, numbers = settings.reader(self.picture, 0, None)
        self.last = started(nn.Linear(numbers, settings.latent), normalised=False)

    def forward(self, samples: Tensor) -> Tensor:
        """The codes."""
        code: Tensor = self.last(self.reader(self.picture.images(samples)).flatten(1))
        return code
