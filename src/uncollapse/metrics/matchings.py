"""The mean of a costly distance over random pairs of images, with the standard error that belongs to the pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.inputs import Features, Rows, check_count

PairDistance = Callable[[Tensor, Tensor], Tensor]
BATCH = 64


@dataclass(frozen=True)
class Sampled:
    """A mean distance of one side.

    Attributes:
        value: The mean.
        variance: Its variance over fresh samples; NaN when it is not known.
        n: Rows of the side.
        same: Whether all rows are identical.
        details: Further numbers for the estimate.
    """

    value: float
    variance: float
    n: int
    same: bool
    details: Mapping[str, Any]


def matchings(n: int, rounds: int, generator: torch.Generator) -> Tensor:
    """Rounds in which every row has one partner and no pair comes twice (rounds, n // 2, 2).

    The circle method of round-robin tournaments, on rows in random order; of an odd number one row stays out.

    Args:
        n: Rows.
        rounds: At most 2 (n // 2) - 1.
        generator: Source of the order.
    """
    order = torch.randperm(n, generator=generator)
    even = n - n % 2
    turn = torch.arange(rounds)[:, None]
    step = torch.arange(1, even // 2)[None, :]
    left = torch.cat([turn % (even - 1), (turn + step) % (even - 1)], 1)
    right = torch.cat([torch.full_like(turn, even - 1), (turn - step) % (even - 1)], 1)
    return order[torch.stack([left, right], -1)]


def sampled_distance(
    images: Rows, name: str, distance: PairDistance, pairs: int | None, generator: torch.Generator
) -> Sampled:
    """Mean distance over random pairs of images.

    With R rounds of P / R disjoint pairs, the variance is 4 v / n + (w - 2 v) / P, where w is the variance of one
    distance and v that of an image's expected distance, found from the means of an image's R distances. With one
    round the pairs are independent and the variance is w / P.

    Args:
        images: (n, ...) in any order.
        name: What messages call them.
        distance: Distance between two batches of images.
        pairs: Number of pairs, rounded up to whole rounds; None is one round.
        generator: Source of the pairs.

    Raises:
        UserError: Fewer than 2 images, too many pairs, or distances that are not (b,) finite numbers >= 0.
    """
    items = images.detach() if isinstance(images, Tensor) else torch.as_tensor(images)
    if items.ndim < 2:
        raise UserError(f"{name} must hold one image or row for each index (n, ...), not shape {tuple(items.shape)}.")
    rows = Features(items.flatten(1), name=name)
    half, most = len(rows) // 2, (len(rows) // 2) * (2 * (len(rows) // 2) - 1)
    if pairs is not None:
        check_count(pairs, "pairs")
        if pairs > most:
            raise UserError(f"pairs must be from 1 to {most:,} for {len(rows):,} images of {name}, not {pairs}.")
    rounds = 1 if pairs is None else math.ceil(pairs / half)
    index = rows.order.cpu()[matchings(len(rows), rounds, generator)]
    flat = index.flatten(0, 1).to(items.device)
    found = [
        _checked(distance(items[flat[part, 0]], items[flat[part, 1]]), len(flat[part]))
        for part in (slice(start, start + BATCH) for start in range(0, len(flat), BATCH))
    ]
    values = torch.cat(found).reshape(rounds, half)
    same = bool((rows.keys == rows.keys[0]).all())
    variance = _variance(values, index) if values.numel() > 1 else math.nan
    return Sampled(float(values.mean()), variance, len(rows), same, {f"{name}_pairs": values.numel()})


def _variance(values: Tensor, index: Tensor) -> float:
    rounds, half = values.shape
    single = float(values.var())
    own = 0.0
    if rounds > 1:
        sums = torch.zeros(int(index.max()) + 1, dtype=torch.float64)
        for column in (0, 1):
            sums.index_add_(0, index[..., column].flatten(), values.flatten())
        means = sums[index[0].flatten()] / rounds
        own = min(max((float(means.var()) - single / rounds) / (1 - 1 / rounds), 0.0), single / 2)
    return 4 * own / (2 * half) + (single - 2 * own) / values.numel()


def _checked(values: Tensor, count: int) -> Tensor:
    if not isinstance(values, Tensor) or values.shape != (count,):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise UserError(f"distance must return one number for each pair, shape ({count},), not {shape}.")
    values = values.detach().double().cpu()
    if not bool((torch.isfinite(values) & (values >= 0)).all()):
        raise UserError("distance returned numbers below 0 or not finite; a distance is at least 0.")
    return values
