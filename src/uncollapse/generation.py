"""Samples of the generators of a run, live or averaged: a function of weights, seed and draw.

`loop.py` asks for them; records, pictures and judgements are made from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import one_hot

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.game import Batch, Game
from uncollapse.lanes import Lanes, Specification
from uncollapse.parts.scene import Sizes
from uncollapse.trees import tree_map

# Numbers in the samples that are made at once, because the layers of a convolution need many times their memory.
SAMPLED_NUMBERS = 2**21


def checked_labels(labels: ArrayLike, n: int, spec: Specification) -> Tensor:
    """Labels that somebody asks for: a tensor, an array or a list of n whole numbers, as int64 (n,).

    Raises:
        UserError: The method takes no labels, or these do not fit.
    """
    method, classes = spec.method, spec.task.classes
    if not method.labelled:
        raise UserError(f"{method.name} is not conditional; leave labels out.")
    wrong = UserError(f"labels must be {n} whole numbers from 0 to {classes - 1}, one a sample.")
    try:
        found = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise wrong from error
    whole = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool) or not found.numel()
    if found.shape != (n,) or not whole or not ((found >= 0) & (found < classes)).all():
        raise wrong
    return found.to(torch.int64)


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Makes the samples of one run.

    Attributes:
        spec: The run.
        game: Holds the generator; samples are made in full precision, whatever the layers are trained in.
        sizes: Of the task and the batch.
        device: Where samples are made; latents are drawn on the CPU, so that all devices are asked the same.
        dtype: Floating type.
    """

    spec: Specification
    game: Game
    sizes: Sizes
    device: torch.device
    dtype: torch.dtype

    @torch.no_grad()
    def of_seed(
        self,
        lanes: Lanes,
        place: int,
        n: int,
        *,
        averaged: bool = True,
        labels: Tensor | None = None,
        draw: int = 0,
        purpose: str = "sampling",
    ) -> Tensor:
        """Samples of the seed at one place of the run's list; (n, *shape). Of several members, each sample asks one.

        Args:
            lanes: Where the run stands.
            place: Which seed.
            n: How many.
            averaged: From the averaged generator, or from the live one.
            labels: (n,) labels to ask for; by default the task's balanced labels.
            draw: Another number gives other latents; the same number always the same.
            purpose: Another purpose has a stream of latents of its own.
        """
        members = self.spec.method.population.members
        if labels is None and self.spec.method.labelled:
            labels = self.spec.task.balanced_labels(n)
        numbers = stream(self.spec.seeds[place], purpose, draw, device="cpu", dtype=self.dtype)
        latent = numbers.latent(self.sizes.latent_law, n, self.sizes.latent).to(self.device)
        index = numbers.integers(self.sizes.generators, n) if self.sizes.generators > 1 else None
        asked = numbers.integers(members, n) if members > 1 else torch.zeros(n, dtype=torch.int64)
        batch = Batch(
            latent=latent,
            real=None,
            labels=None if labels is None else self._hot(labels, self.sizes.classes),
            generator_index=None if index is None else self._hot(index, self.sizes.generators),
            noise={},
        )
        samples = torch.empty(n, *self.spec.task.shape, dtype=self.dtype, device=self.device)
        for member in range(members):
            rows = (asked == member).nonzero().squeeze(-1).to(self.device)
            self._fill(samples, rows, lanes, place * members + member, batch, averaged=averaged)
        return samples

    def _hot(self, labels: Tensor, count: int) -> Tensor:
        return one_hot(labels, count).to(self.device, self.dtype)

    def _fill(self, samples: Tensor, rows: Tensor, lanes: Lanes, lane: int, batch: Batch, *, averaged: bool) -> None:
        """Writes the samples of one lane, made a few thousand at a time; batch statistics are the running ones."""
        if not len(rows):  # layers need not know what to do with no rows at all
            return
        live, game = lanes.state.generator, replace(self.game, bfloat16_on="")
        weights = lanes.average if averaged else live.parameters
        buffers = lanes.average_buffers if averaged else live.buffers
        own = {name: value[lane] for name, value in buffers.items()}
        game.generator.eval()
        try:
            for some in torch.split(rows, max(1, SAMPLED_NUMBERS // self.sizes.data)):
                part = tree_map(lambda value, some=some: value[some], batch)
                samples[some] = game.generate(weights[lane], own, part)[0]
        finally:
            game.generator.train()
