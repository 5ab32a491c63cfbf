"""Which rows to show: real ones that the generator never comes near, fakes that repeat, clusters made too rarely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from uncollapse.evaluation.sides import Side
from uncollapse.metrics.intervals import wilson
from uncollapse.verdict.judge import ALPHA, holm
from uncollapse.verdict.mixture import choose, quotas_of
from uncollapse.verdict.pool import ASSIGNMENTS, cross_distances, p_value
from uncollapse.verdict.question import percent, reaches

# Rows a side that are looked at, neighbours that make a real row's ball, and groups that are shown.
LOOKED_AT, NEIGHBOURS, MOST_GROUPS, ROWS_PER_GROUP = 4_000, 5, 6, 8
# Rows whose distances, and exchanges whose counts, are looked at together.
BLOCK, PART = 512, 100


@dataclass(frozen=True, kw_only=True)
class Uncovered:
    """Real rows that no fake comes near.

    Attributes:
        groups: Numbers of the real rows, the largest group first, the row farthest from all fakes first; only so many
            groups as hold more rows than a perfect generator would leave too, but at least one.
        found: Groups before that cut.
        rows: Real rows in all of them.
        share: Share of the real rows looked at.
        expected: The share that a perfect generator would leave.
        looked_at: Real rows looked at.
        of: Real rows there are.
        p_value: Chance that a perfect generator leaves as large a share.
        beyond_chance: Whether that chance is at most the level.
    """

    groups: tuple[tuple[int, ...], ...]
    found: int
    rows: int
    share: float
    expected: float
    looked_at: int
    of: int
    p_value: float
    beyond_chance: bool

    @property
    def sentence(self) -> str:
        """The answer for people."""
        some = f" ({self.looked_at:,} of {self.of:,} were looked at)" if self.looked_at < self.of else ""
        unsure = self.share > self.expected and not self.beyond_chance
        chance = ", and chance may explain the rest" if unsure else ""
        return (
            f"{percent(self.share)} of the real rows have no fake as near as their {NEIGHBOURS}th real neighbour"
            f"{some}; a perfect generator leaves {percent(self.expected)}{chance}."
        )

    def to_json(self) -> dict[str, Any]:
        """All but the row numbers."""
        told = {key: value for key, value in asdict(self).items() if key not in ("groups", "found", "of")}
        return {**told, "groups": self.found, "sentence": self.sentence}


def uncovered(
    real: Side, fake: Side, *, seed: int, alpha: float = ALPHA, classes: tuple[Tensor, Tensor] | None = None
) -> Uncovered:
    """The real rows whose ball to their fifth nearest real row holds no fake, in groups of like rows.

    Args:
        real: Real rows.
        fake: Fakes.
        seed: Of the choice of rows, where there are many, and of the exchanges behind the p-value.
        alpha: From which p-value on so many rows are more than a perfect generator leaves.
        classes: Class of every row of each side, where both shall be looked at in one mixture of classes.
    """
    draws = torch.Generator().manual_seed(seed)
    quotas = (None, None) if classes is None else quotas_of(*classes)
    numbers, fakes = (
        choose(torch.from_numpy(side.order), draws, most=LOOKED_AT, quota=quota)
        for side, quota in zip((real, fake), quotas, strict=True)
    )
    centre = real.checked.mean.cpu()
    # Differences of moderate size, whatever the unit: squares of float32 end at 1e38 and begin at 1e-38.
    scale = max(_reach(real, numbers, centre), _reach(fake, fakes, centre)) or 1.0
    rows, others = real.centred(numbers, centre, scale), fake.centred(fakes, centre, scale)
    near = _near(rows, others, draws)
    lonely = (near.gap > near.radius).nonzero()[:, 0]
    n, m = len(rows), len(others)
    expected = float(np.prod([(n - 1 - i) / (n + m - 1 - i) for i in range(NEIGHBOURS)]))
    chance = _chance(near, draws, max(ASSIGNMENTS, math.ceil(10 / alpha)))
    groups = [_ordered(group, near.gap, numbers) for group in _groups(rows[lonely], lonely)]
    shown = beyond_chance([len(group) for group in groups], expected * n)
    return Uncovered(
        groups=tuple(groups[:shown]), found=len(groups), rows=len(lonely), share=len(lonely) / n, expected=expected,
        looked_at=n, of=len(real), p_value=chance, beyond_chance=len(lonely) / n > expected and reaches(chance, alpha),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Near:
    """What lies near the rows of both sides.

    Attributes:
        gap: Squared distance of each real row to its nearest fake, (n,).
        radius: Squared distance of each real row to its fifth nearest real row, (n,).
        fake: Whether each row of the pool, which is in a random order, is a fake, bool (N,).
        index: The nearest rows of each row of the pool, within the pool, (N, `NEIGHBOURS`).
    """

    gap: Tensor
    radius: Tensor
    fake: Tensor
    index: Tensor


def _near(rows: Tensor, others: Tensor, draws: torch.Generator) -> _Near:
    """Neighbours of real rows (n, d) and fakes (m, d); in a random order, so that ties know nothing of the sides."""
    n = len(rows)
    mixed = torch.randperm(n + len(others), generator=draws)
    pool, fake = torch.cat([rows, others])[mixed], mixed >= n
    gap, radius, index = torch.empty(len(pool)), torch.empty(len(pool)), []
    for part in torch.split(torch.arange(len(pool)), BLOCK):
        apart = cross_distances(pool[part], pool)
        apart[torch.arange(len(part)), part] = torch.inf
        index.append(apart.topk(min(NEIGHBOURS, len(pool) - 1), dim=1, largest=False).indices)
        own = part[~fake[part]]
        apart = apart[~fake[part]]
        radius[own] = apart[:, ~fake].topk(min(NEIGHBOURS, n - 1), dim=1, largest=False).values[:, -1]
        gap[own] = apart[:, fake].min(1).values
    place = torch.empty_like(mixed)
    place[mixed] = torch.arange(len(mixed))
    return _Near(gap=gap[place[:n]], radius=radius[place[:n]], fake=fake, index=torch.cat(index))


def _chance(near: _Near, draws: torch.Generator, assignments: int) -> float:
    """Chance that random exchanges of sides leave as many real rows whose nearest rows are real ones alone.

    Under an exchange the neighbours stay, and only their sides change.
    """
    count = int(near.fake.sum())
    statistics = [_alone(~near.fake[None], near.index)]
    for first in range(0, assignments, PART):
        drawn = torch.rand(min(PART, assignments - first), len(near.fake), generator=draws, dtype=torch.float64)
        real = drawn > drawn.kthvalue(count, dim=1, keepdim=True).values
        statistics.append(_alone(real, near.index))
    return p_value(torch.cat(statistics).double())


def _alone(real: Tensor, index: Tensor) -> Tensor:
    """How many real rows have real rows alone as neighbours, for some assignments, bool (P, N) to (P,)."""
    alone = real.clone()
    for column in index.T:
        alone &= real[:, column]
    return alone.sum(1)


def beyond_chance(sizes: Sequence[int], expected: float) -> int:
    """How many of the largest groups it takes until what is left is no more than chance leaves; at least one.

    >>> beyond_chance([99, 92, 18, 15, 8, 5], 62), beyond_chance([40, 20], 62), beyond_chance([], 62)
    (2, 1, 0)
    """
    left = sum(sizes)
    for number, size in enumerate(sizes, start=1):
        left -= size
        if left <= expected:
            return number
    return len(sizes)


def _reach(side: Side, numbers: Tensor, centre: Tensor) -> float:
    """The largest distance of a number from the centre."""
    parts = torch.split(numbers, BLOCK)
    return max(float((side.checked.x[part].cpu().double() - centre).abs().max()) for part in parts)


def _groups(rows: Tensor, index: Tensor) -> list[Tensor]:
    """Rows cut into at most `MOST_GROUPS` groups by Ward's tree, the largest first."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(rows) < 2 * ROWS_PER_GROUP:
        return [index] if len(rows) else []
    wanted = min(MOST_GROUPS, len(rows) // ROWS_PER_GROUP)
    label = torch.from_numpy(fcluster(linkage(rows.double().numpy(), "ward"), wanted, "maxclust").astype(np.int64))
    groups = [index[label == g] for g in range(1, int(label.max()) + 1)]
    return sorted(groups, key=len, reverse=True)


def _ordered(group: Tensor, distance: Tensor, numbers: Tensor) -> tuple[int, ...]:
    far = distance[group].argsort(descending=True, stable=True)
    return tuple(int(number) for number in numbers[group[far]])


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A part of the pooled rows.

    Attributes:
        name: Its name.
        real: Numbers of its real rows.
        fake: Numbers of its fakes.
        share_real: Share of the real rows looked at.
        share_fake: Share of the fakes looked at.
        low: Lower end of the interval of share_fake / share_real.
        high: Upper end; None where no real row is in it.
        p_adjusted: Of equal shares, corrected over the clusters.
        state: "starved", "over-fed" or "even".
    """

    name: str
    real: tuple[int, ...]
    fake: tuple[int, ...]
    share_real: float
    share_fake: float
    low: float | None
    high: float | None
    p_adjusted: float
    state: str


def clusters(parts: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], *, alpha: float) -> list[Cluster]:
    """The parts with their shares: those made too rarely first, the most lost first, then the over-fed, then others.

    The p-value is that of two shares (normal approximation with continuity correction), corrected by Holm; the interval
    of the ratio joins Wilson's intervals of both shares. Reference: Donner and Zou 2012, Statistical Methods in Medical
    Research 21.

    Args:
        parts: Numbers of the real rows and of the fakes of each part.
        alpha: From which corrected p-value on a part is called starved or over-fed.
    """
    n, m = (sum(len(part[side]) for part in parts) for side in (0, 1))
    p = holm([_two_shares(len(real), n, len(fake), m) for real, fake in parts])
    found = []
    for number, ((real, fake), chance) in enumerate(zip(parts, p, strict=True), start=1):
        shares = len(real) / n, len(fake) / m
        low, high = ratio_interval(len(real), n, len(fake), m)
        state = "even" if chance > alpha else "starved" if shares[1] < shares[0] else "over-fed"
        found.append(
            Cluster(
                name=f"cluster {number}", real=real, fake=fake, share_real=shares[0], share_fake=shares[1], low=low,
                high=high, p_adjusted=chance, state=state,
            )
        )  # fmt: skip
    rank = {"starved": 0, "over-fed": 1, "even": 2}
    return sorted(found, key=lambda c: (rank[c.state], -abs(c.share_real - c.share_fake)))


def _two_shares(real: int, n: int, fake: int, m: int) -> float:
    both = (real + fake) / (n + m)
    error = np.sqrt(both * (1 - both) * (1 / n + 1 / m))
    if error == 0:
        return 1.0
    gap = max(0.0, abs(real / n - fake / m) - (1 / n + 1 / m) / 2)
    return float(2 * norm.sf(gap / error))


def ratio_interval(real: int, n: int, fake: int, m: int) -> tuple[float | None, float | None]:
    """Interval (95 %) of (fake / m) / (real / n), from Wilson's intervals of both shares; None without real rows.

    Reference: Donner and Zou 2012, Statistical Methods in Medical Research 21 (MOVER-R).
    """
    if not real:
        return None, None
    p, q = real / n, fake / m
    (p_low, p_high), (q_low, q_high) = wilson(real, n), wilson(fake, m)
    low, far = q_low * (2 * q - q_low), p_high * (2 * p - p_high)
    high, near = q_high * (2 * q - q_high), p_low * (2 * p - p_low)
    below = q * p + math.sqrt(max(0.0, (q * p) ** 2 - low * far))
    above = q * p + math.sqrt(max(0.0, (q * p) ** 2 - high * near))
    return max(0.0, low) / below if below else 0.0, above / near
