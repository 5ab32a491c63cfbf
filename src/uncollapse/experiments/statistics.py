"""Methods against the baseline on common seeds: paired differences, an exact test, Holm's correction, a sentence.

`compare` calls this once per task and measure; nothing here reads files or knows methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from uncollapse.errors import UserError, unknown
from uncollapse.metrics.intervals import NO_VALUES, Diverged, Interval, mean_interval, settle

EXACT_SEEDS = 16
MONTE_CARLO = 99_999
EXACT_TEST = "exact sign-flip permutation test"
MONTE_CARLO_TEST = f"Monte Carlo sign-flip permutation test ({MONTE_CARLO:,} draws)"
NO_TEST = "none: no common seeds"

Seeds = Mapping[int, float | None]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One method against the baseline on one task.

    Attributes:
        difference: Mean over common seeds of method minus baseline; None without common seeds.
        low: Lower end of its interval, as `mean_interval` finds it.
        high: Upper end.
        p: Two-sided p of the test.
        p_adjusted: The same after Holm over the methods of the task.
        smallest_p: The smallest p this many seeds can reach, 2^(1-n): no difference, however large, gets below it.
        test: Name of the test.
        n: Pairs of seeds compared.
        omitted: Common seeds left out on the caller's order.
        sentence: The row in plain language.
    """

    task: str
    method: str
    baseline: str
    measure: str
    difference: float | None
    low: float | None
    high: float | None
    level: float
    p: float | None
    p_adjusted: float | None
    smallest_p: float | None
    test: str
    n: int
    omitted: int
    sentence: str

    def to_json(self) -> dict[str, object]:
        """The row as `comparison.json` holds it."""
        return asdict(self)


def paired_differences(
    values: Mapping[str, Seeds],
    *,
    baseline: str,
    task: str,
    measure: str,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
    diverged: Diverged = None,
) -> list[Difference]:
    """Every method of one task against the baseline, in the order of `values`.

    Args:
        values: For each method the measure of each seed; None where the seed diverged or the measure is undefined.
        baseline: The method that the others are compared with.
        task: Name of the task, for the rows.
        measure: Name of the measure, for the rows.
        bounds: What the measure can reach; differences are then bounded too.
        level: Of the intervals; a row is called a difference when the adjusted p is at most 1 - level.
        diverged: What a missing value counts as, or "omit" to leave the pair out; see `mean_interval`.

    Raises:
        UserError: The baseline is not among the methods, or values are missing without a rule.
    """
    if baseline not in values:
        raise unknown("baseline among the methods", baseline, values)
    pairs = [(method, baseline) for method in values if method != baseline]
    return pair_differences(values, pairs, task=task, measure=measure, bounds=bounds, level=level, diverged=diverged)


def pair_differences(
    values: Mapping[str, Seeds],
    pairs: Sequence[tuple[str, str]],
    *,
    task: str,
    measure: str,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
    diverged: Diverged = None,
) -> list[Difference]:
    """Each pair (method, baseline) on its common seeds, with Holm's correction over all of them.

    Args:
        values: As for `paired_differences`.
        pairs: Names in `values`.
        task: Name of the task, for the rows.
        measure: Name of the measure, for the rows.
        bounds: What the measure can reach.
        level: Of the intervals.
        diverged: What a missing value counts as.

    Raises:
        UserError: Values are missing without a rule.
    """
    found = [_pairs(values[method], values[baseline], diverged) for method, baseline in pairs]
    tested = [len(differences) > 0 for differences, _ in found]
    raw = [sign_flip_p(differences) for differences, _ in compress(found, tested)]
    adjusted = iter(zip(raw, holm(raw), strict=True))
    wide = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
    nothing = Interval(mean=None, low=None, high=None, level=level, n=0, method=NO_VALUES)
    rows = []
    for (method, baseline), (differences, omitted), is_tested in zip(pairs, found, tested, strict=True):
        mean = mean_interval(differences.tolist(), bounds=wide, level=level) if is_tested else nothing
        p, p_adjusted = next(adjusted) if is_tested else (None, None)
        names = {"task": task, "baseline": baseline, "measure": measure, "method": method}
        rows.append(_row(names, differences, omitted, mean, p, p_adjusted))
    return rows


def sign_flip_p(differences: Sequence[float] | NDArray[np.float64], *, seed: int = 0) -> float:
    """Two-sided p of the hypothesis that paired differences are symmetric around 0.

    The share of the 2^n patterns of signs whose mean is at least as far from 0 as the observed one: exact up to 16
    pairs, above that (1 + hits) / (1 + 99,999) over seeded random patterns.

    Reference: Fisher (1935), The Design of Experiments.

    Args:
        differences: One difference a pair, at least one, finite.
        seed: Of the random patterns.

    Raises:
        UserError: No differences.
    """
    d = np.asarray(differences, dtype=np.float64)
    if not len(d):
        raise UserError("A sign-flip test needs at least one pair of seeds; compare runs that share seeds.")
    # Sums that are equal in exact arithmetic must count as equal in floating point.
    reached = abs(d.sum()) - 1e-9 * np.abs(d).sum()
    if len(d) <= EXACT_SEEDS:
        patterns = (np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1
        return float((np.abs((1 - 2 * patterns) @ d) >= reached).mean())
    signs = np.random.default_rng(seed).integers(0, 2, size=(MONTE_CARLO, len(d)), dtype=np.int8)
    hits = int((np.abs((1.0 - 2.0 * signs) @ d) >= reached).sum())
    return (1 + hits) / (1 + MONTE_CARLO)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given: max over j <= i of min(1, (m - j) p_(j)), j from 0.

    Reference: Holm (1979), Scandinavian Journal of Statistics 6.
    """
    adjusted, running = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        running = max(running, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = running
    return adjusted


def _row(
    names: Mapping[str, str],
    differences: NDArray[np.float64],
    omitted: int,
    mean: Interval,
    p: float | None,
    p_adjusted: float | None,
) -> Difference:
    n = len(differences)
    row = Difference(
        **names,
        difference=mean.mean,
        low=mean.low,
        high=mean.high,
        level=mean.level,
        p=p,
        p_adjusted=p_adjusted,
        smallest_p=2.0 ** (1 - n) if n else None,
        test=_test_name(n),
        n=n,
        omitted=omitted,
        sentence="",
    )
    return replace(row, sentence=_sentence(row, differences))


def _pairs(method: Seeds, baseline: Seeds, diverged: Diverged) -> tuple[NDArray[np.float64], int]:
    """Differences on common seeds, and how many pairs the caller's rule left out."""
    seeds = sorted(set(method) & set(baseline))
    given = [(method[seed], baseline[seed]) for seed in seeds]
    if diverged == "omit":
        whole = [all(value is not None and math.isfinite(value) for value in pair) for pair in given]
        given = list(compress(given, whole))
    ours, _ = settle([pair[0] for pair in given], diverged)
    theirs, _ = settle([pair[1] for pair in given], diverged)
    return ours - theirs, len(seeds) - len(given)


def _test_name(n: int) -> str:
    if n == 0:
        return NO_TEST
    return EXACT_TEST if n <= EXACT_SEEDS else MONTE_CARLO_TEST


def _sentence(row: Difference, differences: NDArray[np.float64]) -> str:
    where = f"{row.measure} on {row.task}"
    if row.difference is None or row.p is None or row.p_adjusted is None or row.smallest_p is None:
        return f"{row.method} and {row.baseline} share no seed on which {where} can be compared."
    if not differences.any():
        return f"No difference seen: {row.method} and {row.baseline} have the same {where} on {_seeds(row.n)}."
    direction = "above" if row.difference > 0 else "below"
    size = f"{abs(row.difference):.3g} {direction} {row.baseline} in {where}"
    ends = "" if row.low is None else f"{row.level:.0%} interval {row.low:+.3g} to {row.high:+.3g}, "
    numbers = f"({ends}{_seeds(row.n)}, adjusted p {_p(row.p_adjusted)})"
    alpha = 1 - row.level
    if row.p_adjusted <= alpha:
        return f"{row.method} is {size} {numbers}."
    if row.difference == 0:
        return f"{row.method} and {row.baseline} do not differ on average in {where} {numbers}."
    # Also when all seeds agree and only the correction over methods keeps the row from being called a difference.
    if row.smallest_p > alpha or row.p <= row.smallest_p:
        least = f"{_seeds(row.n)} can reach no p below {row.smallest_p:.2g} before the correction"
        return f"{row.method} is {size} {numbers}, but {least}."
    return f"{row.method} is {size} {numbers}, which chance may explain."


def _seeds(n: int) -> str:
    return f"{n} common seed{'' if n == 1 else 's'}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"
