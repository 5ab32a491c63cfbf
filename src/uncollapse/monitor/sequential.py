"""Has coverage fallen below its best so far? A test to be looked at any time, with one error rate for a whole run.

**What coverage is.** The real data are cut into K cells (classes or clusters) with shares w_k; a generator with shares
q_k has the coverage

    c(q) = sum_k min(w_k, q_k / r),    r = `REACHED`:

a cell counts in full when the generator gives it at least the r-th part of its real share, and in proportion below, so
that uneven shares are no loss and a lost cell is. Each term is a minimum of two linear functions, so that

    c(q) >= c0   if and only if, for every set S of cells,   q(S) >= r (c0 - 1 + w(S)).                       (1)

**The null** at look t is c(q_t) >= B_t - margin. The baseline B_t must not be a noisy maximum, which would be above the
truth ever more surely the more looks there are. It is the largest *lower confidence bound* of c at earlier looks (those
of which at least half of the fakes lie near real data, as what is far from all may be put into any cell): look s has
the bound L_s = sum_k min(w_k, l_k / r), l_k the Clopper-Pearson bounds of its shares at level d_s / K each, with
d_s = alpha_b / (s (s + 1)). As sum_s d_s = alpha_b, with a chance of at least 1 - alpha_b every L_s is below its
c(q_s), and B_t = max_{s < t} L_s below the best coverage so far; then "not below the best minus a margin" implies the
null. B_t rests on looks before t only, and what is drawn at look t is new.

**The evidence of a look.** By (1) the null implies P(fake in S) >= p0 = r (B_t - margin - 1 + w(S)) for any S fixed
without seeing the fakes that are tested. A look's fakes, in random order, come in `BLOCKS` blocks. Those before a block
(and those of the look before, as long as there are fewer than `ENOUGH`) choose S = {k: share < r w_k} and show the
share x < p0 of S; the block then has the likelihood ratio of b = p0 + f (x - p0) against p0, h of its m fakes in S:

    (b / p0)^h ((1 - b) / (1 - p0))^(m - h),

whose mean is at most 1 under the null, whatever came before. e_t is the product over the blocks, averaged over bets f:
a likelihood ratio that is built while one looks, and that nothing but too few fakes in S makes large.

**The evidence of a run.** The look at which a collapse begins is not known: a mixture over it, with weight
1 / (j (j + 1)) on look j, of the products from there on,

    M_t = sum_{j <= t} e_j ... e_t / (j (j + 1)) + 1 / (t + 1)   =   e_t (A_{t-1} + 1 / (t (t + 1))) + 1 / (t + 1),

A the sum, is a nonnegative supermartingale that starts at 1, so that (Ville) the chance that it *ever* reaches 1 / a is
at most a. Looks before the collapse thus cost little of what was gained, and there may be any number of them.

**After an alarm** and a recovery the next test has half the level of the one before: a_k = alpha_e / 2^k. Altogether at
most alpha_b + sum_k a_k <= alpha, over all looks of the run and all restarts.

References: Ville 1939, Etude critique de la notion de collectif; Waudby-Smith and Ramdas 2024, arXiv:2010.09686
(betting); Howard, Ramdas, McAuliffe and Sekhon 2021, arXiv:1810.08240 (time-uniform bounds); Shekhar and Ramdas 2023,
arXiv:2112.09162 (predictable bets); Shin, Ramdas and Rinaldo 2024, arXiv:2203.03532 (unknown beginning).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

Array = NDArray[np.float64]
Cells = NDArray[np.int64]

# r: a cell at this part of its real share counts in full.
REACHED = 0.25
# Part of alpha for the baseline; the rest is for alarms.
FOR_BASELINE = 0.2
# Part of a look's fakes that must lie in cells at all for its bound to become the baseline: noise is put into any cell.
LEAST_KNOWN = 0.5
# Blocks of a look, and fakes that are enough to choose what is bet on.
BLOCKS, ENOUGH = 5, 50
# What is bet on: f = 1 is the share seen, and 0 would be p0.
BETS = (0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one look showed.

    Attributes:
        coverage: Plain estimate of c(q), in [0, 1].
        low: Its lower confidence bound L, valid for all looks together.
        best: The baseline B before this look; None before health is established.
        evidence: M after this look; 1 where nothing was tested.
        needed: What the evidence has to reach for an alarm.
        alarm: Whether it did.
    """

    coverage: float
    low: float
    best: float | None
    evidence: float
    needed: float
    alarm: bool


@dataclass(kw_only=True)
class State:
    """What the test remembers; all of it is JSON.

    Attributes:
        looks: Looks so far, which pay for the baseline.
        best: B, the largest lower bound so far; None before health.
        tested: Looks since the test (re)started.
        sum: A, as its logarithm; minus infinity is None.
        alarms: Alarms so far.
        lost: Whether an alarm was raised from which there was no recovery yet.
        before: Fakes of the last look in each cell and outside.
    """

    looks: int = 0
    best: float | None = None
    tested: int = 0
    sum: float | None = None
    alarms: int = 0
    lost: bool = False
    before: list[float] = field(default_factory=list)


class CoverageTest:
    """The test of one run.

    Attributes:
        weights: w, float64 (K,), summing to 1.
        alpha: Chance of any false alarm in the whole run.
        margin: By how much coverage may be below its best.
        healthy: Lower bound of coverage that establishes health.
        state: What it remembers.
    """

    def __init__(self, weights: Array, *, alpha: float, margin: float, healthy: float) -> None:
        """Starts before the first look."""
        self.weights, self.alpha, self.margin, self.healthy = weights, alpha, margin, healthy
        self.state = State()

    @property
    def _before(self) -> Array:
        """The fakes of the look before."""
        return np.array(self.state.before or [0.0] * (len(self.weights) + 1))

    @property
    def needed(self) -> float:
        """What the evidence has to reach for the next alarm: 1 / a_k."""
        return 2.0 ** (self.state.alarms + 1) / ((1 - FOR_BASELINE) * self.alpha)

    def look(self, cells: Cells) -> Outcome:
        """Takes the fakes of one look.

        Args:
            cells: Cell of each fake, (m,), 0..K-1, or -1 outside of all; in random order.
        """
        state = self.state
        state.looks += 1
        counts = count(cells, len(self.weights))
        low = self._low(counts[:-1], len(cells))
        before, evidence, needed = state.best, 1.0, self.needed
        if before is not None and not state.lost:
            evidence = self._gather(log_evidence(cells, self.weights, before - self.margin, self._before))
        alarm = evidence >= needed
        if alarm:
            state.alarms, state.lost = state.alarms + 1, True
        elif state.lost and before is not None and low >= before - self.margin:
            state.lost, state.tested, state.sum = False, 0, None
        known = counts[-1] <= (1 - LEAST_KNOWN) * len(cells)
        if known and low >= (self.healthy if before is None else before):
            state.best = low
        state.before = counts.tolist()
        return Outcome(
            coverage=coverage(counts[:-1] / len(cells), self.weights), low=low, best=before, evidence=evidence,
            needed=needed, alarm=alarm,
        )  # fmt: skip

    def sound(self, low: float) -> bool:
        """Whether a look with this lower bound proves coverage within half the margin of its best."""
        return self.state.best is not None and low >= self.state.best - self.margin / 2

    def to_json(self) -> dict[str, Any]:
        """The state."""
        return asdict(self.state)

    def load(self, kept: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        self.state = State(**kept)

    def _low(self, counts: Array, size: int) -> float:
        looks = self.state.looks
        level = FOR_BASELINE * self.alpha / (looks * (looks + 1))
        return coverage(lower_shares(counts, size, level / len(counts)), self.weights)

    def _gather(self, log_e: float) -> float:
        """M after a look with this evidence; the sum A is kept as a logarithm."""
        state = self.state
        state.tested += 1
        t = state.tested
        fresh = -math.log(t * (t + 1))
        state.sum = log_e + (fresh if state.sum is None else float(np.logaddexp(state.sum, fresh)))
        return math.exp(min(state.sum, 700.0)) + 1 / (t + 1)


def coverage(shares: Array, weights: Array) -> float:
    """c(q) of shares (K,) against the real ones, in [0, 1]."""
    return float(np.minimum(weights, shares / REACHED).sum())


def count(cells: Cells, k: int) -> Array:
    """Rows in each of K cells and, last, those outside of all, (K + 1,)."""
    return np.bincount(np.where(cells < 0, k, cells), minlength=k + 1).astype(float)


def lower_shares(counts: Array, size: int, level: float) -> Array:
    """Clopper-Pearson lower bounds of shares, (K,), each at this level."""
    hit = np.maximum(counts, 1)
    bounds: Array = np.where(counts > 0, betaincinv(hit, size - hit + 1, level), 0.0)
    return bounds


def log_evidence(cells: Cells, weights: Array, least: float, before: Array) -> float:
    """Logarithm of an e-value against c(q) >= `least`.

    Args:
        cells: Cell of each fake (m,), in random order.
        weights: w.
        least: c0, what the null grants.
        before: Fakes of the look before in each cell and, last, outside of all, (K + 1,).
    """
    logs, seen = np.zeros(len(BETS)), np.zeros(len(weights) + 1)
    for block in np.array_split(cells, BLOCKS):
        logs += _log_ratios(block, weights, least, seen if seen.sum() >= ENOUGH else seen + before)
        seen += count(block, len(weights))
    return float(np.logaddexp.reduce(logs)) - math.log(len(BETS))


def _log_ratios(block: Cells, weights: Array, least: float, seen: Array) -> Array:
    """What each bet gains on a block; the fakes seen before it choose the set of cells and the bets."""
    size, nothing = seen.sum(), np.zeros(len(BETS))
    short = seen[:-1] < REACHED * weights * size
    p0 = REACHED * (least - 1 + float(weights[short].sum()))
    share = (float(seen[:-1][short].sum()) + 0.5) / (size + 1)
    if size == 0 or p0 <= 0 or share >= p0:
        return nothing  # no bet
    hits = int(np.isin(block, np.flatnonzero(short)).sum())
    bets = p0 + np.array(BETS) * (share - p0)
    gained: Array = hits * np.log(bets / p0) + (len(block) - hits) * (np.log1p(-bets) - math.log1p(-p0))
    return gained
