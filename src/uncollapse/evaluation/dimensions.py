"""For vectors instead of images: which features differ, by how much, and where a group of rows lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.evaluation.exchanges import adjusted_chances
from uncollapse.evaluation.sides import Side
from uncollapse.verdict.judge import ALPHA
from uncollapse.verdict.question import reaches

# Features that are listed, and features that say where a group of rows lies.
MOST, TOLD = 40, 2
PART = 4_096
Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Differing:
    """How the features differ.

    Attributes:
        rows: The features that differ most, as JSON values.
        test: How many differ by more than chance of how many, at which level, and the same in words.
    """

    rows: list[dict[str, Any]]
    test: dict[str, Any]


def dimensions(real: Side, fake: Side, *, alpha: float = ALPHA, seed: int = 0) -> Differing:
    """Features with their means and standard deviations on both sides, the most different first.

    effect = max(|m_f - m_r| / s_r, |log(s_f / s_r)|), with s_r the real standard deviation: 1 is a shift by one
    standard deviation, or a spread that is e times as large or as small. Each has a p-value, corrected over all.

    Args:
        real: Real rows.
        fake: Fakes.
        alpha: From which corrected p-value on a feature differs by more than chance.
        seed: Of the exchanges.
    """
    (mean_real, sd_real), (mean_fake, sd_fake) = moments(real), moments(fake)
    chances = adjusted_chances(real, fake, _over_both(real, fake), alpha=alpha, seed=seed)
    found = [
        {**_row(j, mean_real[j], mean_fake[j], sd_real[j], sd_fake[j]), "p_adjusted": float(chances[j]),
         "beyond_chance": reaches(float(chances[j]), alpha)}
        for j in range(len(mean_real))
    ]  # fmt: skip
    beyond = sum(row["beyond_chance"] for row in found)
    test = {
        "dimensions": len(found), "beyond_chance": beyond, "alpha": alpha, "n_real": len(real), "n_fake": len(fake),
        "sentence": _told(beyond, len(found)),
    }  # fmt: skip
    return Differing(rows=sorted(found, key=lambda row: -row["effect"])[:MOST], test=test)


def _told(beyond: int, of: int) -> str:
    if of == 1:
        return f"The one dimension {'differs' if beyond else 'does not differ'} by more than chance."
    number = {0: "None", of: "All"}.get(beyond, f"{beyond:,}")
    return f"{number} of the {of:,} dimensions {'differs' if beyond < 2 else 'differ'} by more than chance."


def _over_both(real: Side, fake: Side) -> tuple[Numbers, Numbers]:
    """Middle and spread of each feature over both sides, equally weighted; 0 where only rounding spreads it."""
    (mean_real, sd_real), (mean_fake, sd_fake) = moments(real), moments(fake)
    spread = np.sqrt((np.square(sd_real) + np.square(sd_fake)) / 2 + np.square(mean_fake - mean_real) / 4)
    least = 1e-12 * np.maximum(np.abs(mean_real), np.abs(mean_fake))
    return (mean_real + mean_fake) / 2, np.where(spread > least, spread, 0.0)


def moments(side: Side) -> tuple[Numbers, Numbers]:
    """Mean and standard deviation of each feature, in float64, without a copy of the rows; computed once a side."""
    key = "moments of each feature"
    if key not in side.checked.shared:
        side.checked.shared[key] = _moments(side)
    found: tuple[Numbers, Numbers] = side.checked.shared[key]
    return found


def _moments(side: Side) -> tuple[Numbers, Numbers]:
    rows = side.rows.features
    starts = range(0, len(rows), PART)
    # One array for all sums: small ones that stay between large ones that go would hold the memory of all.
    sums = np.empty((len(starts), rows.shape[1]))
    for number, first in enumerate(starts):
        sums[number] = rows[first : first + PART].sum(0, dtype=np.float64)
    mean = sums.sum(0) / len(rows)
    for number, first in enumerate(starts):
        sums[number] = np.square(rows[first : first + PART] - mean).sum(0)
    return mean, np.sqrt(sums.sum(0) / max(1, len(rows) - 1))


def whereabouts(side: Side, numbers: Sequence[int]) -> str:
    """Where a group of rows lies: the features in which its mean is farthest from that of all rows of the side.

    "x1 near 0.81, x2 near 0.59"; a distance counts in standard deviations of the side.
    """
    mean, spread = moments(side)
    centre = side.rows.features[np.asarray(numbers)].mean(0, dtype=np.float64)
    away = np.abs(centre - mean) / np.where(spread > 0, spread, np.inf)
    first = sorted(np.argsort(-away, kind="stable")[:TOLD].tolist())
    return ", ".join(f"x{j + 1} near {centre[j]:.2g}" for j in first)


def _row(j: int, m_real: float, m_fake: float, s_real: float, s_fake: float) -> dict[str, Any]:
    tiny = 1e-12 * max(abs(m_real), abs(m_fake)) or 1e-300
    apart = abs(m_fake - m_real)
    shift = apart / max(s_real, tiny) if apart > tiny else 0.0
    scale = abs(float(np.log(max(s_fake, tiny) / max(s_real, tiny))))
    return {
        "name": f"x{j + 1}", "real_mean": float(m_real), "fake_mean": float(m_fake), "real_sd": float(s_real),
        "fake_sd": float(s_fake), "effect": float(min(max(shift, scale), 1e6)),
        "sentence": _sentence(m_fake > m_real, shift, s_real, s_fake, tiny),
    }  # fmt: skip


def _sentence(higher: bool, shift: float, s_real: float, s_fake: float, tiny: float) -> str:
    if s_real <= tiny:
        same = "and so do the fakes" if s_fake <= tiny and not shift else "and the fakes do not"
        return f"The real rows all have one value, {same}."
    shifted = f"its mean is {shift:.2g} real standard deviations {'higher' if higher else 'lower'}"
    return f"{shifted}; its spread is {100 * s_fake / s_real:.3g} % of the real one."
