"""Each label judged by itself, so that a collapse inside a condition is seen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uncollapse.errors import UserError
from uncollapse.evaluation.classes import alike, names_of, natural
from uncollapse.evaluation.sides import Side
from uncollapse.verdict.judge import FEWEST, judge

# The smallest level that `judge` takes.
LEAST_ALPHA = 0.001
RANK = {"collapsed": 0, "missing": 1, "suspect": 2, "inconclusive": 3, "too few": 4, "healthy": 5}


def check_labels(real: Side, fake: Side) -> None:
    """Refuses sides whose labels cannot be judged one by one.

    Raises:
        UserError: A side has no labels, or no name of the other side's.
    """
    for side in (real, fake):
        if side.rows.labels is None:
            raise UserError(
                f"--per-class needs labels on both sides, and the {side.role} side has none; give class folders, a "
                "dataset.json or an .npz with labels."
            )
    if not alike(real, fake):
        raise UserError("--per-class needs labels of the same names, and the sides share none; name them alike.")


def judged_labels(real: Side, fake: Side) -> int:
    """How many labels have rows enough on both sides to be judged."""
    counts = [Counter(side.rows.labels or ()) for side in (real, fake)]
    return sum(min(counts[0][name], counts[1][name]) >= FEWEST for name in names_of(real))


def per_class(real: Side, fake: Side, *, alpha: float, seed: int) -> list[dict[str, Any]]:
    """One row a label that any side has, the worst first; rows without a label are in none.

    Each label that has rows enough is judged at alpha over the number of such labels, so that a false alarm in any of
    them has at most the chance alpha; with more than alpha / `LEAST_ALPHA` of them each is judged at `LEAST_ALPHA`.

    Args:
        real: Labelled.
        fake: Labelled.
        alpha: Chance of a false alarm.
        seed: Of the verdicts.
    """
    mine, made = _numbers(real), _numbers(fake)
    each = max(LEAST_ALPHA, alpha / max(1, judged_labels(real, fake)))
    none = np.zeros(0, dtype=np.int64)
    rows = [
        _row(name, real, fake, mine.get(name, none), made.get(name, none), each, seed)
        for name in sorted(names_of(real) | names_of(fake), key=natural)
    ]
    return sorted(rows, key=lambda row: (RANK[row["status"]], -_worst(row)))


def _numbers(side: Side) -> dict[str, NDArray[np.int64]]:
    """Numbers of the rows of each label."""
    found: dict[str, list[int]] = {}
    for number, label in enumerate(side.rows.labels or ()):
        found.setdefault(label, []).append(number)
    return {label: np.array(numbers, dtype=np.int64) for label, numbers in found.items()}


def _row(
    name: str,
    real: Side,
    fake: Side,
    mine: NDArray[np.int64],
    made: NDArray[np.int64],
    alpha: float,
    seed: int,
) -> dict[str, Any]:
    head = {"label": name, "n_real": len(mine), "n_fake": len(made)}
    if min(len(mine), len(made)) < FEWEST:
        status, sentence = "too few", f"Too few to judge: {FEWEST} rows a side are needed."
        if not len(made):
            status, sentence = "missing", "No fake has this label."
        elif not len(mine):
            sentence = "No real row has this label."
        return head | {"status": status, "sentence": sentence, "evidence": []}
    verdict = judge(
        real=real.rows.features[mine],
        fake=fake.rows.features[made],
        images=real.source.kind == "images",
        alpha=alpha,
        # Enough that a corrected p-value can fall well below alpha.
        assignments=max(999, int(10 / alpha)),
        generator=torch.Generator().manual_seed(seed),
    ).to_json()
    return head | {key: verdict[key] for key in ("status", "sentence", "evidence")}


def _worst(row: dict[str, Any]) -> float:
    """The largest loss of a label in units of its minimum effect; of a missing label its real rows."""
    if not row["evidence"]:
        return float(row["n_real"])
    return max((found["effect"] / found["minimum_effect"] for found in row["evidence"]), default=0.0)
