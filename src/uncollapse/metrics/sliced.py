"""Sliced Wasserstein distance: squared optimal transport along many directions, freed of its bias."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.frechet_spread import Scatter
from uncollapse.metrics.inputs import CHUNK_NUMBERS, Features, Rows, both, check_level, chunks, seeded
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.pairs import EXACT_WORK, full_precision

# Random halvings of the rows.
HALVINGS = 8
# Blocks of directions whose means tell the spread over directions; with fewer, single directions do.
ENOUGH_BLOCKS = 10


def sliced_wasserstein(
    *,
    real: Rows,
    fake: Rows,
    projections: int = 1000,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Sliced squared Wasserstein distance of the populations, in the normalisation of MIND.

    3 d mean_u [W(u'X, u'Y) - V(u'X) - V(u'Y)] over unit directions u, with W the squared 2-Wasserstein distance on the
    line and V(x) = W(x1, x2) / 2 - W(x3, x4) / 8 what finite rows add to it: 1, 2 are random halves of a side and 3, 4
    quarters of it. Directions come in orthogonal blocks, which cancels much of
    their noise. Two Gaussians that differ by a shift D are 3 |D|^2 apart. The value may fall below 0 at equality.
    Reference: Bonneel et al. 2015 (sliced); 2026, arXiv:2605.06797 (MIND: the factor 3 d).

    Args:
        real: (n, d) feature rows.
        fake: (m, d) feature rows; n and m may differ.
        projections: Number of directions, rounded up to whole blocks of d where there are several.
        level: Nominal coverage; None for no interval.
        generator: Source of directions and halves; a fresh one of seed 0 when None.

    Returns:
        Squared feature units; 0 for equal distributions.

    Raises:
        UserError: Fewer than four rows a side, no projections, unequal widths, or rows that are not finite.
    """
    check_level(level)
    if projections < 1:
        raise UserError(f"projections must be at least 1, not {projections}; 1000 is usual.")
    sides = both(real, fake, least=4)
    draws = seeded(generator)
    slices = _Slices(sides, draws, wanted=level is not None)
    directions = orthogonal(sides[0].width, projections, draws)
    slices.add(torch.cat(directions))
    value, ends = slices.finish(level, block=len(directions[0]))
    return find_metric("sliced_wasserstein").estimate(
        value,
        ends,
        level=level,
        n_real=len(sides[0]),
        n_fake=len(sides[1]),
        details={"projections": sum(len(block) for block in directions)},
    )


def orthogonal(width: int, count: int, draws: torch.Generator) -> list[Tensor]:
    """At least `count` uniform unit directions in blocks (k, d) of orthonormal rows, k = min(d, count)."""
    # A line has one direction.
    count = 1 if width == 1 else count
    size = min(width, count)
    blocks = []
    for _ in range(math.ceil(count / size)):
        q, r = torch.linalg.qr(torch.randn(width, size, generator=draws, dtype=torch.float64))
        # The signs of R make the block uniform over all rotations.
        blocks.append((q * torch.where(r.diagonal() < 0, -1.0, 1.0)).T.contiguous())
    return blocks


def quantile_gaps(n: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where the two step quantile functions of n and m sorted numbers are constant together.

    Returns:
        Index into the n, index into the m, and width of every stretch of (0, 1).
    """
    ends = torch.unique(torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]))
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    return starts // m, starts // n, (ends - starts).double() / (n * m)


@dataclass(eq=False)
class _Slices:
    """Sums over directions."""

    sides: tuple[Features, Features]
    draws: torch.Generator
    wanted: bool
    values: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        work = float(max(len(side) for side in self.sides)) * self.sides[0].width
        exact = work * 1000 <= EXACT_WORK or any(side.x.dtype == torch.float64 for side in self.sides)
        self.dtype = torch.float64 if exact else torch.float32
        self.device = self.sides[0].x.device
        sizes = [len(side) for side in self.sides]
        self.stretches = [item.to(self.device) for item in quantile_gaps(*sizes)]
        self.codes = [_halvings(side, self.draws) for side in self.sides]
        self.spread = torch.zeros(HALVINGS, 2, dtype=torch.float64, device=self.device)
        self.variances: list[Tensor] = []
        self.influence = [torch.zeros(size, dtype=torch.float64, device=self.device) for size in sizes]

    def add(self, directions: Tensor) -> None:
        """Looks along some directions (k, d)."""
        size = max(1, CHUNK_NUMBERS // (4 * sum(len(side) for side in self.sides)))
        self.values += [self._along(part) for part in torch.split(directions.to(self.device), size)]

    def _along(self, directions: Tensor) -> Tensor:
        projected = [self._project(side, directions) for side in self.sides]
        (x, x_order), (y, y_order) = (rows.sort(1) for rows in projected)
        self.variances.append(x.double().var(1))
        i, j, widths = self.stretches
        whole = (x[:, i] - y[:, j]).double().square() @ widths
        noise = [self._halves(k, rows, order) for k, (rows, order) in enumerate(((x, x_order), (y, y_order)))]
        if self.wanted:
            for k, (mine, order, own, other, its) in enumerate(((x, x_order, i, j, y), (y, y_order, j, i, x))):
                self._move(k, mine, order, own, its[:, other])
        return whole - noise[0] - noise[1]

    def _project(self, side: Features, directions: Tensor) -> Tensor:
        """Positions along directions, (k, n), from the middle of the real rows."""
        directions = directions.to(self.dtype)
        with full_precision():
            parts = [
                (side.x[part].double() - self.sides[0].mean).to(self.dtype) @ directions.T
                for part in chunks(len(side), side.width)
            ]
        return torch.cat(parts).T.contiguous()

    def _halves(self, which: int, rows: Tensor, order: Tensor) -> Tensor:
        """What finite samples of a side add to the squared distance, per direction, from sorted rows.

        For halves a quarter of their squared distance. That times n still grows like log log n, so the step from
        quarters to halves is taken once more.
        """
        code, total = self.codes[which][order], torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
        for k in range(HALVINGS):
            group = (code >> (3 * k)) & 7
            chosen = ((group > 0) & (group < 3), group > 2, group == 1, group == 2, group == 3, group == 4)
            parts = [rows[mask].view(len(rows), -1) for mask in chosen]
            apart = _gap(parts[0], parts[1]) / 4
            self.spread[k, which] += apart.sum()
            total += 2 * apart - (_gap(parts[2], parts[3]) + _gap(parts[4], parts[5])) / 16
        # Rows left over make the parts a little smaller than a half and a quarter.
        return total / HALVINGS * (4 * (rows.shape[1] // 4) / rows.shape[1])

    def _move(self, which: int, mine: Tensor, order: Tensor, own: Tensor, target: Tensor) -> None:
        """Adds what each row of a side does to the distance: the potential of the optimal transport on the line."""
        widths = self.stretches[2].to(mine.dtype)
        sent = torch.zeros_like(mine).index_add_(1, own, target * widths) * mine.shape[1]
        step = (mine - sent).double()
        pieces = (step[:, 1:] + step[:, :-1]) * (mine[:, 1:] - mine[:, :-1]).double()
        potential = torch.cat([pieces.new_zeros(len(mine), 1), pieces.cumsum(1)], 1)
        potential -= potential.mean(1, keepdim=True)
        self.influence[which].index_add_(0, order.flatten(), potential.flatten())

    def finish(self, level: float | None, *, block: int) -> tuple[float, tuple[float, float]]:
        """The number and its interval; directions came in orthogonal blocks of so many."""
        values = torch.cat(self.values)
        scale, count = 3 * self.sides[0].width, len(values)
        value = scale * float(values.mean())
        if level is None:
            return value, (value, value)
        sizes = [len(side) for side in self.sides]
        linear = sum(float((moved * (scale / count)).var()) / n for moved, n in zip(self.influence, sizes, strict=True))
        own = float((self.spread * (scale / count)).var(0).sum())
        # The halvings show the second order of each side alone; (1/n + 1/m)^2 adds that of pairs across.
        curved = own * sum(1 / n for n in sizes) ** 2 / sum(1 / n**2 for n in sizes)
        # Going on from quarters to halves doubles the noise of the halvings.
        chance = 4 * own / HALVINGS + scale**2 * _mean_noise(values, block)
        scatter = Scatter(linear=linear + chance, curved=curved + chance, bias=0.0, slope=0.0, freedom=self._freedom())
        low, high = scatter.around(value, level)
        # The population value is never below 0: the interval need not reach there.
        return value, (max(low, 0.0), max(high, 0.0))

    def _freedom(self) -> float:
        """How many equal squares the number is like at equality: three on a line, more in many even directions.

        The effective number of features, (tr S)^2 / tr S^2, shows in how the variance differs between directions.
        """
        variances, d = torch.cat(self.variances), self.sides[0].width
        middle = float(variances.mean())
        uneven = float(variances.var()) / middle**2 if len(variances) > 1 and middle > 0 else 0.0
        return 1 + 1.5 * d / (1 + uneven * (d + 2) / 2)


def _mean_noise(values: Tensor, block: int) -> float:
    """Variance of the mean over directions: between blocks where there are many, else as if all were independent."""
    groups = values.view(-1, block).mean(1) if len(values) >= ENOUGH_BLOCKS * block else values
    return float(groups.var()) / len(groups) if len(groups) > 1 else 0.0


def _gap(first: Tensor, second: Tensor) -> Tensor:
    """Squared distance of equally many sorted numbers, per direction."""
    return (first - second).double().square().mean(1)


def _halvings(side: Features, draws: torch.Generator) -> Tensor:
    """Random quarters of the rows, 1 to 4, 0 for left out, in three bits for each halving; int32 (n,).

    Quarters 1 and 2 are one half and 3 and 4 the other.
    """
    codes = torch.zeros(len(side), dtype=torch.int32)
    for k in range(HALVINGS):
        quarters = torch.randperm(len(side), generator=draws)[: 4 * (len(side) // 4)].view(4, -1)
        for group, chosen in enumerate(quarters, start=1):
            codes[chosen] += group << (3 * k)
    placed = torch.empty_like(codes, device=side.x.device)
    placed[side.order] = codes.to(side.x.device)
    return placed
