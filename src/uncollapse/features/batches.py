"""Images through a network in batches of one fixed size, so that a row does not depend on what stands beside it.

On a CPU each batch is computed in one thread, several batches at a time: the last bits of a sum depend on the number
of threads that share it, and rows that differ in a bit are ordered differently before any draw.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.bures import side_by_side

Image = TypeVar("Image")
Prepared = NDArray[np.float32]


def in_batches(
    images: Sequence[Image],
    prepare: Callable[[Sequence[Image]], Prepared],
    network: Callable[[Tensor], tuple[Tensor, ...]],
    *,
    size: int,
    device: torch.device,
    apart: bool = True,
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
        apart: Whether several threads may call both at the same time, each with a batch; only on a CPU they do.

    Returns:
        One float32 array for each tensor that the network returns.

    Raises:
        UserError: Not even one image fits the device's memory.
    """
    found: list[tuple[Prepared, ...]] = []
    first = 0
    # TF32 has ten bits of mantissa, which moves features by 1e-3. The flags are the process's, not the thread's.
    with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
        while first < len(images):
            parts = [images[start : start + size] for start in range(first, len(images), size)]
            several = apart and device.type == "cpu"
            tasks = [partial(_run, network, prepare, part, size, device) for part in (parts if several else parts[:1])]
            try:
                results = side_by_side(tasks) if several else [tasks[0]()]
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise UserError(
                        f"One image does not fit the memory of {device}; free some of it or choose --device cpu."
                    ) from error
                size //= 2
                continue
            found += results
            first += sum(len(result[0]) for result in results)
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _run(
    network: Callable[[Tensor], tuple[Tensor, ...]],
    prepare: Callable[[Sequence[Image]], Prepared],
    images: Sequence[Image],
    size: int,
    device: torch.device,
) -> tuple[Prepared, ...]:
    """One batch, filled up to its size and cut to its images again."""
    filled = [*images, *[images[-1]] * (size - len(images))]
    with torch.no_grad():
        results = network(torch.from_numpy(np.ascontiguousarray(prepare(filled))).to(device))
    return tuple(result.detach().to("cpu", torch.float32).numpy()[: len(images)] for result in results)


def digest_of(**settings: str | int | float | bool | Sequence[int] | Sequence[str] | None) -> str:
    """A sha256 over everything that changes a number."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
