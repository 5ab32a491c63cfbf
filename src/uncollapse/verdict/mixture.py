"""One mixture of classes for both sides, where a generator's labels were chosen by whoever asked for them."""

from __future__ import annotations

import torch
from torch import Tensor


class Quota:
    """How many rows of each class a side keeps.

    Attributes:
        classes: Class of each of its rows, int64 (n,).
        kept: Rows to keep of each class, int64 (K,).
    """

    def __init__(self, classes: Tensor, kept: Tensor) -> None:
        """Holds both."""
        self.classes, self.kept = classes, kept

    def of(self, drawn: Tensor) -> Tensor:
        """The first rows of each class among some rows (numbers), as many as are kept."""
        classes, kept = self.classes.to(drawn.device)[drawn], self.kept.to(drawn.device)
        by_class = torch.argsort(classes, stable=True)
        counts = torch.bincount(classes, minlength=len(kept))
        place = torch.empty_like(classes)
        place[by_class] = torch.arange(len(drawn), device=drawn.device) - (counts.cumsum(0) - counts)[classes[by_class]]
        return drawn[place < kept[classes]]


def common_mixture(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """How many rows of each class to keep on each side, (K,) and (K,), so that both have the same shares of classes.

    With r real rows kept for each fake, a class gives min(real, r fake) real rows and min(fake, real / r) fakes. Of all
    r at which some class is kept whole, the one with the smallest standard error of a difference (the largest
    harmonic mean of both sides' rows) is taken.

    Args:
        real: Class of each real row, int64 (n,), 0..K-1.
        fake: Class of each fake (m,).
    """
    k = int(torch.cat([real, fake]).max()) + 1
    have = [torch.bincount(side, minlength=k).double() for side in (real, fake)]
    shared = (have[0] > 0) & (have[1] > 0)
    best = torch.zeros(k, dtype=torch.int64), torch.zeros(k, dtype=torch.int64)
    for ratio in torch.unique(have[0][shared] / have[1][shared]).tolist():
        kept = _thinned(have[0], have[1], ratio)
        if _effective(*kept) > _effective(*best):
            best = kept
    return best


def quotas_of(real: Tensor, fake: Tensor) -> tuple[Quota, Quota]:
    """`common_mixture` with the classes it is about."""
    kept = common_mixture(real, fake)
    return Quota(real, kept[0]), Quota(fake, kept[1])


def choose(order: Tensor, generator: torch.Generator, *, most: int, quota: Quota | None = None) -> Tensor:
    """Numbers of at most `most` rows, drawn from a list that is ordered by content, of each class at most its quota.

    Args:
        order: All rows' numbers.
        generator: Source of the draw; nothing is drawn where all rows stay.
        most: How many.
        quota: Where not all rows of a class may stay.
    """
    if quota is None and len(order) <= most:
        return order
    drawn = order[torch.randperm(len(order), generator=generator).to(order.device)]
    if quota is not None:
        drawn = quota.of(drawn)
        # The classes whose quota is small fill it first, so the first rows are no fair draw of the chosen ones.
        drawn = drawn[torch.randperm(len(drawn), generator=generator).to(drawn.device)]
    return drawn[:most]


def _thinned(real: Tensor, fake: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Whole rows: the scarcer side is cut down first, and the other follows it as nearly as it can."""
    if ratio < 1:
        few, many = _thinned(fake, real, 1 / ratio)
        return many, few
    few = torch.minimum(fake, real / ratio).add(1e-9).floor()
    many = torch.minimum(real, (few * ratio).round())
    return many.long(), few.long()


def _effective(real: Tensor, fake: Tensor) -> float:
    n, m = int(real.sum()), int(fake.sum())
    return n * m / max(n + m, 1)
