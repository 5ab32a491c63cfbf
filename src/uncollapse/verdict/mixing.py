"""Whether the sides differ at all: how often the neighbours of a row are of its own side."""

from __future__ import annotations

import torch
from torch import Tensor

from uncollapse.verdict.pool import Pool, p_value
from uncollapse.verdict.question import percent

NEIGHBOURS = 5
CHUNK = 50


def difference_sentence(pool: Pool, alpha: float) -> str | None:
    """A sentence when the sides can be told apart by their neighbours, whatever the reason; None when they cannot.

    Reference: Schilling 1986, Journal of the American Statistical Association 81; Henze 1988, Annals of Statistics 16.
    """
    near = pool.nearest[1][:, :NEIGHBOURS]
    parts: tuple[Tensor, ...] = torch.split(pool.sides, CHUNK)
    statistics = torch.cat([(part[:, near] == part[..., None]).float().mean((1, 2)) for part in parts])
    if p_value(statistics) > alpha:
        return None
    n, m, total = pool.n_real, pool.n_fake, len(pool)
    chance = (n * (n - 1) + m * (m - 1)) / (total * (total - 1))
    return (
        f"Fakes and real rows can be told apart: {percent(float(statistics[0]))} of a row's nearest neighbours are of "
        f"its own side, {percent(chance)} by chance"
    )
