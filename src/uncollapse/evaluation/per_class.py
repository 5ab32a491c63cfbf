"""Each label judged by itself, so that a collapse inside a condition is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from uncollapse.errors import UserError
from uncollapse.evaluation.sides import Side
from uncollapse.verdict.judge import FEWEST, judge

LEAST_ALPHA = 0.001
RANK = {"collapsed": 0, "suspect": 1, "inconclusive": 2, "too few": 3, "healthy": 4}


def per_class(real: Side, fake: Side, *, alpha: float, seed: int) -> list[dict[str, Any]]:
    """One row a label that any side has, the worst first.

    A false alarm in any label has at most the chance alpha: each label is judged at alpha over their number.

    Raises:
        UserError: A side has no labels.
    """
    for side in (real, fake):
        if side.rows.labels is None:
            raise UserError(
                f"--per-class needs labels on both sides, and the {side.role} side has none; give class folders, a "
                "dataset.json or an .npz with labels."
            )
    labels = [np.asarray(side.rows.labels) for side in (real, fake)]
    names = sorted(set(labels[0]) | set(labels[1]))
    each = max(LEAST_ALPHA, alpha / len(names))
    rows = []
    for name in names:
        index = [np.flatnonzero(own == name) for own in labels]
        rows.append(_row(str(name), real, fake, index[0], index[1], each, seed))
    return sorted(rows, key=lambda row: RANK[row["status"]])


def _row(
    name: str, real: Side, fake: Side, mine: np.ndarray[Any, Any], made: np.ndarray[Any, Any], alpha: float, seed: int
) -> dict[str, Any]:
    head = {"label": name, "n_real": len(mine), "n_fake": len(made)}
    if min(len(mine), len(made)) < FEWEST:
        sentence = f"Too few to judge: {FEWEST} rows a side are needed."
        if not len(made):
            sentence = "The fakes have none."
        return head | {"status": "too few", "sentence": sentence, "evidence": []}
    verdict = judge(
        real=real.rows.features[mine],
        fake=fake.rows.features[made],
        images=real.source.kind == "images",
        alpha=alpha,
        assignments=max(999, int(10 / alpha)),
        generator=torch.Generator().manual_seed(seed),
    ).to_json()
    return head | {key: verdict[key] for key in ("status", "sentence", "evidence")}
