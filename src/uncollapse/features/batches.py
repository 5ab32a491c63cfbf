"""Images through a network in batches of one fixed size, so that a row does not depend on what stands beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.errors import UserError

Image = TypeVar("Image")
Prepared = NDArray[np.float32]


def in_batches(
    images: Sequence[Image],
    prepare: Callable[[Sequence[Image]], Prepared],
    network: Callable[[Tensor], tuple[Tensor, ...]],
    *,
    size: int,
    device: torch.device,
) -> tuple[Prepared, ...]:
    """What a network makes of images.

    The last batch is filled up by repeating its last image: kernels are chosen by the shape of a batch, and another
    kernel adds in another order. A batch that does not fit the device's memory is halved.

    Args:
        images: At least one.
        prepare: Makes them one float32 array, first axis images.
        network: Takes that as a tensor on the device; returns tensors whose first axis is images.
        size: Images a batch.
        device: Where the network is.

    Returns:
        One float32 array for each tensor that the network returns.

    Raises:
        UserError: Not even one image fits the device's memory.
    """
    found: list[tuple[Prepared, ...]] = []
    first = 0
    while first < len(images):
        part = images[first : first + size]
        filled = [*part, *[part[-1]] * (size - len(part))]
        try:
            results = _run(network, prepare(filled), device)
        except torch.OutOfMemoryError as error:
            if size == 1:
                raise UserError(
                    f"One image does not fit the memory of {device}; free some of it or choose --device cpu."
                ) from error
            size //= 2
            continue
        found.append(tuple(result[: len(part)] for result in results))
        first += len(part)
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _run(network: Callable[[Tensor], tuple[Tensor, ...]], x: Prepared, device: torch.device) -> list[Prepared]:
    # TF32 has ten bits of mantissa, which moves features by 1e-3.
    with torch.no_grad(), torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        results = network(torch.from_numpy(np.ascontiguousarray(x)).to(device))
    return [result.detach().to("cpu", torch.float32).numpy() for result in results]


def digest_of(**settings: str | int | float | bool | Sequence[int] | Sequence[str] | None) -> str:
    """A sha256 over everything that changes a number."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
