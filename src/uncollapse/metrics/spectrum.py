"""Eigenvalues of cosine similarities, the effective number they make, and how much it varies from sample to sample.

The variance is that of a smooth function of the second moments S of the unit rows, to second order: the derivative
gives the part of single rows, the second derivative the part of pairs, which is all there is when no row is special
(balanced modes, directions without preference). Reference: von Mises 1947, Annals of Mathematical Statistics 18.
"""

from __future__ import annotations

import math

import torch
from scipy.stats import binom
from torch import Tensor

from uncollapse.metrics.bures import eigh, eigvalsh
from uncollapse.metrics.inputs import Features, chunks
from uncollapse.metrics.kernel_functions import unit_lengths
from uncollapse.metrics.moments import square
from uncollapse.metrics.pair_sums import LEAST_FOR_SPREAD, total_variance
from uncollapse.metrics.pairs import EXACT_WORK, full_precision

# Rows from which the variance of single rows is estimated, and pairs from which that of the pairs alone is.
ENOUGH_ROWS, PAIRS = 4_096, 2_000
# Size from which eigenvectors are found in float32.
LARGE = 512
# Share of the largest eigenvalue below which one is rounding, by precision of the rows.
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-6}


class Spectrum:
    """The eigenvalues of K / n and the effective number of order q.

    Attributes:
        order: q.
        shares: Eigenvalues above rounding (r,), float64, summing to 1.
        value: exp of the entropy of order q of the shares.
        first: What of it single rows show alone, which vanishes where all directions are used alike.
        error: Standard error of the logarithm of `value` over fresh samples of the same n; NaN when not known.
    """

    def __init__(self, rows: Tensor | UnitRows, order: float, *, spread: bool) -> None:
        """Decomposes the smaller of the n x n similarities and the d x d second moments.

        Args:
            rows: Unit rows (n, d).
            order: q.
            spread: Whether `error` is wanted.
        """
        self.order, self._rows = order, rows
        self._tall = len(rows) > rows.shape[1]
        moments = _moments(rows if self._tall else rows[:].T)
        if not self._tall:
            moments *= rows.shape[1] / len(rows)
        wanted = spread and order > 0 and len(rows) >= LEAST_FOR_SPREAD
        self._basis: Tensor | None = None
        if wanted:
            shares, self._basis = decompose(moments)
        else:
            shares = eigvalsh(moments)
        kept = shares > ROUNDING[rows.dtype] * shares.max()
        self.shares = shares[kept] / shares[kept].sum()
        if self._basis is not None:
            self._basis = self._basis[:, kept]
        self.value = math.exp(self._entropy())
        self.error = self.first = math.nan
        if wanted and not self.one_direction:
            self.error, self.first = (math.sqrt(variance) for variance in self._variances())

    @property
    def one_direction(self) -> bool:
        """Whether all rows point the same way (or opposite), so that no spread was seen."""
        return len(self.shares) == 1 or self.value < 1 + 1e-9

    def _entropy(self) -> float:
        if math.isinf(self.order):
            return -math.log(float(self.shares.max()))
        if self.order == 1:
            return float(torch.special.entr(self.shares).sum())
        return math.log(float(self.shares.pow(self.order).sum())) / (1 - self.order)

    def _coordinates(self, rows: Tensor) -> Tensor:
        """Some rows in the basis of the eigenvectors."""
        assert self._basis is not None
        if self._tall:
            return (self._rows[rows] @ self._basis.to(self._rows.dtype)).double()
        return self._basis[rows].double() * (self.shares * len(self._rows)).sqrt()

    def _slope(self) -> tuple[Tensor, float]:
        """Weights f and factor c such that a row z moves the entropy by c (sum_k f_k z_k^2 - its mean)."""
        if math.isinf(self.order):
            top = (self.shares == self.shares.max()).double()
            return top / top.sum() / self.shares.max(), -1.0
        if self.order == 1:
            return self.shares.log(), -1.0
        total = float(self.shares.pow(self.order).sum())
        return self.shares.pow(self.order - 1), self.order / (1 - self.order) / total

    def _variances(self) -> tuple[float, float]:
        """Of the entropy: in all, and to first order."""
        n = len(self._rows)
        weights, factor = self._slope()
        some = self._coordinates(_some_rows(n).to(self._rows.device))
        single = some.square() @ weights
        naive = factor**2 * float(single.var()) / n
        if math.isinf(self.order):
            return naive, naive
        pairs = float(self._second(some[:PAIRS], single[:PAIRS]).square().mean()) / (2 * n * n)
        return total_variance(naive, pairs), naive

    def _second(self, rows: Tensor, single: Tensor) -> Tensor:
        """Second derivative of the entropy for some pairs of rows, less what each of the two rows explains."""
        weights, factor = self._slope()
        assert self._basis is not None
        divided = _divided(self.shares, weights, self.order).to(self._basis.dtype)
        count, found = len(rows), []
        for turn in range(1, min(count, 1 + math.ceil(PAIRS / count))):
            joint = rows * rows.roll(turn, 0)
            both = ((joint.to(divided.dtype) @ divided) * joint).sum(1)
            if self.order == 1:
                found.append(1 - both)
                continue
            total = float(self.shares.pow(self.order).sum())
            first, second = single - total, single.roll(turn) - total
            curve = both - (self.order - 1) * (first + second + total)
            found.append(factor * (curve - self.order * first * second / total))
        return torch.cat(found)


class UnitRows:
    """The ordered rows of a side scaled to length 1, made where they are asked for: memory holds none of them.

    Attributes:
        shape: (n, d).
        dtype: float64 when that is cheap or the type of the data, else float32.
        device: Where the rows are.
    """

    def __init__(self, side: Features, lengths: Tensor, chosen: Tensor | None = None) -> None:
        """Takes rows and their lengths.

        Args:
            side: The rows as given.
            lengths: Of the ordered rows (n,), float64, none of them 0.
            chosen: Which of the ordered rows; None for all.
        """
        self._side, self._lengths, self._chosen = side, lengths, chosen
        self.shape = (len(side) if chosen is None else len(chosen), side.width)
        work = float(len(self)) * side.width * min(len(self), side.width)
        exact = work <= EXACT_WORK or side.x.dtype == torch.float64
        self.dtype, self.device = torch.float64 if exact else torch.float32, side.x.device

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice | Tensor) -> Tensor:
        """Some rows (m, d)."""
        which = torch.arange(len(self), device=self.device)[part] if self._chosen is None else self._chosen[part]
        found = torch.empty(len(which), self.shape[1], dtype=self.dtype, device=self.device)
        for some in chunks(len(which), self.shape[1]):
            rows = self._side.x[self._side.order[which[some]]].double()
            found[some] = (rows / self._lengths[which[some], None]).to(self.dtype)
        return found

    def cut(self, count: int) -> UnitRows:
        """So many of all rows at random, always the same ones, in the type of all."""
        chosen = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count].to(self.device)
        found = UnitRows(self._side, self._lengths, chosen)
        found.dtype = self.dtype
        return found


def unit_rows(side: Features) -> UnitRows:
    """The ordered rows scaled to length 1 (n, d).

    Raises:
        UserError: A row is 0.
    """
    return UnitRows(side, unit_lengths(side))


def decompose(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues in float64 and eigenvectors of a symmetric float64 matrix.

    Those of a large one are in float32, several times faster: they serve an interval, the eigenvalues the number.
    """
    if len(moments) <= LARGE:
        return eigh(moments)
    return eigvalsh(moments), eigh(moments.float())[1]


def one_direction(n: int, order: float, level: float) -> float:
    """Largest expected score of n fresh rows that n rows of one direction do not rule out.

    Other directions of total share p stay unseen in n rows with chance (1 - p)^n, which is 1 - level at the largest p.
    B rows of them, binomial (n, p), make a score of at most exp(h(B / n) + (B / n) ln B) for orders from 1 on, h the
    entropy of a share, and of at most B + 1 below.
    """
    share = 1 - (1 - level) ** (1 / n)
    total = 0.0
    for count in range(n + 1):
        chance = float(binom.pmf(count, n, share))
        if chance < 1e-12 and count > n * share:
            break
        part = count / n
        rest = 0.0 if part >= 1 else -(1 - part) * math.log(1 - part)
        entropy = rest - part * math.log(part) + part * math.log(count) if count else 0.0
        total += chance * (math.exp(entropy) if order >= 1 else count + 1)
    return total


def _moments(rows: Tensor | UnitRows) -> Tensor:
    """rows' rows / n in float64, from float32 products of some rows at a time where these are float32."""
    n, width = rows.shape
    total = torch.zeros(width, width, dtype=torch.float64, device=rows.device)
    with full_precision():
        for start in range(0, n, 2_048):
            total += square(rows[start : start + 2_048])
    return total / n


def _divided(shares: Tensor, weights: Tensor, order: float) -> Tensor:
    """Divided differences of the weights, (r, r); where two shares are close, the derivative between them."""
    gap = shares[:, None] - shares
    middle = (shares[:, None] + shares) / 2
    close = gap.abs() < 1e-6 * middle
    slope = 1 / middle if order == 1 else (order - 1) * middle.pow(order - 2)
    return torch.where(close, slope, (weights[:, None] - weights) / torch.where(close, 1.0, gap))


def _some_rows(n: int) -> Tensor:
    """All rows in some order, or as many as tell a variance: at random but always the same ones."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))[:ENOUGH_ROWS]
