"""Pools and images of known losses, shared by the tests of the verdict."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from uncollapse.metrics.inputs import Features
from uncollapse.verdict.pool import Pool

Rows = NDArray[np.float64]


def pool_of(real: Rows, fake: Rows, *, assignments: int = 199, seed: int = 0) -> Pool:
    """The pool of two sides."""
    sides = [Features(np.asarray(rows, np.float32), name=name) for rows, name in ((real, "real"), (fake, "fake"))]
    return Pool(*sides, generator=torch.Generator().manual_seed(seed), assignments=assignments)


def groups(
    counts: list[int], draws: np.random.Generator, *, d: int = 8, spread: float = 1.0
) -> tuple[Rows, NDArray[np.int64]]:
    """So many rows around each of several far places, and the place of each row."""
    places = 8 * np.random.default_rng(123).normal(size=(len(counts), d))
    kind = np.repeat(np.arange(len(counts)), counts)
    return places[kind] + spread * draws.normal(size=(len(kind), d)), kind
