"""The rows of both sides as one pool, and the random exchanges of sides that say what chance alone does.

Whatever is learned from the rows before a statistic is computed (components, clusters, neighbours) is learned from the
pool without its sides. If both sides come from one distribution, every assignment of sides is then equally likely, and
the share of assignments with a larger statistic is an exact p-value. Reference: Good 2005, Permutation, Parametric and
Bootstrap Tests of Hypotheses.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from uncollapse.metrics.inputs import Features, common_keys
from uncollapse.verdict.mixture import choose, quotas_of

# Rows a side that are looked at closely: pairs of rows grow with the square.
MOST = 2_500
COMPONENTS = 64
ASSIGNMENTS = 999
NEAREST = 20
# Times the distance of three quarters of the rows from their median at which a row counts as one that exploded.
FAR = 1_000.0


class Pool:
    """Rows of both sides, projected on their leading components, and assignments of sides to them.

    Attributes:
        rows: (N, q) float32, centred and projected; ordered by content, so that the order of files
            changes nothing.
        fake: bool (N,), whether a row is fake.
        number: int64 (N,), the row's number within its side, as given.
        sides: float32 (1 + assignments, N), 1 for fake; the first row is the observed one.
    """

    def __init__(
        self,
        real: Features,
        fake: Features,
        *,
        generator: torch.Generator,
        assignments: int = ASSIGNMENTS,
        classes: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Chooses at most `MOST` rows a side, projects them and draws the assignments.

        Args:
            real: Real rows.
            fake: Fakes.
            generator: Source of all draws.
            assignments: How many.
            classes: Class of every row of each side, int64 (n,) and (m,), where both sides shall have one mixture of
                classes: then of each class only so many rows are drawn.
        """
        quotas = (None, None) if classes is None else quotas_of(*classes)
        chosen = [
            choose(side.order, generator, most=MOST, quota=quota)
            for side, quota in zip((real, fake), quotas, strict=True)
        ]
        rows = torch.cat([side.x[index].double().cpu() for side, index in zip((real, fake), chosen, strict=True)])
        is_fake = torch.arange(len(rows)) >= len(chosen[0])
        keys = torch.cat([key[index].cpu() for key, index in zip(common_keys(real, fake), chosen, strict=True)])
        # Identical rows must not be ordered by their sides, or neighbours among them would know the sides.
        mixed = torch.randperm(len(keys), generator=generator)
        order = mixed[torch.argsort(keys[mixed], stable=True)]
        self.fake, self.number = is_fake[order], torch.cat([index.cpu() for index in chosen])[order]
        self.rows = _project(drawn_in(rows[order]))
        self.sides = self._assignments(assignments, generator)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_fake(self) -> int:
        """Fakes in the pool."""
        return int(self.fake.sum())

    @property
    def n_real(self) -> int:
        """Real rows in the pool."""
        return len(self) - self.n_fake

    def _assignments(self, count: int, generator: torch.Generator) -> Tensor:
        observed = self.fake.float()[None]
        drawn = torch.rand(count, len(self), generator=generator, dtype=torch.float64)
        limit = drawn.kthvalue(self.n_fake, dim=1, keepdim=True).values
        return torch.cat([observed, (drawn <= limit).float()])

    @cached_property
    def squared(self) -> Tensor:
        """Squared distances of all pairs, float32 (N, N); the diagonal is infinite."""
        return squared_distances(self.rows).fill_diagonal_(torch.inf)

    @cached_property
    def nearest(self) -> tuple[Tensor, Tensor]:
        """Squared distances to each row's nearest other rows, at most `NEAREST`, nearest first, and their index."""
        index = self.squared.topk(min(NEAREST, len(self) - 1), dim=1, largest=False).indices
        # Products round, and copies must have distance 0: few distances are worth their differences.
        exact = torch.stack([(self.rows[column] - self.rows).square().sum(1) for column in index.T], 1)
        ranked = torch.sort(exact, dim=1, stable=True)
        return ranked.values, index.gather(1, ranked.indices)

    def numbers(self, index: Tensor, *, fake: bool) -> tuple[int, ...]:
        """The numbers, within one side, of some of the pool's rows."""
        kept = index[self.fake[index] == fake]
        return tuple(int(number) for number in self.number[kept])


def squared_distances(rows: Tensor) -> Tensor:
    """Squared distances of all pairs of rows, (N, N), at least 0."""
    return cross_distances(rows, rows)


def cross_distances(left: Tensor, right: Tensor) -> Tensor:
    """Squared distances of each left row to each right row, at least 0."""
    norms = left.square().sum(1)[:, None] + right.square().sum(1)
    squared: Tensor = torch.addmm(norms, left, right.T, alpha=-2).clamp_min_(0)
    return squared


def drawn_in(rows: Tensor) -> Tensor:
    """Rows (N, d) with those that exploded nearer to the others, at 1 + log(1 + log(r / far)) times the distance `FAR`.

    A single row a million times as far out as the others would be all that a mean, a principal component or a number of
    limited precision still tells of them. Distances from the median that are not far stay, and so does every order of
    them; which side a row is on plays no part.
    """
    rows = rows / rows.abs().max().clamp_min(1e-300)
    away = rows - rows.median(0).values
    lengths = away.square().sum(1).sqrt()
    far = FAR * float(torch.quantile(lengths, 0.75))
    if not 0 < far < float(lengths.max()):
        return rows
    ratio = (lengths / far).clamp_min(1)
    return rows - away + away * ((1 + ratio.log().log1p()) / ratio)[:, None]


def _project(rows: Tensor) -> Tensor:
    """Rows (N, d) centred and on their leading `COMPONENTS` principal components, float32, ordered by variance.

    They are divided by their largest number first, so that no square overflows; no question depends on the scale.
    """
    rows = rows / rows.abs().max().clamp_min(1e-300)
    centred = rows - rows.mean(0)
    centred = centred / centred.abs().max().clamp_min(1e-300)
    width, count = rows.shape[1], len(rows)
    if width <= count:
        _, axes = torch.linalg.eigh(centred.T @ centred)
        axes = axes.flip(1)[:, :COMPONENTS]
    else:
        _, _, axes_t = torch.linalg.svd(centred, full_matrices=False)
        axes = axes_t.T[:, :COMPONENTS]
    projected: Tensor = (centred @ axes).float()
    return projected


def p_value(statistics: Tensor) -> float:
    """Share of assignments (the observed one counts) whose statistic is at least the observed, first one."""
    # Sums in another order differ in their last digits, and a tie is not smaller.
    limit = statistics[0] - 1e-6 * statistics[0].abs()
    return float((statistics >= limit).double().mean())
