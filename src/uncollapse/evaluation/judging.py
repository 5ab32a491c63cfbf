"""The verdict on one side of fakes: of the rows that have a class where labels tell classes, else of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uncollapse.evaluation import shown
from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.sides import Side
from uncollapse.features.rows import GrowingRows
from uncollapse.verdict.judge import judge
from uncollapse.verdict.verdict import Verdict

PART = 4_096
Numbers = NDArray[np.int64]


def judge_sides(real: Side, fake: Side, known: Known | None, *, alpha: float, seed: int) -> Verdict:
    """The verdict, its row numbers being those of the sides, with where each lost region of vectors lies.

    Args:
        real: Real rows.
        fake: One generator's rows.
        known: Classes, where they can be told.
        alpha: Chance of a false alarm.
        seed: Of the draws.
    """
    classes = None if known is None else known.pair(fake.role)
    kept: list[Numbers | None] = [None, None]
    if known is not None and classes is not None:
        kept = [known.kept(side.role) for side in (real, fake)]
    verdict = judge(
        real=_some(real.rows.features, kept[0]),
        fake=_some(fake.rows.features, kept[1]),
        classes=classes,
        images=real.source.kind == "images",
        alpha=alpha,
        generator=torch.Generator().manual_seed(seed),
    )
    return shown.located(renumbered(verdict, *kept), real)


def _some(rows: NDArray[Any], numbers: Numbers | None) -> NDArray[Any]:
    """These rows, copied in parts, so that many of them lie in a file as all of them do."""
    if numbers is None:
        return rows
    found = GrowingRows(len(numbers))
    for first in range(0, len(numbers), PART):
        found.add(rows[numbers[first : first + PART]])
    return found.finish()


def renumbered(verdict: Verdict, real: Numbers | None, fake: Numbers | None) -> Verdict:
    """A verdict on some rows with the numbers that these have among all.

    Args:
        verdict: Its numbers count the rows that were judged.
        real: Numbers of the real rows that were judged; None where all were.
        fake: Likewise of the fakes.
    """
    if real is None and fake is None:
        return verdict

    def real_rows(rows: Sequence[int]) -> tuple[int, ...]:
        return tuple(rows) if real is None else tuple(real[list(rows)].tolist())

    def fake_rows(rows: Sequence[int]) -> tuple[int, ...]:
        return tuple(rows) if fake is None else tuple(fake[list(rows)].tolist())

    details = dict(verdict.details)
    if "clusters" in details:
        details["clusters"] = [(real_rows(mine), fake_rows(made)) for mine, made in details["clusters"]]
    if "repeated" in details:
        details["repeated"] = [fake_rows(group) for group in details["repeated"]]
    lost = tuple(replace(row, real=real_rows(row.real), fake=fake_rows(row.fake)) for row in verdict.lost)
    return replace(verdict, details=details, lost=lost)
