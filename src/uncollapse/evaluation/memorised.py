"""Whether fakes repeat training rows: nearer to them than real rows that the generator never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import hypergeom
from torch import Tensor

from uncollapse.evaluation.sides import Side
from uncollapse.verdict.question import percent, reaches

# A copy lies nearer to a training row than this part of the distance that about half of the real rows stay below.
NEAR, MOST_REAL = 0.25, 0.5
MINIMUM_COPIES = 0.05
# From this share of real rows on that are training rows themselves nothing is left to compare with.
SEEN = 0.5
# Of a block of distances, which then stays in the processor's cache.
ROWS, COLUMNS = 1_024, 4_096


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


def copies(real: Side, fake: Side, train: Side, *, alpha: float) -> Copies:
    """Do fakes lie on training rows more often than real rows that were not trained on?

    Both sides' distances to their nearest training row are pooled; a row counts as a copy below `NEAR` times that
    quantile of the pool which is the real rows' median when all fakes are copies, whatever the sizes. When real rows
    and fakes are drawn alike every exchange of them is equally likely, so that the number of copies among the fakes is
    hypergeometric: the p-value is exact. `real` must be held-out data, not the training rows.

    Args:
        real: What the generator was not trained on.
        fake: What it made.
        train: What it was trained on.
        alpha: From which p-value on an excess counts.
    """
    found = [nearest_rows(side, train) for side in (real, fake)]
    n, m = len(real), len(fake)
    pooled = np.concatenate([distance for distance, _ in found])
    limit = NEAR * float(np.quantile(pooled, 1 - MOST_REAL * n / (n + m)))
    close = pooled <= limit
    count = int(close[n:].sum())
    chance = float(hypergeom.sf(count - 1, n + m, int(close.sum()), m))
    shares = float(close[:n].mean()), count / m
    flagged = reaches(chance, alpha) and shares[1] - shares[0] >= MINIMUM_COPIES
    distance, index = found[1]
    order = distance.argsort(kind="stable")
    kept = order[distance[order] <= limit]
    said = f"{percent(shares[1])} of the fakes lie on top of a training row; of the real rows {percent(shares[0])} do"
    sentence = f"{said} ({chance_text(chance)})."
    if shares[0] > SEEN and not flagged:
        sentence = f"{said}. So the real rows were trained on, and nothing can be said: give held-out rows as real."
    return Copies(
        share_real=shares[0], share_fake=shares[1], p_value=chance, flagged=flagged, sentence=sentence,
        copies=tuple(int(i) for i in kept), nearest=index, distance=distance,
    )  # fmt: skip


def chance_text(p: float) -> str:
    """A p-value in a sentence, never as 0.

    >>> chance_text(0.0), chance_text(0.0123), chance_text(0.4)
    ('p < 0.001', 'p = 0.012', 'p = 0.40')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.2 else f"p = {p:.2f}"


def nearest_rows(side: Side, among: Side) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance of each row to its nearest row of another side, and that row's number, (n,) each.

    Found in float32 and measured again in float64, so that a copy has distance 0.
    """
    centre = among.checked.mean.cpu()
    others = among.centred(torch.arange(len(among)), centre)
    norms = others.square().sum(1)
    near, far = [], []
    for part in torch.split(torch.arange(len(side)), ROWS):
        rows = side.centred(part, centre)
        least, index = torch.full((len(part),), torch.inf), torch.zeros(len(part), dtype=torch.int64)
        for first in range(0, len(among), COLUMNS):
            # |a - b|^2 without |a|^2, which is the same for every b.
            block = slice(first, first + COLUMNS)
            found = torch.addmm(norms[block], rows, others[block].T, alpha=-2).min(1)
            index = torch.where(found.values < least, found.indices + first, index)
            least = torch.minimum(found.values, least)
        near.append(index)
        far.append(apart(side, part, among, index))
    return torch.cat(far).numpy(), torch.cat(near).numpy()


def apart(side: Side, rows: Tensor, other: Side, numbers: Tensor) -> Tensor:
    """Distances between rows of one side and as many of another, pair by pair, float64."""
    gap = side.checked.x[rows].cpu().double() - other.checked.x[numbers].cpu().double()
    found: Tensor = gap.norm(dim=1)
    return found
