"""Regions of the pool: the branches of trees of its rows, from small groups to half of all."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.verdict.pool import Pool, cross_distances, squared_distances

SMALLEST_SHARE, SMALLEST_ROWS, LARGEST_SHARE = 0.02, 10, 0.5
ROWS_PER_CLUSTER, FEWEST_CLUSTERS, MOST_CLUSTERS = 50, 4, 20
# A walk over neighbours: how many each row has, how many steps are made, and numbers that a row's walk is sketched by.
WALKED, STEPS, SKETCH = 10, 8, 128
# Neighbours that decide which region a row would belong to if only real rows had regions.
VOTERS = 10
# Fakes that move together when they are brought to the real rows near them, and how often.
TOGETHER, MOVES = 50, 2


class Regions:
    """Branches of three trees over the pool's rows: Ward's, one of where walks over neighbours lead, one of directions.

    Ward's tree knows compact groups; walks know groups between which few rows lie, such as classes of images;
    directions (average linkage of cosine distances, for more than two features) know images that differ in contrast.

    Attributes:
        members: float32 (G, N), 1 where a row belongs to a region; regions overlap, as branches do.
        tree: int64 (G,), which tree a region is a branch of.

    Reference: Ward 1963, Journal of the American Statistical Association 58; Coifman and Lafon 2006, Applied and
    Computational Harmonic Analysis 21 (diffusion distances).
    """

    def __init__(self, pool: Pool) -> None:
        """Builds the trees; the pool's sides are not looked at."""
        self.pool = pool
        trees = [self._ward, _tree(squared_distances(_diffused(pool)).sqrt(), "ward")]
        if pool.rows.shape[1] > 2:
            trees.append(_tree(squared_distances(_directions(pool.rows)), "average"))
        branches = [_branches(tree, len(pool)) for tree in trees]
        self.members = torch.cat(branches)
        self.tree = torch.arange(len(trees)).repeat_interleave(torch.tensor([len(found) for found in branches]))

    def __len__(self) -> int:
        return len(self.members)

    @cached_property
    def _ward(self) -> NDArray[np.float64]:
        return _tree(self.pool.squared.sqrt(), "ward")

    @cached_property
    def clusters(self) -> Tensor:
        """A partition into 4 to 20 groups, cut from Ward's tree, int64 (N,)."""
        from scipy.cluster.hierarchy import fcluster

        wanted = min(MOST_CLUSTERS, max(FEWEST_CLUSTERS, len(self.pool) // ROWS_PER_CLUSTER))
        return torch.from_numpy(fcluster(self._ward, wanted, "maxclust").astype(np.int64)) - 1

    def parts(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """For each cluster the numbers of its real rows and of its fakes."""
        index = [(self.clusters == cluster).nonzero()[:, 0] for cluster in range(int(self.clusters.max()) + 1)]
        return [(self.pool.numbers(rows, fake=False), self.pool.numbers(rows, fake=True)) for rows in index]

    def shares_by_vote(self, region: Tensor) -> tuple[float, float]:
        """Shares of real rows and of fakes in a region (N,) if only the real rows' membership counted.

        Each row belongs where most of its `VOTERS` nearest real rows (never itself) do. Fakes that are as varied but
        shifted, blurred or noisy form branches of their own; their nearest real rows still lie in every region, once
        what moves all fakes of a kind alike is taken out of them (`_aligned`).
        """
        pool, (real, nearest) = self.pool, self._voters
        inside = region[real][nearest].mean(1) > 0.5
        return float(inside[~pool.fake].float().mean()), float(inside[pool.fake].float().mean())

    @cached_property
    def _voters(self) -> tuple[Tensor, Tensor]:
        """The real rows' places in the pool, and for each row which of them are its nearest, (N, `VOTERS`)."""
        pool = self.pool
        real = (~pool.fake).nonzero()[:, 0]
        squared = cross_distances(_aligned(pool), pool.rows[real])
        squared[real, torch.arange(len(real))] = torch.inf
        return real, squared.topk(min(VOTERS, len(real) - 1), dim=1, largest=False).indices


def _aligned(pool: Pool) -> Tensor:
    """The pool's rows (N, q), each fake brought towards the real rows near it, together with the fakes around it.

    f <- f + mean over its `TOGETHER` nearest fakes of (mean of their `VOTERS` nearest real rows - the fake), `MOVES`
    times. What changes all fakes of a kind alike (shift, contrast, blur, noise) is taken out so; fakes that lie among
    real rows already stay, so that a region that is not made remains empty. The idea is that of iterated closest
    points (Besl and McKay 1992, IEEE Transactions on Pattern Analysis and Machine Intelligence 14) with local moves.
    """
    real, moved = pool.rows[~pool.fake], pool.rows[pool.fake]
    around = squared_distances(moved).topk(min(TOGETHER, len(moved)), dim=1, largest=False).indices
    for _ in range(MOVES):
        near = cross_distances(moved, real).topk(min(VOTERS, len(real)), dim=1, largest=False).indices
        gaps = real[near].mean(1) - moved
        moved = moved + gaps[around].mean(1)
    aligned = pool.rows.clone()
    aligned[pool.fake] = moved
    return aligned


def _tree(distances: Tensor, method: str) -> NDArray[np.float64]:
    """SciPy's linkage of distances (N, N), (N - 1, 4)."""
    from scipy.cluster.hierarchy import linkage

    # Row by row, because an index of all pairs takes several times the memory and time.
    above = np.concatenate([row[place + 1 :] for place, row in enumerate(distances.numpy())], dtype=np.float64)
    tree: NDArray[np.float64] = linkage(above, method=method)
    return tree


def _diffused(pool: Pool) -> Tensor:
    """Where a random walk from each row ends, (N, `SKETCH`): rows with the same ends are one group.

    P(row -> neighbour) on the graph of each row's `WALKED` nearest rows, made symmetric; the rows of P^`STEPS`, each
    column over the root of its degree, are sketched by a random projection, which keeps their distances.
    """
    from scipy.sparse import csr_matrix, diags

    near = pool.nearest[1][:, :WALKED].numpy()
    count, k = near.shape
    ties = csr_matrix((np.ones(count * k), (np.arange(count).repeat(k), near.ravel())), shape=(count, count))
    ties = ties + ties.T
    degree = np.asarray(ties.sum(1))
    walk = diags(1 / degree.ravel()) @ ties
    ends: NDArray[np.float64] = np.random.default_rng(0).standard_normal((count, SKETCH)) / np.sqrt(degree)
    for _ in range(STEPS):
        ends = walk @ ends
    return torch.from_numpy(ends / np.abs(ends).max()).float()


def _directions(rows: Tensor) -> Tensor:
    """Rows of unit length; a row of zeros, which has no direction, gets one of its own kind."""
    length = rows.norm(dim=1, keepdim=True)
    along_first = torch.zeros_like(rows)
    along_first[:, 0] = 1.0
    return torch.where(length > 0, rows / length.clamp_min(1e-30), along_first)


def _branches(tree: NDArray[np.float64], count: int) -> Tensor:
    """Membership (branches, N) of all branches that are neither too small nor more than half."""
    least = max(SMALLEST_ROWS, int(np.ceil(SMALLEST_SHARE * count)))
    most = int(LARGEST_SHARE * count)
    rows: dict[int, NDArray[np.int64]] = {leaf: np.array([leaf]) for leaf in range(count)}
    found = []
    for number, (left, right) in enumerate(tree[:, :2].astype(np.int64)):
        joined = np.concatenate([rows.pop(int(left)), rows.pop(int(right))])
        rows[count + number] = joined
        if least <= len(joined) <= most:
            found.append(joined)
    members = torch.zeros(len(found), count)
    for branch, joined in enumerate(found):
        members[branch, torch.from_numpy(joined)] = 1.0
    return members
