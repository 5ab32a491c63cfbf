"""Numbers beside coverage at every look, and the range in which other real rows lie at nearly every look.

Each compares rows with an anchor, a fixed random part of the reference of the same size, so that their values do not
depend on how many fakes came.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.monitor.encoding import COMPONENTS, MOST_FITTED, Space
from uncollapse.monitor.verdict import Sign
from uncollapse.verdict.pool import cross_distances
from uncollapse.verdict.repeats import MOST_ROWS, NEAR, SAME

Array = NDArray[np.float64]

NAMES = ("diversity", "effective_rank", "duplicates", "coverage", "recall")
RANK, DUPLICATES = NAMES.index("effective_rank"), NAMES.index("duplicates")
SHARES = tuple(name not in ("diversity", "effective_rank") for name in NAMES)
# Rows a side, random parts of the reference that tell the range, and how many of their standard deviations it has.
MOST, SPLITS, DEVIATIONS = 300, 200, 3.0
# Times that a quarter of the reference tells what its coordinates do to rows they have not seen.
HELD = 8
COVERAGE_K, RECALL_K = 5, 3
# A digest holds these beside the data; saved states know their reference by it, so that the pair, the quantiles that
# once were the range, stays in it.
SETTINGS = (MOST, SPLITS, (0.005, 0.995), COVERAGE_K, RECALL_K, NEAR, MOST_ROWS)
# Ranges that a cache keeps are of this way to make them; it counts up with every other.
WAY = 2
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
    covariance's eigenvalues, over that of the anchor; Roy and Vetterli 2007, A measure of effective dimensionality.
    duplicates: share of rows nearer to another than a quarter of the upper quartile of the anchor's nearest distances.
    coverage: Naeem et al. 2020, arXiv:2002.09797; recall: Kynkaanniemi et al. 2019, arXiv:1904.06991, both at equal
    sizes.
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
        return {"anchor": self.anchor_rows.numpy(), "low": self.low, "high": self.high, "way": np.array([WAY])}

    @classmethod
    def of_arrays(cls, kept: Mapping[str, NDArray[Any]]) -> Self | None:
        """From what a cache kept; None where another version made its ranges in another way."""
        if "way" not in kept or kept["way"][0] != WAY:
            return None
        return cls(anchor_rows=torch.from_numpy(kept["anchor"]), low=kept["low"], high=kept["high"])


def ordinary(rows: Tensor, *, size: int, generator: torch.Generator, features: Tensor | None = None) -> Ordinary:
    """The ranges in which the numbers of other real rows lie, whatever anchor the reference happened to give.

    From random parts A, B of the reference, both of `size` rows: mean -+ `DEVIATIONS` standard deviations of the
    numbers of B at the anchor A, and at least all that were seen. One reference tells no quantiles of a percent: its
    parts share its rows, and all looks share one anchor.

    Args:
        rows: (n, q) real rows.
        size: Rows a part; at most half of n, and `MOST`.
        generator: Of the parts.
        features: (n, d) what the rows were before they got their coordinates; None where these did not learn from them.
    """
    size = min(size, len(rows) // 2, MOST)
    drawn = []
    for _ in range(SPLITS):
        order = torch.randperm(len(rows), generator=generator)
        drawn.append(Anchor(rows[order[:size]]).numbers(rows[order[size : 2 * size]]))
    anchor_rows = rows[torch.randperm(len(rows), generator=generator)[:size]]
    values = np.stack(drawn)
    values[:, RANK] = _ranks(rows, size, generator)
    low, high = _range(values, size)
    if features is not None and features.shape[1] > COMPONENTS:
        moved = _moved(features, size, generator)
        low, high = np.minimum(low, low + moved), np.maximum(high, high + moved)
    least, most = np.zeros(len(NAMES)), np.where(SHARES, 1.0, np.inf)
    return Ordinary(anchor_rows=anchor_rows, low=np.clip(low, least, most), high=np.clip(high, least, most))


def _range(values: Array, size: int) -> tuple[Array, Array]:
    """Ends (5,) of the range of other rows from values (splits, 5)."""
    mean, wide = values.mean(0), DEVIATIONS * values.std(0, ddof=1)
    low, high = np.minimum(values.min(0), mean - wide), np.maximum(values.max(0), mean + wide)
    high[DUPLICATES] += 2 / size  # near rows come in pairs, and by chance where the parts have none
    return low, high


def _ranks(rows: Tensor, size: int, generator: torch.Generator) -> Array:
    """Ratios of the effective ranks of parts drawn with replacement, (splits,).

    Near its maximum the rank falls with the square of how uneven the parts are, and halves of one reference, uneven in
    opposite ways, hide that.
    """
    ratios = []
    for _ in range(SPLITS):
        part, anchor = (rows[torch.randint(len(rows), (size,), generator=generator)] for _ in range(2))
        ratios.append(effective_rank(part) / effective_rank(anchor))
    return np.array(ratios)


def _moved(features: Tensor, size: int, generator: torch.Generator) -> Array:
    """How far the numbers of real rows that the coordinates have not seen, as they have not seen fakes, lie off (5,).

    Leading components fit the rows that they were learnt from, and others spread less along them. Three quarters of the
    reference learn them here, so that it shows somewhat more than with all of it.

    Args:
        features: (n, d).
        size: Rows a side, at most a quarter of n.
        generator: Of the quarters.
    """
    found, size = [], min(size, len(features) // 4)
    for _ in range(HELD):
        order = torch.randperm(len(features), generator=generator)
        unseen, seen = order[:size], order[size:][:MOST_FITTED]
        with suppress(UserError):  # rows that are all the same have no coordinates
            space = Space.of(features[seen])
            first, second, other = (
                space.project(features[part]) for part in (seen[:size], seen[size : 2 * size], unseen)
            )
            anchor = Anchor(first)
            found.append(anchor.numbers(other) - anchor.numbers(second))
    moved: Array = np.mean(found, axis=0) if found else np.zeros(len(NAMES))
    return moved


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
