"""Cells of the reference, classes or clusters: what the generator may lose, and which cell each fake lies in.

A cell is what lies nearest to its centres, and not much farther from them than the real rows do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import bdtr
from torch import Tensor

from uncollapse.data.labels import UNLABELLED
from uncollapse.errors import UserError
from uncollapse.monitor.sequential import REACHED
from uncollapse.verdict.pool import cross_distances
from uncollapse.verdict.question import lost_share
from uncollapse.verdict.verdict import Lost

Numbers = NDArray[np.int64]

# Numbers of clusters among which the silhouette chooses, the rows that a cluster needs on average, and the rows looked
# at.
CHOICES, ROWS_PER_CELL, MOST_ROWS = (8, 9, 10, 12, 14, 16, 20, 25, 32, 40), 25, 2_000
# Centres of a class.
MOST_CENTRES = 4
# A fake belongs to the nearest centre up to so many times the distance of that centre's farthest real row.
REACH = 1.4
# Parts of its real share: below which a cell is looked at as missing, and at which it is surely not.
HALF, SURE = 0.5, 0.05
PICTURES = 8
# What a cache of cells depends on beside the data.
SETTINGS = (CHOICES, ROWS_PER_CELL, MOST_ROWS, MOST_CENTRES, REACH)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """A partition of the reference.

    Attributes:
        kind: "class" or "cluster".
        names: Of the K cells.
        centres: (c, q) points; a cell has one or more.
        owner: Cell of each centre, int64 (c,).
        radius: How far from each centre a fake may lie, (c,).
        of_real: Cell of each real row by the rule for fakes, (n,); -1 for none.
        shares: True share of each cell, (K,) summing to 1; None where the real rows have to tell.
    """

    kind: Literal["class", "cluster"]
    names: tuple[str, ...]
    centres: Tensor
    owner: Numbers
    radius: Tensor
    of_real: Numbers
    shares: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """K."""
        return len(self.names)

    @cached_property
    def real(self) -> Numbers:
        """Real rows in each cell, (K,)."""
        return np.bincount(self.of_real[self.of_real >= 0], minlength=len(self))

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Share of the real data in each cell, (K,), summing to 1."""
        if self.shares is not None:
            return self.shares
        shares: NDArray[np.float64] = self.real / self.real.sum()
        return shares

    def assign(self, rows: Tensor, classes: Numbers | None = None) -> Numbers:
        """Cell of each row (m, q), -1 where it is far from all real rows.

        Args:
            rows: In the coordinates of the reference.
            classes: Class of each row, where a classifier tells; else that of the nearest centre.
        """
        squared, nearest = cross_distances(rows, self.centres).min(1)
        inside = (squared.sqrt() <= self.radius[nearest]).numpy()
        cell = self.owner[nearest.numpy()] if classes is None else classes
        return np.where(inside, cell, -1)

    def missing(self, cells: Numbers, examples: Sequence[tuple[int, ...]]) -> tuple[Lost, ...]:
        """Cells that surely get less than half of their real share, and less than `REACHED` of it, the largest first.

        Sure: the chance that a generator with at least half of every real share has any such cell in one look is at
        most `SURE`, over all cells together (Bonferroni).

        Args:
            cells: Cell of each fake.
            examples: Numbers of typical real rows of each cell.
        """
        size = len(cells)
        counts = np.bincount(cells[cells >= 0], minlength=len(self))
        chance = np.minimum(1.0, len(self) * self._chances(counts, size))
        found = [
            lost_share(
                self.names[k], self.kind, (float(self.weights[k]), float(counts[k] / size)), int(counts[k]), size,
                float(chance[k]), (examples[k], ()),
            )
            for k in range(len(self))
            if chance[k] <= SURE and counts[k] < REACHED * self.weights[k] * size
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda lost: lost.share_fake - lost.share_real))

    def _chances(self, counts: Numbers, size: int) -> NDArray[np.float64]:
        """Chance of so few fakes in a cell that gets at least half of its real share, (K,), each cell alone.

        With true shares w a tail of Bin(m, w / 2). Else only c of n real rows tell w, and a small cell may be a few
        outlying ones: each of its c + f rows is a fake with a chance of at least h = (m / 2) / (m / 2 + n), and the
        tail is that of Bin(c + f, h). Reference: Przyborowski and Wilenski 1940, Biometrika 31; exact for Poisson
        counts, and on the safe side for these, which vary less.

        Args:
            counts: f, fakes in each cell.
            size: m, all fakes.
        """
        chances: NDArray[np.float64]
        if self.shares is not None:
            chances = bdtr(counts, size, HALF * self.shares)
        else:
            chances = bdtr(counts, self.real + counts, HALF * size / (HALF * size + self.real.sum()))
        return chances

    def examples(self, rows: Tensor) -> list[tuple[int, ...]]:
        """Numbers of the real rows (n, q) nearest to each cell's first centre, for pictures."""
        found = []
        for k in range(len(self)):
            members = torch.from_numpy(np.flatnonzero(self.of_real == k))
            centre = self.centres[int(np.flatnonzero(self.owner == k)[0])]
            near = (rows[members] - centre).square().sum(1).argsort(stable=True)[:PICTURES]
            found.append(tuple(int(number) for number in members[near]))
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a cache keeps."""
        names = np.frombuffer("\n".join(self.names).encode(), dtype=np.uint8)
        return {
            "centres": self.centres.numpy(), "owner": self.owner, "radius": self.radius.numpy(),
            "of_real": self.of_real, "names": names, "is_class": np.array([self.kind == "class"]),
        }  # fmt: skip

    @classmethod
    def of_arrays(cls, kept: dict[str, NDArray[Any]]) -> Cells:
        """From what a cache kept."""
        return cls(
            kind="class" if kept["is_class"][0] else "cluster",
            names=tuple(kept["names"].tobytes().decode().split("\n")),
            centres=torch.from_numpy(kept["centres"]), owner=kept["owner"],
            radius=torch.from_numpy(kept["radius"]), of_real=kept["of_real"],
        )  # fmt: skip


def clusters(rows: Tensor, *, k: int | None, seed: int) -> Cells:
    """Clusters by k-means.

    Args:
        rows: (n, q) real rows.
        k: How many; None for the number among `CHOICES` with the largest mean silhouette, as far as there are
            `ROWS_PER_CELL` rows for each. Reference: Rousseeuw 1987, Journal of Computational and Applied Mathematics
            20.
        seed: Of the choice of rows and of the starts.

    Raises:
        UserError: More clusters than the rows allow.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    most = len(rows) // ROWS_PER_CELL
    if k is not None and (isinstance(k, bool) or not isinstance(k, Integral) or not 2 <= k <= most):
        raise UserError(
            f"cells must be from 2 to {most} for {len(rows):,} rows of reference ({ROWS_PER_CELL} for each cell), not "
            f"{k!r}; give more rows or fewer cells."
        )
    chosen = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS]
    some = rows[torch.from_numpy(chosen)].numpy()
    with threadpool_limits(limits=1):
        wanted = [k] if k is not None else [c for c in CHOICES if c <= most] or [max(2, most)]
        centres = torch.from_numpy(_centres(some, wanted, seed))
    owner = np.arange(len(centres))
    return _cells("cluster", tuple(f"cluster {number + 1}" for number in owner), rows, centres, owner)


def classes(rows: Tensor, labels: Numbers, names: Sequence[str], *, judged: bool, seed: int) -> Cells:
    """Classes, each with up to `MOST_CENTRES` centres by k-means of its rows.

    Args:
        rows: (n, q) real rows.
        labels: Class of each, 0..len(names)-1; -1 for rows without a label, if nothing judged. Those near a class count
            in it; the others are a cell of their own where they are enough, and else in none.
        names: Of the classes.
        judged: Whether a classifier told the labels, and will tell those of the fakes. Else real rows too count in the
            class whose centre is nearest, so that both sides are judged alike.
        seed: Of the starts.
    """
    from threadpoolctl import threadpool_limits

    centres, owner = [], []
    with threadpool_limits(limits=1):
        for label in range(len(names)):
            members = rows[torch.from_numpy(np.flatnonzero(labels == label))].numpy()
            if len(members):
                k = max(1, min(MOST_CENTRES, len(members) // ROWS_PER_CELL))
                found = _centres(members[:MOST_ROWS], [k], seed)
                centres.append(torch.from_numpy(found))
                owner += [label] * len(found)
        middle, owned = torch.cat(centres), np.array(owner)
        apart = _apart(rows, labels, middle)
        if apart.sum() >= ROWS_PER_CELL:
            k = max(1, min(MOST_CENTRES, int(apart.sum()) // ROWS_PER_CELL))
            found = _centres(rows[torch.from_numpy(apart)].numpy()[:MOST_ROWS], [k], seed)
            names, middle = (*names, UNLABELLED), torch.cat([middle, torch.from_numpy(found)])
            owned = np.append(owned, np.full(len(found), len(names) - 1))
            apart = np.zeros_like(apart)
    return _cells("class", tuple(names), rows, middle, owned, labels if judged else None, nowhere=apart)


def _apart(rows: Tensor, labels: Numbers, centres: Tensor) -> NDArray[np.bool_]:
    """Which rows without a label are beyond the reach of all classes."""
    squared, nearest = cross_distances(rows, centres).min(1)
    named = torch.from_numpy(labels >= 0)
    reach = REACH * _farthest(squared[named], nearest[named], len(centres))
    return ((squared.sqrt() > reach[nearest]) & ~named).numpy()


def _farthest(squared: Tensor, nearest: Tensor, centres: int) -> Tensor:
    """How far from each centre the rows reach that are nearest to it."""
    return torch.zeros(centres, dtype=torch.float32).scatter_reduce(0, nearest, squared.sqrt(), "amax")


def _cells(
    kind: Literal["class", "cluster"],
    names: tuple[str, ...],
    rows: Tensor,
    centres: Tensor,
    owner: Numbers,
    known: Numbers | None = None,
    *,
    nowhere: NDArray[np.bool_] | None = None,
) -> Cells:
    squared, nearest = cross_distances(rows, centres).min(1)
    of_real = owner[nearest.numpy()] if known is None else known
    if nowhere is not None and nowhere.any():
        of_real = np.where(nowhere, -1, of_real)
        squared, nearest = squared[torch.from_numpy(~nowhere)], nearest[torch.from_numpy(~nowhere)]
    radius = REACH * _farthest(squared, nearest, len(centres))
    return Cells(kind=kind, names=names, centres=centres, owner=owner, radius=radius, of_real=of_real)


def _centres(rows: NDArray[Any], wanted: Sequence[int], seed: int) -> NDArray[np.float32]:
    """Centres of the best of some numbers of clusters, float32 (k, q)."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    distinct = len(np.unique(rows, axis=0))
    wanted = sorted({min(k, distinct) for k in wanted})
    fits = [KMeans(k, n_init=4, random_state=seed % 2**32).fit(rows) for k in wanted]
    scores = [silhouette_score(rows, fit.labels_) if len(fits) > 1 else 0.0 for fit in fits]
    found: NDArray[np.float32] = fits[int(np.argmax(scores))].cluster_centers_.astype(np.float32)
    return found
