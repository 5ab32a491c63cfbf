"""Collapse seen through classes: the Inception score of probabilities, and how fakes spread over labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, chdtrc, rel_entr

from uncollapse.errors import UserError
from uncollapse.metrics.counts import CountsLike, Labels, Table, tabulate
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inception import inception_score
from uncollapse.metrics.inputs import check_level
from uncollapse.metrics.inversion import Agreement, Statistic
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.modes import SOLID_SHARE, entropy_bits, solid

__all__ = ["chi_square", "class_entropy", "class_kl", "inception_score", "mode_coverage"]

Array = NDArray[np.float64]
# Added to every real count, so that a class without real samples is rare, not impossible.
SMOOTHING = 0.5
# A class with so many rows on both sides together is hardly ever empty in a fresh sample.
SURELY_SEEN = 15


def mode_coverage(
    *,
    real: Labels | None = None,
    fake: Labels | None = None,
    real_counts: CountsLike | None = None,
    fake_counts: CountsLike | None = None,
    level: float | None = 0.95,
) -> Estimate:
    """How many of the real classes the fakes reach with at least a fifth of their real share.

    #{k : p_k >= .2 q_k}, p the shares among the fakes and q among the real samples, over the K classes with q_k > 0;
    0 .. K. The ends count the classes that are surely and possibly covered, from exact binomial (Clopper-Pearson)
    intervals of all shares at once (Bonferroni), so they hold for all classes together.

    Args:
        real: Real labels, whole numbers or strings (n,).
        fake: Fake labels of the same kind.
        real_counts: Instead of `real`: a count for each class, or exact shares as floats that sum to 1.
        fake_counts: Instead of `fake`: a count for each class.
        level: Nominal coverage of the interval; None for none.

    Returns:
        The number of classes; `details` hold the share of the classes, the missing and the thin classes, the largest
        share that each missing one may have (with `level`), and the share of fakes in no real class.

    Raises:
        UserError: As `tabulate`, or a level outside (0, 1).
    """
    check_level(level)
    table = tabulate(real=real, fake=fake, real_counts=real_counts, fake_counts=fake_counts)
    goal = _reference(table)
    inside = goal > 0
    names = [name for name, known in zip(table.names, inside, strict=True) if known]
    goal, counts = goal[inside], table.fake[inside]
    shares = counts / table.n_fake
    reached = solid(counts, table.n_fake, goal)
    details: dict[str, Any] = {
        "classes": len(names),
        "share": float(reached.mean()),
        "missing": [name for name, count in zip(names, counts, strict=True) if not count],
        "thin": [name for name, count, good in zip(names, counts, reached, strict=True) if count and not good],
        "outside": float(1 - shares.sum()) if not inside.all() else 0.0,
    }
    ends: tuple[float | None, float | None] = (None, None)
    if level is not None:
        tail = (1 - level) / (2 * len(names) * (1 if table.exact else 2))
        low, high = _exact_shares(counts, table.n_fake, tail)
        least, most = goal, goal
        if table.n_real is not None:
            least, most = _exact_shares(goal * table.n_real, table.n_real, tail)
        ends = float((low >= SOLID_SHARE * most).sum()), float((high >= SOLID_SHARE * least).sum())
        details["missing_at_most"] = {
            str(name): float(end) for name, count, end in zip(names, counts, high, strict=True) if not count
        }
    return find_metric("mode_coverage").estimate(
        float(reached.sum()), ends, level=level, n_real=table.n_real, n_fake=table.n_fake, details=details
    )


def class_entropy(
    *,
    real: Labels | None = None,
    fake: Labels | None = None,
    real_counts: CountsLike | None = None,
    fake_counts: CountsLike | None = None,
    level: float | None = 0.95,
) -> Estimate:
    """Entropy of the fakes' class shares, in bits.

    H = -sum_k p_k log2 p_k, p the shares among the fakes; 0 (one class) .. log2 K.

    Args:
        real: Real labels for comparison, whole numbers or strings (n,); may be left out.
        fake: Fake labels of the same kind.
        real_counts: Instead of `real`: a count for each class, or exact shares as floats that sum to 1.
        fake_counts: Instead of `fake`: a count for each class.
        level: Nominal coverage of the interval; None for none.

    Returns:
        The entropy; `details` hold that of the real side, where there is one, and the number of classes.

    Raises:
        UserError: As `tabulate`, or a level outside (0, 1).
    """
    check_level(level)
    table = tabulate(real=real, fake=fake, real_counts=real_counts, fake_counts=fake_counts, need_real=False)
    value = entropy_bits(table.fake.astype(np.int64))
    fakes = np.append(table.fake, np.zeros(_unseen(table)))
    classes = len(fakes)
    ends: tuple[float | None, float | None] = (None, None)
    generous = False
    if level is not None:
        agreement = Agreement(_kl_to_shares, fakes, np.full(classes, 1 / classes), exact=True)
        low, high = agreement.ends(level)
        generous = agreement.generous((low, high))
        ends = math.log2(classes) - high / math.log(2), math.log2(classes) - low / math.log(2)
    details: dict[str, Any] = {"classes": len(table.names)}
    if table.real is not None:
        shares = _reference(table)
        details["real"] = float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())
    return find_metric("class_entropy").estimate(
        value,
        ends,
        level=level,
        n_real=table.n_real,
        n_fake=table.n_fake,
        conservative=generous,
        details=details,
    )


def class_kl(
    *,
    real: Labels | None = None,
    fake: Labels | None = None,
    real_counts: CountsLike | None = None,
    fake_counts: CountsLike | None = None,
    level: float | None = 0.95,
) -> Estimate:
    """Kullback-Leibler divergence of the fakes' class shares from the real ones, in nats.

    sum_k p_k ln(p_k / q_k), p the shares among the fakes. q are the exact real shares, or, from real samples,
    (c_k + 1/2) / (n + K/2) over the K classes seen on either side. At least 0 with exact shares.

    Args:
        real: Real labels, whole numbers or strings (n,).
        fake: Fake labels of the same kind.
        real_counts: Instead of `real`: a count for each class, or exact shares as floats that sum to 1.
        fake_counts: Instead of `fake`: a count for each class.
        level: Nominal coverage of the interval; None for none.

    Returns:
        The divergence; no value when fakes lie in a class whose exact share is 0. `details` hold the ``floor``: its
        mean for a perfect generator at these sizes.

    Raises:
        UserError: As `tabulate`, a single class, or a level outside (0, 1).
    """
    check_level(level)
    table = tabulate(real=real, fake=fake, real_counts=real_counts, fake_counts=fake_counts)
    # Where simulated draws lose rare classes, fresh samples would show others in their place: more classes or fewer.
    sparse = not table.exact and table.real is not None and bool((table.real + table.fake).min() < SURELY_SEEN)
    agreement = _agreement(table, _kl_to_shares, _kl_to_counts, _kl_to_all_counts if sparse else None)
    if isinstance(agreement, str):
        return find_metric("class_kl").estimate(
            None,
            level=level,
            n_real=table.n_real,
            n_fake=table.n_fake,
            reason=f"it is infinite: {agreement}",
        )
    return _agreeing("class_kl", table, agreement, level, {"floor": agreement.floor, "unit": "nats"})


def chi_square(
    *,
    real: Labels | None = None,
    fake: Labels | None = None,
    real_counts: CountsLike | None = None,
    fake_counts: CountsLike | None = None,
    level: float | None = 0.95,
) -> Estimate:
    """Pearson's chi-square between the class counts of fakes and real samples.

    sum (observed - expected)^2 / expected over the 2 x K table of both sides (homogeneity), or over the K fake counts
    when the real shares are exact; at least 0, about K - 1 when the shares agree.

    Args:
        real: Real labels, whole numbers or strings (n,).
        fake: Fake labels of the same kind.
        real_counts: Instead of `real`: a count for each class, or exact shares as floats that sum to 1.
        fake_counts: Instead of `fake`: a count for each class.
        level: Nominal coverage of the interval; None for none.

    Returns:
        The statistic; no value when fakes lie in a class whose exact share is 0. `details` hold the ``p_value`` of
        equal shares, the degrees of freedom, the size of the effect (Cramer's V, or Cohen's w against exact shares)
        and the least expected count, below 5 of which the p-value is rough.

    Raises:
        UserError: As `tabulate`, a single class, or a level outside (0, 1).
    """
    check_level(level)
    table = tabulate(real=real, fake=fake, real_counts=real_counts, fake_counts=fake_counts)
    agreement = _agreement(table, _pearson, _homogeneity)
    if isinstance(agreement, str):
        return find_metric("chi_square").estimate(
            None,
            level=level,
            n_real=table.n_real,
            n_fake=table.n_fake,
            reason=f"it is infinite: {agreement}",
        )
    total = table.n_fake + (table.n_real or 0)
    pooled = agreement.real if table.exact else (agreement.real + table.fake) / total
    details = {
        "p_value": float(chdtrc(len(table.names) - 1, agreement.seen)),
        "freedom": len(table.names) - 1,
        "cohens_w" if table.exact else "cramers_v": math.sqrt(agreement.seen / total),
        "least_expected": float(pooled.min() * min(table.n_fake, table.n_real or table.n_fake)),
    }
    return _agreeing("chi_square", table, agreement, level, details)


def _agreement(
    table: Table, to_shares: Statistic, to_counts: Statistic, also: Statistic | None = None
) -> Agreement | str:
    """How well both sides agree, or why no finite number says so.

    Raises:
        UserError: There is a single class.
    """
    _two_classes(table)
    if reason := _impossible(table):
        return reason
    assert table.real is not None
    return Agreement(to_shares if table.exact else to_counts, table.fake, table.real, table.exact, also)


def _agreeing(
    name: str, table: Table, agreement: Agreement, level: float | None, details: Mapping[str, Any]
) -> Estimate:
    ends = (None, None) if level is None else agreement.ends(level)
    return find_metric(name).estimate(
        agreement.seen, ends, level=level, n_real=table.n_real, n_fake=table.n_fake,
        conservative=agreement.generous(ends), details=details,
    )  # fmt: skip


def _reference(table: Table) -> Array:
    assert table.real is not None
    shares: Array = table.real / table.real.sum()
    return shares


def _two_classes(table: Table) -> None:
    if len(table.names) < 2:
        raise UserError(
            f"All samples of both sides are of the one class {table.names[0]!r}; comparing class shares needs two or "
            "more."
        )


def _impossible(table: Table) -> str | None:
    """Why no finite comparison exists: fakes where the exact share is 0."""
    if table.real is None or not table.exact or not (bad := (table.real == 0) & (table.fake > 0)).any():
        return None
    first = int(np.flatnonzero(bad)[0])
    return (
        f"class {table.names[first]!r} has {int(table.fake[first])} of the fakes, but an exact real share of 0; give "
        "it a share, or give real counts"
    )


def _unseen(table: Table) -> int:
    """Classes to allow for beyond those that were seen: above Chao's estimate, at most as many again.

    s + s (s - 1) / (t + 1) for s classes with one fake and t with two; without them no interval of the entropy could
    reach above the classes seen. One class alone always leaves room for a second. Reference: Chao 1984, Nonparametric
    estimation of the number of classes in a population.
    """
    seen = int((table.fake > 0).sum())
    once, twice = int((table.fake == 1).sum()), int((table.fake == 2).sum())
    room = 0 if table.exact else min(seen, once + math.ceil(once * (once - 1) / (twice + 1)))
    return max(2 - len(table.names), seen + room - len(table.names), 0)


def _exact_shares(counts: Array, n: int, tail: float) -> tuple[Array, Array]:
    """Clopper-Pearson ends of the shares counts / n, each missed with at most `tail` a side."""
    low = np.where(counts > 0, betaincinv(np.maximum(counts, 0.5), n - counts + 1, tail), 0.0)
    high = np.where(counts < n, betaincinv(counts + 1, np.maximum(n - counts, 0.5), 1 - tail), 1.0)
    return low, high


def _kl_to_shares(fake: Array, real: Array) -> Array:
    shares = fake / fake.sum(1, keepdims=True)
    result: Array = rel_entr(shares, np.broadcast_to(real, shares.shape)).sum(1)
    return result


def _kl_to_counts(fake: Array, real: Array) -> Array:
    # A class that is empty on both sides is no class of that draw's table.
    smooth = (real + SMOOTHING) * (fake + real > 0)
    return _kl_to_shares(fake, smooth / smooth.sum(1, keepdims=True))


def _kl_to_all_counts(fake: Array, real: Array) -> Array:
    smooth = real + SMOOTHING
    return _kl_to_shares(fake, smooth / smooth.sum(1, keepdims=True))


def _pearson(fake: Array, real: Array) -> Array:
    expected = fake.sum(1, keepdims=True) * real
    result: Array = ((fake - expected) ** 2 / expected).sum(1)
    return result


def _homogeneity(fake: Array, real: Array) -> Array:
    balance = np.sqrt(real.sum(1, keepdims=True) / fake.sum(1, keepdims=True))
    # A class that a draw leaves empty on both sides adds 0 / 1.
    result: Array = ((balance * fake - real / balance) ** 2 / np.maximum(fake + real, 1)).sum(1)
    return result
