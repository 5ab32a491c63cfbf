"""Which features differ by more than chance: exchanges of rows between the sides, corrected over all features.

Rows are put together at random into blocks of equal size, so that the exchanges stay few numbers however many rows
there are, and every row counts. If both sides come from one distribution, every exchange of blocks is equally likely,
so that the share of exchanges with a larger difference in any feature is an exact p-value. Reference: Westfall and
Young 1993, Resampling-Based Multiple Testing (single-step maxT).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from uncollapse.evaluation.sides import Side
from uncollapse.verdict.pool import ASSIGNMENTS

# Blocks of the smaller side, blocks of the larger one, rows and features that are looked at together.
BLOCKS, MOST_BLOCKS = 1_000, 4_000
PART, COLUMNS = 4_096, 256
# Exchanges that are drawn together.
TOGETHER = 500
# A variance below this part of that of both sides counts as this part, so that its logarithm stays finite.
LEAST = 1e-6
Numbers = NDArray[np.float64]


def adjusted_chances(real: Side, fake: Side, scale: tuple[Numbers, Numbers], *, alpha: float, seed: int) -> Numbers:
    """For each feature the chance that any feature's mean or spread differs as much between equal sides, (d,).

    Args:
        real: Real rows.
        fake: Fakes.
        scale: A middle and a spread of each feature over both sides, (d,) each; 0 where it has one value.
        alpha: The smaller, the more exchanges are made.
        seed: Of blocks and exchanges.
    """
    size = math.ceil(min(len(real), len(fake)) / BLOCKS)
    blocks = [_blocks(side, size, (seed, place)) for place, side in enumerate((real, fake))]
    counts = [int(found.max()) + 1 for found in blocks]
    sides = _assignments(counts[0], counts[1], max(ASSIGNMENTS, math.ceil(10 / alpha)), (seed, 2))
    width = len(scale[0])
    largest, observed = np.zeros(len(sides)), np.zeros(width)
    for first in range(0, width, COLUMNS):
        part = slice(first, first + COLUMNS)
        sums = [
            _sums(side, found, count, part, (scale[0][part], scale[1][part]))
            for side, found, count in zip((real, fake), blocks, counts, strict=True)
        ]
        scores = _scores(sides, (np.concatenate(sums) / size).astype(np.float32))
        observed[part] = scores[0]
        largest = np.maximum(largest, scores.max(1))
    # Sums in another order differ in their last digits, and a tie is not smaller.
    smaller = np.searchsorted(np.sort(largest), observed * (1 - 1e-6), side="left")
    return (len(largest) - smaller) / len(largest)


def _blocks(side: Side, size: int, seed: tuple[int, int]) -> NDArray[np.int64]:
    """The block of each row, (n,), by content and chance; -1 for the few rows that fill none.

    Each side has a seed of its own, or blocks of both would be alike because they hold rows of the same ranks.
    """
    count = min(len(side) // size, MOST_BLOCKS)
    shuffled = side.order[np.random.default_rng(seed).permutation(len(side))][: count * size]
    found = np.full(len(side), -1, dtype=np.int64)
    found[shuffled] = np.arange(count * size) // size
    return found


def _assignments(real: int, fake: int, count: int, seed: tuple[int, int]) -> NDArray[np.bool_]:
    """Assignments of sides to blocks, true for fake, (1 + count, real + fake); the first is the observed one."""
    draws = np.random.default_rng(seed)
    found = np.empty((1 + count, real + fake), dtype=np.bool_)
    found[0] = np.arange(real + fake) >= real
    for first in range(1, 1 + count, TOGETHER):
        part = found[first : first + TOGETHER]
        drawn = draws.random(part.shape)
        part[:] = drawn <= np.partition(drawn, fake - 1, axis=1)[:, fake - 1, None]
    return found


def _sums(side: Side, blocks: NDArray[np.int64], count: int, part: slice, scale: tuple[Numbers, Numbers]) -> Numbers:
    """Sums of the scaled rows of each block and of their squares, (blocks, 2 x features)."""
    from scipy.sparse import csr_matrix

    middle, spread = scale[0], np.where(scale[1] > 0, scale[1], np.inf)
    found = np.zeros((count, 2 * len(middle)))
    for first in range(0, len(side), PART):
        own = blocks[first : first + PART]
        kept = np.flatnonzero(own >= 0)
        rows = (np.asarray(side.rows.features[first : first + PART, part], np.float64)[kept] - middle) / spread
        member = csr_matrix((np.ones(len(kept)), (own[kept], np.arange(len(kept)))), shape=(count, len(kept)))
        found += member @ np.concatenate([rows, np.square(rows)], 1)
    return found


def _scores(sides: NDArray[np.bool_], means: NDArray[np.float32]) -> Numbers:
    """How far mean or spread of each feature differ, in standard errors by the exchanges, (assignments, features).

    Args:
        sides: Assignments.
        means: Mean and mean square of each block.
    """
    made = sides.sum(1, dtype=np.float64)[:, None]
    parts = [sides[first : first + TOGETHER] for first in range(0, len(sides), TOGETHER)]
    sums = np.concatenate([part.astype(np.float32) @ means for part in parts]).astype(np.float64)
    fake, real = sums / made, (means.sum(0, dtype=np.float64) - sums) / (sides.shape[1] - made)
    width = means.shape[1] // 2
    shift = np.abs(fake[:, :width] - real[:, :width])
    spreads = [np.maximum(side[:, width:] - np.square(side[:, :width]), LEAST) for side in (fake, real)]
    stretch = np.abs(np.log(spreads[0] / spreads[1]))
    return np.maximum(_standardised(shift), _standardised(stretch))


def _standardised(values: Numbers) -> Numbers:
    """Distances from 0 over their root mean square over all assignments; 0 where there is no difference at all."""
    size = np.sqrt(np.square(values).mean(0))
    found: Numbers = np.divide(values, size, out=np.zeros_like(values), where=size > 1e-5)
    return found
