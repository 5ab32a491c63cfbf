"""The drawn inputs of every update, made in blocks: any update's batch is a pure function of (seed, update).

`loop.py` asks for the batch of an update; a block is drawn once and sliced, as one large draw is cheaper than many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from uncollapse.draws import Draw, stream
from uncollapse.game import Batch
from uncollapse.method import Method
from uncollapse.parts.scene import Sizes
from uncollapse.trees import tree_map

# Most updates in a block, and most numbers of real samples in one; part of the definition of a run's numbers, so
# changing them moves every result.
BLOCK, MOST_NUMBERS = 64, 2**22

Source = Callable[[int, Draw], tuple[Tensor, Tensor | None]]


def block_length(sizes: Sizes) -> int:
    """Updates in a block: 64, or the largest power of 2 whose real samples fit into a moderate memory.

    >>> block_length(Sizes(shape=(2,), latent=2, batch=256))
    64
    >>> block_length(Sizes(shape=(3, 64, 64), latent=64, batch=64))
    4
    """
    return min(BLOCK, 1 << max(0, (MOST_NUMBERS // (sizes.batch * sizes.data)).bit_length() - 1))


class Blocks:
    """Batches of one kind of update (the critic's or the generator's) for a stack of seeds.

    Args:
        purpose: ``"critic"`` or ``"generator"``; the two kinds never share numbers.
        method: Says what is needed.
        sizes: Of the task and the batch.
        seeds: One lane each.
        sources: Where each lane's real samples come from.
        with_real: Whether the update looks at real samples.
        device: Where the numbers are made and kept.
        dtype: Floating type.
    """

    def __init__(
        self,
        purpose: str,
        method: Method,
        sizes: Sizes,
        seeds: Sequence[int],
        sources: Sequence[Source],
        *,
        with_real: bool,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Draws nothing yet."""
        self.purpose, self.sizes, self.seeds, self.sources = purpose, sizes, tuple(seeds), tuple(sources)
        self.labelled, self.with_real = method.labelled, with_real
        self.noise = method.noise(sizes)
        self.device, self.dtype = device, dtype
        self.length = block_length(sizes)
        self._block, self._content = -1, Batch(torch.empty(0), None, None, None, {})

    def batch(self, update: int) -> Batch:
        """The batch of one update, counted from 0; every tensor has the lanes in front."""
        block, offset = divmod(update, self.length)
        if block != self._block:
            lanes = [self._draw(seed, source, block) for seed, source in zip(self.seeds, self.sources, strict=True)]
            self._content = tree_map(lambda *parts: torch.stack(parts, 1), *lanes)
            self._block = block
        picked: Batch = tree_map(lambda value: value[offset], self._content)
        return picked

    def _draw(self, seed: int, source: Source, block: int) -> Batch:
        """One lane's block: every tensor has the updates in front."""
        sizes, length, total = self.sizes, self.length, self.length * self.sizes.batch
        draw = stream(seed, f"{self.purpose} batches", block, device=self.device, dtype=self.dtype)
        real, labels = source(total, draw) if self.with_real or self.labelled else (None, None)
        laws = {"uniform": draw.uniform, "normal": draw.normal}
        index = draw.integers(sizes.generators, length, sizes.batch) if sizes.generators > 1 else None
        return Batch(
            latent=draw.latent(sizes.latent_law, length, sizes.batch, sizes.latent),
            real=_blocked(real, length) if real is not None and self.with_real else None,
            labels=_blocked(one_hot(labels, sizes.classes).to(self.dtype), length)
            if self.labelled and labels is not None
            else None,
            generator_index=None if index is None else one_hot(index, sizes.generators).to(self.dtype),
            noise={name: laws[law](length, *shape) for name, (law, shape) in self.noise.items()},
        )


def _blocked(rows: Tensor, length: int) -> Tensor:
    """(length * batch, ...) -> (length, batch, ...)."""
    return rows.reshape(length, -1, *rows.shape[1:])
