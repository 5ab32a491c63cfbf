"""Repeats among the fakes: how many are not unique, and how large a support the collisions speak of.

Identical rows are found by their keys; rows within a tolerance by the one walk over pairs.
"""

from __future__ import annotations

import math

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import betaincinv, chdtri, ndtri
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Features, Rows, as_features, check_alike, check_level, is_number
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.neighbours import exact_squared, rounding
from uncollapse.metrics.pairs import Pair, Side, Tile
from uncollapse.metrics.share_intervals import share_ends

STRIP_ROWS = 256


def duplicates(*, fake: Rows, real: Rows | None = None, tolerance: float = 0.0, level: float | None = 0.95) -> Estimate:
    """Share of fakes that have another fake within a tolerance, in [0, 1]; 0 for a continuous distribution.

    (1/M) sum_j 1[min_{i != j} d(y_i, y_j) <= tolerance].

    Args:
        fake: (M, d) feature rows.
        real: (N, d) rows whose own share is put into the details, to compare.
        tolerance: Largest distance of rows that count as repeats, in units of the features; 0 for identical rows.
        level: Nominal coverage of the interval; None for no interval.

    Raises:
        UserError: As `Features`, or a tolerance that is negative or not finite.
    """
    check_level(level)
    side = as_features(fake, name="fake")
    found = repeats(side, tolerance)
    details = {"tolerance": tolerance, **_groups(found)}
    other = None
    if real is not None:
        other = as_features(real, name="real")
        check_alike(other, side)
        details["real_share"] = float((repeats(other, tolerance)[0] > 0).double().mean())
    n, degree = len(side), found[0]
    value = float((degree > 0).double().mean())
    ends = (None, None) if level is None else _share_ends(degree, level)
    return find_metric("duplicates").estimate(
        value, ends, level=level, n_real=None if other is None else len(other), n_fake=n, details=details
    )


def birthday(*, fake: Rows, tolerance: float = 0.0, level: float | None = 0.95) -> Estimate:
    """How many distinct fakes the generator can make, from how often two fakes are alike.

    M (M - 1) / (2 C) for C colliding pairs: it estimates 1 / sum p^2, the number of outcomes of a uniform distribution
    that collides as often. Reference: Arora and Zhang 2017, arXiv:1706.08224.

    Args:
        fake: (M, d) feature rows.
        tolerance: Largest distance of rows that collide, in units of the features; 0 for identical rows.
        level: Nominal coverage of the interval; None for no interval.

    Raises:
        UserError: As `Features`, or a tolerance that is negative or not finite.
    """
    check_level(level)
    side = as_features(fake, name="fake")
    degree, _ = repeats(side, tolerance)
    n, collisions = len(side), int(degree.sum()) // 2
    pairs = n * (n - 1) / 2
    details = {"tolerance": tolerance, "collisions": collisions}
    metric = find_metric("birthday")
    if collisions == 0:
        # One end only: were a collision more likely, none at all would be rarer than 1 - level.
        sure = level or 0.95
        least = _least_support(degree, 1 - sure)
        reason = f"no two of {n:,} fakes are alike; the support is at least {least:,.0f} at the {100 * sure:g} % level"
        low = None if level is None else max(metric.low, least)
        return metric.estimate(None, level=level, n_fake=n, reason=reason, details=details, low=low)
    value = pairs / collisions
    ends = (None, None) if level is None else _support_ends(degree, value, level)
    return metric.estimate(value, ends, level=level, n_fake=n, details=details)


def check_tolerance(tolerance: float) -> None:
    """Refuses what is no distance.

    Raises:
        UserError: It is negative, not finite or not a number.
    """
    if not (is_number(tolerance) and 0 <= tolerance < math.inf):
        raise UserError(f"tolerance must be 0 (identical rows) or a positive distance, not {tolerance!r}.")


def repeats(side: Features, tolerance: float) -> tuple[Tensor, Tensor]:
    """For each ordered row how many others are within the tolerance, and the group it is linked to, int64 (n,) each.

    Raises:
        UserError: A tolerance that is negative or not finite.
    """
    check_tolerance(tolerance)
    if tolerance == 0:
        _, group, counts = torch.unique(side.keys[side.order], return_inverse=True, return_counts=True)
        return counts[group] - 1, group
    pair = Pair(side, side)
    within = Within(pair, "real", tolerance)
    pair.walk([within])
    return within.degree, within.group


class Within:
    """Visitor that links the rows of one side that are within a distance of each other.

    Attributes:
        sides: The side.
        degree: Other rows within the distance of each row, int64 (n,).
        group: Label of the linked rows each row belongs to, int64 (n,).
    """

    def __init__(self, pair: Pair, side: Side, tolerance: float) -> None:
        """Starts with every row alone."""
        self.sides, self.pair, self.limit = (side,), pair, tolerance**2
        self.rows = pair.fake if side == "fake" else pair.real
        self.degree = torch.zeros(len(self.rows), dtype=torch.int64, device=self.rows.x.device)
        self.group = torch.arange(len(self.rows), device=self.rows.x.device)

    def visit(self, tile: Tile) -> None:
        """Takes one tile in strips, as all its rows may be linked; pairs within rounding are decided exactly."""
        error = rounding(tile.squared.dtype, self.rows.width)
        for top in range(0, len(tile.squared), STRIP_ROWS):
            part = slice(top, min(top + STRIP_ROWS, len(tile.squared)))
            slack = error * (tile.row_norms[part, None] + tile.column_norms)
            row, column = (tile.squared[part] - slack <= self.limit).nonzero(as_tuple=True)
            i, j = row + tile.rows.start + top, column + tile.columns.start
            # Each pair once: the diagonal tile shows it twice, and a row is no repeat of itself.
            once = i < j
            row, column, i, j = row[once], column[once], i[once], j[once]
            linked = tile.squared[part][row, column] + slack[row, column] <= self.limit
            doubtful = (~linked).nonzero()[:, 0]
            linked[doubtful] = exact_squared(self.rows, i[doubtful], self.rows, j[doubtful]) <= self.limit
            self._link(i[linked], j[linked])

    def _link(self, i: Tensor, j: Tensor) -> None:
        if not len(i):
            return
        n = len(self.group)
        self.degree += torch.bincount(i, minlength=n) + torch.bincount(j, minlength=n)
        one, other = self.group[i].cpu().numpy(), self.group[j].cpu().numpy()
        graph = coo_array(([True] * len(one), (one, other)), shape=(n, n))
        _, label = connected_components(graph, directed=False)
        self.group = torch.from_numpy(label).to(self.group)[self.group]


def _groups(found: tuple[Tensor, Tensor]) -> dict[str, int]:
    degree, group = found
    sizes = torch.bincount(group)
    sizes = sizes[sizes > 1]
    return {
        "groups": len(sizes),
        "largest_group": int(sizes.max()) if len(sizes) else 1,
        "colliding_pairs": int(degree.sum()) // 2,
    }


def _share_ends(degree: Tensor, level: float) -> tuple[float, float]:
    """Interval of the share of rows that are not alone.

    The variance is that of the number of singletons, from how many rows have no, one and two others: for species with
    Poisson numbers, given their total, f1 - sum (m exp(-m))^2 - (f1 - 2 f2)^2 / n, where the sum is at least
    2 f2 - 6 f3.
    """
    n, quantile = len(degree), float(ndtri(0.5 + level / 2))
    alone, paired, triple = (int((degree == count).sum()) for count in range(3))
    variance = alone - max(0, paired - 2 * triple) - (alone - paired) ** 2 / n
    value = 1 - alone / n
    # Repeats come at least in twos: where none or only such are seen, n / 2 independent rows speak, not n.
    rows = n if 0 < value < 1 else max(1, n // 2)
    return share_ends(value, value, max(0.0, variance) / n**2, rows, quantile)


def _support_ends(degree: Tensor, value: float, level: float) -> tuple[float, float]:
    """Interval of the support, on logarithms: exact Poisson for pairs, the U-statistic's variance for rows."""
    n, tail = len(degree), (1 - level) / 2
    collisions, pairs = int(degree.sum()) / 2, n * (n - 1) / 2
    share, quantile = collisions / pairs, float(ndtri(1 - tail))
    fewest, most = float(chdtri(2 * collisions, 1 - tail)) / 2, float(chdtri(2 * collisions + 2, tail)) / 2
    # What differs between rows beyond the scatter of the pairs themselves.
    of_rows = float((degree / (n - 1)).double().var()) - share * (1 - share) / (n - 1)
    relative = quantile * 2 * math.sqrt(max(0.0, of_rows) / n) / share
    up = math.hypot(math.log(most / collisions), relative)
    down = math.hypot(math.log(collisions / fewest), relative)
    # A rare outcome that was not seen: below this share it would have stayed unseen.
    unseen = -2 * math.log(tail) / n
    return min(value * math.exp(-up), _least_support(degree, tail)), value * math.exp(max(down, unseen))


def _least_support(degree: Tensor, tail: float) -> float:
    """The support if one common outcome made all collisions and the rows happened upon it seldom.

    1 / p^2, where a share p shows as often as the commonest outcome seen, or less often, with a chance of `tail`
    (Clopper-Pearson). Of all distributions with the same 1 / sum p^2 that with a single common outcome hides its
    collisions best: no pair among M rows has the chance (1 - p)^M + M p (1 - p)^(M - 1), where even outcomes have
    exp(-p^2 M^2 / 2), because log(1 + x) - x is convex in x^2 for the expected hits x = M p.
    """
    n, most = len(degree), int(degree.max()) + 1
    share = 1.0 if most == n else float(betaincinv(most + 1, n - most, 1 - tail))
    return 1 / share**2
