"""For vectors instead of images: which features differ, by how much, and where."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncollapse.evaluation.sides import Side

MOST = 40


def dimensions(real: Side, fake: Side) -> list[dict[str, Any]]:
    """Features with their means and standard deviations on both sides, the most changed first.

    effect = max(|m_f - m_r| / s_r, |log(s_f / s_r)|), with s_r the real standard deviation: 1 is a shift by one
    standard deviation, or a spread that is e times as large or as small.
    """
    rows = [np.asarray(side.rows.features, dtype=np.float64) for side in (real, fake)]
    mean = [side.mean(0) for side in rows]
    spread = [side.std(0, ddof=1) for side in rows]
    found = [_row(j, mean[0][j], mean[1][j], spread[0][j], spread[1][j]) for j in range(rows[0].shape[1])]
    return sorted(found, key=lambda row: -row["effect"])[:MOST]


def _row(j: int, m_real: float, m_fake: float, s_real: float, s_fake: float) -> dict[str, Any]:
    tiny = 1e-12 * max(1.0, abs(m_real))
    shift = abs(m_fake - m_real) / max(s_real, tiny) if abs(m_fake - m_real) > tiny else 0.0
    scale = abs(float(np.log(max(s_fake, tiny) / max(s_real, tiny))))
    shifted = f"its mean is {shift:.2g} real standard deviations {'higher' if m_fake > m_real else 'lower'}"
    spread = f"its spread is {100 * s_fake / max(s_real, tiny):.3g} % of the real one"
    return {
        "name": f"x{j + 1}", "real_mean": float(m_real), "fake_mean": float(m_fake), "real_sd": float(s_real),
        "fake_sd": float(s_fake), "effect": float(min(max(shift, scale), 1e6)), "sentence": f"{shifted}; {spread}.",
    }  # fmt: skip
