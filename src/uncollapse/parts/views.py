"""Views: how the critic sees a batch, as packs of samples or with a summary of the batch among its features.

Contract first, then the parts in the order of publication. Packing comes before penalties and conditioning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.nn import MinibatchDiscrimination as MinibatchDiscriminationLayer
from uncollapse.nn import batch_deviation, packed
from uncollapse.parts.scene import Law, Part, Sizes


class View(Part):
    """Contract: `pack` acts on inputs, `summarise` on features.

    Attributes:
        joint: Whether real and fake may share one concatenated pass; False where a summary would mix them.
        entangles: Whether a sample's score depends on the others so strongly that its own slope is not defined.
        images_only: Whether samples must be images.
    """

    joint: ClassVar[bool] = True
    entangles: ClassVar[bool] = False
    images_only: ClassVar[bool] = False

    @property
    def extra(self) -> int:
        """Features that `summarise` adds."""
        return 0

    @property
    def group(self) -> int:
        """Samples that are judged as one."""
        return 1

    @property
    def samples(self) -> int:
        """Samples that are drawn for each one in the batch of a run."""
        return 1

    @property
    def block(self) -> int:
        """Judged items that must stay together, by which their number has to be divisible."""
        return 1

    def pack(self, samples: Tensor) -> Tensor:
        """(batch, channels, ...) -> (batch / group, group * channels, ...)."""
        return samples

    def alter(self, inputs: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """(packs, ...) -> (packs, ...): what the critic is shown; slopes are with respect to what goes in."""
        return inputs

    def module(self, width: int) -> nn.Module | None:
        """Parameters of the summary, owned by the critic; `width` is the number of features."""
        return None

    def summarise(self, module: nn.Module | None, features: Tensor) -> Tensor:
        """(batch, width) -> (batch, width + extra)."""
        return features


@dataclass(frozen=True, kw_only=True)
class Plain(View):
    """One sample at a time."""


@dataclass(frozen=True)
class Packed(View):
    """PacGAN: the critic judges `size` independent samples of one kind at once.

    Batches are independent draws, so neighbouring rows make a random pack.

    Attributes:
        size: Samples in a pack, m in the paper.
        equal: What stays as it is without packs: ``"images"`` (a batch of N samples makes N / m packs) or ``"packs"``
            (N packs are judged, as in the paper, which takes m N samples).

    Reference: Lin et al. 2018, arXiv:1712.04086.
    """

    size: int = 2
    equal: Literal["images", "packs"] = "images"

    def __post_init__(self) -> None:
        """Refuses packs that hold nothing."""
        if self.size < 1:
            raise UserError(f"Packed({self.size}) holds no sample; choose a pack size of 1 or more.")

    @property
    def samples(self) -> int:
        """As many as a pack holds where the packs are counted."""
        return self.size if self.equal == "packs" else 1

    @property
    def group(self) -> int:
        """Samples that are judged as one."""
        return self.size

    def pack(self, samples: Tensor) -> Tensor:
        """(batch, channels, ...) -> (batch / size, size * channels, ...)."""
        return packed(samples, self.size)


@dataclass(frozen=True, kw_only=True)
class MinibatchDiscrimination(View):
    """The critic's features are joined by how close each sample is to the others of its batch.

    ``o_b(x_i) = sum_{j != i} exp(-||M_ib - M_jb||_1)`` with ``M_i = f(x_i) T``; see
    `uncollapse.nn.MinibatchDiscrimination`. Real and fake batches never meet. Its columns have learned scales, which
    `SpectralNorm` does not bound.

    Attributes:
        kernels: B, numbers added to the features (100 in the paper).
        size: C, numbers compared by a kernel (5 in the paper).

    Reference: Salimans et al. 2016, arXiv:1606.03498.
    """

    joint: ClassVar[bool] = False
    entangles: ClassVar[bool] = True
    batch_level: ClassVar[bool] = True
    lanes: ClassVar[int | None] = 2
    kernels: int = 16
    size: int = 5

    def __post_init__(self) -> None:
        """Refuses comparing nothing."""
        if self.kernels < 1 or self.size < 1:
            raise UserError(
                f"MinibatchDiscrimination(kernels={self.kernels}, size={self.size}) compares nothing; choose 1 or more."
            )

    @property
    def extra(self) -> int:
        """One number a kernel."""
        return self.kernels

    def module(self, width: int) -> nn.Module:
        """The kernels."""
        return MinibatchDiscriminationLayer(width, self.kernels, self.size)

    def summarise(self, module: nn.Module | None, features: Tensor) -> Tensor:
        """(batch, width) -> (batch, width + kernels)."""
        return features if module is None else module(features)


@dataclass(frozen=True, kw_only=True)
class MinibatchStddev(View):
    """The critic's features are joined by the mean standard deviation within small groups of the batch.

    Attributes:
        size: Samples in a group, 4 in the paper's code.

    Reference: Karras et al. 2018, arXiv:1710.10196.
    """

    size: int = 4

    def __post_init__(self) -> None:
        """Refuses groups without a deviation."""
        if self.size < 2:
            raise UserError(f"MinibatchStddev(size={self.size}) has no deviation; choose groups of 2 or more.")

    @property
    def extra(self) -> int:
        """One number."""
        return 1

    @property
    def block(self) -> int:
        """Whole groups only, so that real and fake never meet in one."""
        return self.size

    def summarise(self, module: nn.Module | None, features: Tensor) -> Tensor:
        """(batch, width) -> (batch, width + 1)."""
        return torch.cat([features, batch_deviation(features, self.size)], 1)


@dataclass(frozen=True, kw_only=True)
class DiffAugment(View):
    """Differentiable augmentation: real and fake images are altered at random before the critic sees them.

    Colour (brightness, saturation of three channels, contrast), translation and cut-out, drawn anew for each image, in
    critic and generator steps alike; slopes are with respect to the unaltered image.

    Attributes:
        colour: Strength of the colour changes; 1 as in the paper, 0 for none.
        shift: Largest translation as a share of the side, 1/8 in the paper; 0 for none.
        cutout: Side of the square that is set to zero as a share of the image's side, 1/2 in the paper; 0 for none.

    Reference: Zhao et al. 2020, arXiv:2006.10738.
    """

    images_only: ClassVar[bool] = True
    colour: float = 1.0
    shift: float = 0.125
    cutout: float = 0.5

    def __post_init__(self) -> None:
        """Refuses shares that are none."""
        if not (self.colour >= 0 and 0 <= self.shift < 1 and 0 <= self.cutout < 1):
            raise UserError(
                f"DiffAugment(colour={self.colour}, shift={self.shift}, cutout={self.cutout}) is not possible;"
                " colour is 0 or more, shift and cutout lie in [0, 1)."
            )

    def noise(self, sizes: Sizes) -> dict[str, tuple[Law, tuple[int, ...]]]:
        """Three colour changes and two places for each image, real ones first."""
        both = 2 * sizes.packs
        return {"colour": ("uniform", (both, 3)), "shift": ("uniform", (both, 2)), "cutout": ("uniform", (both, 2))}

    def alter(self, inputs: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """(packs, [channels,] height, width) -> the same shape."""
        images = inputs.unsqueeze(1) if inputs.ndim == 3 else inputs
        images = self._coloured(images, noise["colour"] - 0.5)
        images = self._moved(images, noise["shift"])
        return self._cut(images, noise["cutout"]).reshape(inputs.shape)

    def _coloured(self, images: Tensor, strength: Tensor) -> Tensor:
        """Brightness +- 1/2, saturation of colour images 0 to 2, contrast 1/2 to 3/2."""
        brightness, saturation, contrast = (
            self.colour * strength[:, column].reshape(-1, 1, 1, 1) for column in range(3)
        )
        images = images + brightness
        if images.shape[1] == 3:
            grey = images.mean(1, keepdim=True)
            images = grey + (images - grey) * (1 + 2 * saturation)
        mean = images.mean((1, 2, 3), keepdim=True)
        return mean + (images - mean) * (1 + contrast)

    def _moved(self, images: Tensor, place: Tensor) -> Tensor:
        """Shifted by whole pixels; zeros come in."""
        for axis, dim in enumerate((2, 3)):
            side = images.shape[dim]
            most = int(self.shift * side + 0.5)
            by = torch.floor(place[:, axis] * (2 * most + 1)) - most
            origin = torch.arange(side, device=images.device) - by.unsqueeze(-1)  # (packs, side)
            inside = ((origin >= 0) & (origin < side)).to(images.dtype)
            shape = (-1, 1, side, 1) if dim == 2 else (-1, 1, 1, side)
            index = origin.clamp(0, side - 1).to(torch.int64).reshape(shape).expand(images.shape)
            images = images.gather(dim, index) * inside.reshape(shape)
        return images

    def _cut(self, images: Tensor, place: Tensor) -> Tensor:
        """A square set to zero, whose centre may lie anywhere in the image."""
        covered = []
        for axis, side in enumerate(images.shape[2:]):
            half = self.cutout * side / 2
            at = torch.arange(side, device=images.device, dtype=images.dtype) + 0.5
            covered.append(((at - place[:, axis : axis + 1] * side).abs() < half).to(images.dtype))
        rows, columns = covered
        return images * (1 - rows.unsqueeze(1).unsqueeze(-1) * columns.unsqueeze(1).unsqueeze(2))


PARTS: tuple[type[View], ...] = (Plain, MinibatchDiscrimination, Packed, MinibatchStddev, DiffAugment)
