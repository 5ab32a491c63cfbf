"""Vendi score: the effective number of different samples, from the eigenvalues of their cosine similarities."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

from scipy.special import ndtri

from uncollapse.errors import UserError
from uncollapse.metrics.bures import side_by_side
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Features, Rows, as_features, check_alike, check_level, is_number
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.pair_sums import LEAST_FOR_SPREAD
from uncollapse.metrics.spectrum import Spectrum, one_direction, unit_rows

BOUND = "exact bound: as many rows of other directions as n rows may have missed, all orthogonal to each other"


def vendi_score(*, fake: Rows, real: Rows | None = None, order: float = 1.0, level: float | None = 0.95) -> Estimate:
    """Vendi score of the fakes: how many entirely different samples would be as diverse.

    VS = exp(-sum_i l_i ln l_i), l the eigenvalues of K / n, K the cosine similarities of the rows; of order q,
    VS_q = (sum_i l_i^q)^(1 / (1 - q)): the number of eigenvalues above rounding at q = 0, 1 / max l at q = inf. From 1
    (all rows in one direction) to min(n, d). It grows with n: compare scores of equal n only.
    References: Friedman, Dieng 2023, arXiv:2210.02410; Pasarkar, Dieng 2024 (orders), arXiv:2310.12952.

    Args:
        fake: (n, d) features.
        real: (m, d) features to compare with: `details` then holds the ratio at equal n and its interval; the larger
            side is cut to the rows of the smaller at random, always the same way.
        order: q, from 0 to infinity; small orders count rare samples, large ones only the commonest.
        level: Nominal coverage of the interval, or None for none.

    Returns:
        The score; with `real`, `details` holds "real" (its score), "ratio_to_real", "ratio_interval" and "ratio_rows".

    Raises:
        UserError: A row is 0, fewer than 2 rows, or the order is negative or not a number.
    """
    check_level(level)
    check_order(order)
    side, spread = as_features(fake, name="fake"), level is not None
    rows = unit_rows(side)
    details: dict[str, Any] = {"order": order}
    n_real = None
    if real is None:
        found = Spectrum(rows, order, spread=spread)
    else:
        other = as_features(real, name="real")
        check_alike(other, side)
        n_real, others = len(other), unit_rows(other)
        found, opposite = side_by_side([partial(Spectrum, x, order, spread=spread) for x in (rows, others)])
        least = min(len(rows), len(others))
        # A score grows with n, so that the larger side is cut for the ratio.
        own = found if len(rows) == least else Spectrum(rows.cut(least), order, spread=spread)
        against = opposite if len(others) == least else Spectrum(others.cut(least), order, spread=spread)
        details |= {"real": opposite.value, "ratio_rows": least} | ratio(own, against, level)
    ends, words = _ends(found, side, level)
    if level is not None and words.get("reason") is None and not math.isnan(found.error):
        details["standard_error"] = found.error * found.value
    result = find_metric("vendi_score").estimate(
        found.value, ends, level=level, n_real=n_real, n_fake=len(side), details=details
    )
    return replace(result, **words) if level is not None else result


def check_order(order: float) -> None:
    """Refuses what is no order of a Vendi score.

    Raises:
        UserError: It is negative or not a number.
    """
    if not (is_number(order) and order >= 0):
        raise UserError(f"order must be from 0 to infinity, for example 1, not {order!r}.")


def ratio(fake: Spectrum, real: Spectrum, level: float | None) -> dict[str, Any]:
    """Fake score over real score of equal n, with its interval found on the logarithm."""
    value, both = fake.value / real.value, math.hypot(fake.error, real.error)
    if level is None or math.isnan(both) or both == 0:
        return {"ratio_to_real": value, "ratio_interval": None}
    reach = math.exp(float(ndtri(0.5 + level / 2)) * both)
    return {"ratio_to_real": value, "ratio_interval": [value / reach, value * reach]}


def _ends(
    found: Spectrum, side: Features, level: float | None
) -> tuple[tuple[float | None, float | None], dict[str, Any]]:
    """Ends, and the words of the estimate that differ from the metric's facts."""
    most = float(min(len(side), side.width))
    if level is None:
        return (None, None), {}
    if found.one_direction:
        return (1.0, min(most, one_direction(len(side), found.order, level))), {"interval": BOUND, "conservative": True}
    if found.order == 0:
        return (None, None), {"reason": "a rank has no interval: one more row in a new direction adds a whole 1"}
    if len(side) < LEAST_FOR_SPREAD:
        return (None, None), {"reason": f"fewer than {LEAST_FOR_SPREAD} rows, too few to tell how much it varies"}
    if found.error * math.sqrt(len(side)) < 1e-9:
        return (None, None), {"reason": "the largest eigenvalues are equal, where order inf has no derivative"}
    z = float(ndtri(0.5 + level / 2))
    reach = math.exp(z * found.error)
    low = min(
        found.value / reach,
        _below(found.value, most, *(z * found.value * error for error in (found.error, found.first))),
    )
    return (max(1.0, low), max(found.value, min(most, found.value * reach))), {}


def _below(value: float, most: float, half: float, first: float) -> float:
    """Lower end where the score is close to the most that it can be.

    What is missing to the most, m = most - value, is there like a square: the first-order part of its variance grows
    as m itself and vanishes with it, so all m' count with (m' - m)^2 <= half^2 + first^2 (m' - m) / m.
    """
    missing = most - value
    if missing <= 0:
        return value
    growth = first**2 / (2 * missing)
    return value - growth - math.hypot(half, growth)
