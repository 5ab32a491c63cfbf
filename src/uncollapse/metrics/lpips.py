"""The LPIPS image distance, for diversity and path length of images: VGG16 written out, weights from the user's files.

No weights are shipped or fetched; distances between features need none of this.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn
from torch.nn import functional

from uncollapse.errors import UserError

# Widths of the convolutions of each block of VGG16; a 2 x 2 maximum pool stands between blocks.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# LPIPS maps [-1, 1] to these means and spreads of the three colours before VGG.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
TINY = 1e-10
# Four pools leave one pixel of 16.
SMALLEST = 16
WHERE = (
    "Lpips needs two weight files: backbone= torchvision's vgg16-397923af.pth (download.pytorch.org/models) and heads= "
    "vgg.pth of the PyPI package lpips (lpips/weights/v0.1); without them, diversity and path_length work with "
    "Euclidean distances of features."
)


class Lpips(nn.Module):
    """Learned perceptual image patch similarity, VGG16, version 0.1.

    d(x, y) = sum_l mean over pixels of sum_c w_lc (f_lc(x) - f_lc(y))^2, with f_l the activations after relu1_2, 2_2,
    3_3, 4_3 and 5_3 divided by their length over channels (plus 1e-10), and w_l >= 0 the published linear heads.
    Symmetric, 0 for equal images, quadratic near 0. Parameters carry no gradients; inputs may.

    Attributes:
        identity: "lpips-vgg" with the first 8 letters of the files' sha256, for records.

    Reference: Zhang, Isola, Efros, Shechtman and Wang 2018, arXiv:1801.03924; network: Simonyan and Zisserman 2014,
    arXiv:1409.1556.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, *, backbone: str | Path | None = None, heads: str | Path | None = None) -> None:
        """Loads the weights.

        Args:
            backbone: torchvision's VGG16 state dict (keys ``features.N.weight``), ``.pth`` or ``.safetensors``.
            heads: The linear heads (keys ``lin0.model.1.weight`` to ``lin4``), ``.pth`` or ``.safetensors``.

        Raises:
            UserError: A file is not given, missing or not a state dict, or a key is missing or of another shape.
        """
        super().__init__()
        if backbone is None or heads is None:
            raise UserError(WHERE)
        network, network_hash = read_state(Path(backbone), "backbone")
        lines, lines_hash = read_state(Path(heads), "heads")
        self.blocks = nn.ModuleList(nn.ModuleList(block) for block in _convolutions(network, str(backbone)))
        self.heads = nn.ParameterList(
            _checked(lines, f"lin{level}.model.1.weight", (1, widths[-1], 1, 1), str(heads)).flatten()
            for level, widths in enumerate(BLOCKS)
        )
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))
        self.identity = f"lpips-vgg {network_hash[:8]} {lines_hash[:8]}"
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances of pairs of images, (b,).

        Args:
            x: (b, 3, h, w) floats in [-1, 1], h and w at least 16.
            y: Same shape.

        Raises:
            UserError: Another shape, integers, or numbers beyond [-2, 2], which are not images in [-1, 1].
        """
        for image in (x, y):
            _check_images(image, x.shape)
        apart = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        maps = (x.sub(self.shift) / self.scale, y.sub(self.shift) / self.scale)
        for level, (block, head) in enumerate(zip(self.blocks, self.heads, strict=True)):
            if level:
                maps = (functional.max_pool2d(maps[0], 2), functional.max_pool2d(maps[1], 2))
            maps = (_through(block, maps[0]), _through(block, maps[1]))
            gap = (_unit(maps[0]) - _unit(maps[1])).square()
            apart = apart + (gap * head.view(1, -1, 1, 1)).sum(1).mean((1, 2))
        return apart


def read_state(path: Path, name: str) -> tuple[dict[str, Tensor], str]:
    """Tensors of a weight file and the sha256 of its bytes; never runs code from the file.

    Args:
        path: ``.safetensors``, or a ``torch.save`` file of tensors.
        name: What messages call it.

    Raises:
        UserError: It is missing or holds something else.
    """
    if not path.is_file():
        raise UserError(f"{name}: there is no file {path}; {WHERE}")
    content = path.read_bytes()
    try:
        if path.suffix == ".safetensors":
            state = load_tensors(content)
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"{name}: {path} is not a readable file of weights; download it again.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{name}: {path} holds no state dict of tensors; give the published weight file.")
    return state, hashlib.sha256(content).hexdigest()


def _convolutions(state: dict[str, Tensor], path: str) -> list[list[nn.Module]]:
    """Blocks of 3 x 3 convolutions; torchvision counts ReLU and pools too, hence the numbers of its keys."""
    blocks: list[list[nn.Module]] = []
    number, before = 0, 3
    for widths in BLOCKS:
        block: list[nn.Module] = []
        for width in widths:
            # On the meta device no weights are drawn, so the caller's global random stream stays where it was.
            layer = nn.Conv2d(before, width, 3, padding=1, device="meta")
            weight = _checked(state, f"features.{number}.weight", (width, before, 3, 3), path)
            bias = _checked(state, f"features.{number}.bias", (width,), path)
            layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
            block.append(layer)
            number, before = number + 2, width
        blocks.append(block)
        number += 1
    return blocks


def _checked(state: dict[str, Tensor], key: str, shape: tuple[int, ...], path: str) -> Tensor:
    if key not in state:
        raise UserError(f"{path} has no weights {key!r}; {WHERE}")
    if tuple(state[key].shape) != shape:
        raise UserError(f"{path}: {key} has shape {tuple(state[key].shape)} but LPIPS with VGG16 has {shape}. {WHERE}")
    return state[key].float()


def _through(block: nn.Module, maps: Tensor) -> Tensor:
    for layer in block.children():
        maps = functional.relu(layer(maps))
    return maps


def _unit(maps: Tensor) -> Tensor:
    """Activations divided by their length over channels."""
    # vector_norm, not sqrt of a sum: its gradient at zero is zero, not NaN.
    length: Tensor = torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    return maps / (length + TINY)


def _check_images(image: Tensor, shape: torch.Size) -> None:
    if image.ndim != 4 or image.shape[1] != 3 or image.shape != shape or min(image.shape[2:]) < SMALLEST:
        raise UserError(
            f"Lpips takes two batches (b, 3, h, w) of equal shape with h and w at least {SMALLEST}, not "
            f"{tuple(shape)} and {tuple(image.shape)}; repeat grey images to 3 channels and enlarge small ones."
        )
    if not image.is_floating_point() or (image.numel() and float(image.detach().abs().max()) > 2):
        raise UserError(
            "Lpips takes floats in [-1, 1], not "
            + (
                f"numbers up to {float(image.detach().abs().max()):g}"
                if image.is_floating_point()
                else str(image.dtype)
            )
            + "; map grey levels 0 .. 255 by x / 127.5 - 1."
        )
