"""Numbers beside coverage at every look, and the range in which other real rows lie.

Each compares rows with an anchor, a fixed random part of the reference of the same size, so that their values do not
depend on how many fakes came.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.monitor.verdict import Sign
from uncollapse.verdict.pool import cross_distances
from uncollapse.verdict.repeats import MOST_ROWS, NEAR, SAME

Array = NDArray[np.float64]

NAMES = ("diversity", "effective_rank", "duplicates", "coverage", "recall")
# Rows a side, and random halves of the reference that tell the range.
MOST, SPLITS, RANGE = 300, 200, (0.005, 0.995)
COVERAGE_K, RECALL_K = 5, 3
# What a cache of ranges depends on beside the data.
SETTINGS = (MOST, SPLITS, RANGE, COVERAGE_K, RECALL_K, NEAR, MOST_ROWS)
WORDS = {
    "diversity": "The fakes' mean distance from each other is {value:.2f} times that of real rows",
    "effective_rank": "The fakes vary in {value:.2f} times as many directions as real rows do",
    "duplicates": "{percent} of the fakes nearly repeat another",
    "coverage": "{percent} of real rows have a fake as near as their fifth real neighbour",
    "recall": "{percent} of real rows lie among the fakes, within reach of their third neighbours",
}


class Anchor:
    """Real rows that others are compared with.

    diversity: mean distance of two rows, over that of the anchor. effective rank: exp of the entropy of the
    covariance's eigenvalues (the Vendi score of the centred rows), over that of the anchor; Roy and Vetterli 2007, A
    measure of effective dimensionality. duplicates: share of rows nearer to another than a quarter of the upper
    quartile of the anchor's nearest distances. coverage: Naeem et al. 2020, arXiv:2002.09797; recall: Kynkaanniemi et
    al. 2019, arXiv:1904.06991, both at equal sizes.
    """

    def __init__(self, rows: Tensor) -> None:
        """Measures the anchor itself.

        Args:
            rows: (s, q) real rows, s at least 2.
        """
        self.rows = rows = rows.double()  # copies must have distance 0
        squared = _apart(rows)
        self._distance, self._rank = _mean_distance(squared), effective_rank(rows)
        nearest = squared.min(1).values
        self._near = NEAR**2 * float(torch.quantile(nearest, MOST_ROWS)) + SAME * float(rows.square().sum(1).mean())
        self._radius = _kth(squared, COVERAGE_K)

    def numbers(self, fake: Tensor) -> Array:
        """The five numbers of rows (s, q), in the order of `NAMES`."""
        fake = fake.double()
        squared, across = _apart(fake), cross_distances(self.rows, fake)
        return np.array(
            [
                _mean_distance(squared) / max(self._distance, 1e-30),
                effective_rank(fake) / self._rank,
                float((squared.min(1).values <= self._near).double().mean()),
                float((across.min(1).values <= self._radius).double().mean()),
                float((across <= _kth(squared, RECALL_K)).any(1).double().mean()),
            ]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Ordinary:
    """What is ordinary: the anchor and the ranges of other real rows.

    Attributes:
        anchor_rows: (s, q).
        low: Lower end of each number's range, (5,).
        high: Upper end.
    """

    anchor_rows: Tensor
    low: Array
    high: Array

    @cached_property
    def anchor(self) -> Anchor:
        """Measured once."""
        return Anchor(self.anchor_rows)

    def signs(self, fake: Tensor) -> tuple[Sign, ...]:
        """The numbers of fakes (m, q); without ranges where there are fewer fakes than rows in the anchor.

        Args:
            fake: Finite rows; none where there are fewer than 2.
        """
        size = len(self.anchor_rows)
        if len(fake) < 2:
            return ()
        values, enough = self.anchor.numbers(fake[:size]), len(fake) >= size
        return tuple(
            _sign(name, float(values[i]), (float(self.low[i]), float(self.high[i])) if enough else None)
            for i, name in enumerate(NAMES)
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a cache keeps."""
        return {"anchor": self.anchor_rows.numpy(), "low": self.low, "high": self.high}


def ordinary(rows: Tensor, *, size: int, generator: torch.Generator) -> Ordinary:
    """The ranges of the numbers over random disjoint parts of the reference.

    Args:
        rows: (n, q) real rows.
        size: Rows a part; at most half of n, and `MOST`.
        generator: Of the parts.
    """
    size = min(size, len(rows) // 2, MOST)
    drawn = []
    for _ in range(SPLITS):
        order = torch.randperm(len(rows), generator=generator)
        drawn.append(Anchor(rows[order[:size]]).numbers(rows[order[size : 2 * size]]))
    low, high = np.quantile(np.stack(drawn), RANGE, axis=0)
    return Ordinary(anchor_rows=rows[torch.randperm(len(rows), generator=generator)[:size]], low=low, high=high)


def effective_rank(rows: Tensor) -> float:
    """exp of the entropy of the eigenvalues of the covariance of rows (s, q): from 1 to min(s - 1, q)."""
    centred = (rows - rows.mean(0)).double()
    moments = centred.T @ centred if rows.shape[1] <= len(rows) else centred @ centred.T
    values = torch.linalg.eigvalsh(moments).clamp_min(0)
    total = values.sum()
    return 1.0 if float(total) <= 0 else float(torch.special.entr(values / total).sum().exp())


def _apart(rows: Tensor) -> Tensor:
    """Squared distances of all pairs, the diagonal infinite."""
    return cross_distances(rows, rows).fill_diagonal_(torch.inf)


def _mean_distance(squared: Tensor) -> float:
    n = len(squared)
    return float(squared.sqrt().nan_to_num(posinf=0.0).double().sum()) / (n * (n - 1))


def _kth(squared: Tensor, k: int) -> Tensor:
    return squared.kthvalue(min(k, len(squared) - 1), dim=1).values


def _sign(name: str, value: float, ends: tuple[float, float] | None) -> Sign:
    words = WORDS[name].format(value=value, percent=f"{100 * value:.3g} %")
    if ends is None:
        return Sign(name=name, value=value, sentence=f"{words}.")
    loss = value > ends[1] if name == "duplicates" else value < ends[0]
    scale, unit = (1, "") if name in ("diversity", "effective_rank") else (100, " %")
    return Sign(
        name=name, value=value, low=ends[0], high=ends[1], loss=loss,
        sentence=f"{words}; other real rows: {scale * ends[0]:.3g} to {scale * ends[1]:.3g}{unit}.",
    )  # fmt: skip
