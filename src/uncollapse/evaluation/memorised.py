"""Whether fakes repeat training rows: nearer to them than real rows that the generator never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.evaluation.sides import Side
from uncollapse.metrics.inputs import as_features
from uncollapse.verdict.pool import ASSIGNMENTS, cross_distances, p_value
from uncollapse.verdict.question import percent

# A copy lies nearer to a training row than this part of the upper quartile of all rows' distances.
NEAR, MOST_ROWS = 0.25, 0.75
MINIMUM_COPIES = 0.05
BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Copies:
    """How many rows lie on top of a training row.

    Attributes:
        share_real: Share of the real rows.
        share_fake: Share of the fakes.
        p_value: Chance of such an excess when both are drawn alike.
        flagged: Whether the excess is significant and at least `MINIMUM_COPIES`.
        sentence: The answer for people.
        copies: Numbers of the fakes that are copies, nearest first.
        nearest: For each fake the number of its nearest training row, int64 (m,).
        distance: That distance (m,).
    """

    share_real: float
    share_fake: float
    p_value: float
    flagged: bool
    sentence: str
    copies: tuple[int, ...]
    nearest: NDArray[np.int64]
    distance: NDArray[np.float64]


def copies(real: Side, fake: Side, train: Side, *, alpha: float, seed: int) -> Copies:
    """Do fakes lie on training rows more often than real rows that were not trained on?

    Both sides' distances to their nearest training row are pooled; a row counts as a copy below `NEAR` times their
    upper quartile. The p-value exchanges real rows and fakes at random, so `real` must be held-out data, not the
    training rows.
    """
    rows = [as_features(side.rows.features, name=side.role).x.float().cpu() for side in (real, fake, train)]
    found = [nearest_rows(side, rows[2]) for side in rows[:2]]
    pooled = torch.cat([distance for distance, _ in found])
    limit = NEAR * float(torch.quantile(pooled, MOST_ROWS))
    close = (pooled <= limit).float()
    n, m = len(rows[0]), len(rows[1])
    draws = torch.Generator().manual_seed(seed)
    observed = torch.arange(n + m) >= n
    orders = torch.rand(ASSIGNMENTS, n + m, generator=draws).argsort(1) < m
    sides = torch.cat([observed[None], orders]).float()
    statistics = sides @ close / m - (1 - sides) @ close / n
    chance, excess = p_value(statistics), float(statistics[0])
    shares = float(close[:n].mean()), float(close[n:].mean())
    distance, index = found[1]
    order = distance.argsort(stable=True)
    kept = order[distance[order] <= limit]
    said = f"{percent(shares[1])} of the fakes lie on top of a training row; of the real rows {percent(shares[0])} do"
    return Copies(
        share_real=shares[0], share_fake=shares[1], p_value=chance,
        flagged=chance <= alpha and excess >= MINIMUM_COPIES,
        sentence=f"{said} (p = {chance:.2g}).", copies=tuple(int(i) for i in kept), nearest=index.numpy(),
        distance=distance.double().numpy(),
    )  # fmt: skip


def nearest_rows(rows: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to, and number of, the nearest of other rows, (n,) each."""
    centre = among.mean(0)
    values, index = [], []
    for part in torch.split(rows - centre, BLOCK):
        found = cross_distances(part, among - centre).min(1)
        values.append(found.values.sqrt())
        index.append(found.indices)
    return torch.cat(values), torch.cat(index)
