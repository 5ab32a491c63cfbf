"""Questions about shares: is a class, or a region of the data, made too rarely?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.verdict.pool import ASSIGNMENTS, Pool
from uncollapse.verdict.question import (
    Finding,
    even_rows,
    half_made,
    lost_share,
    percent,
    reaches,
    standard_scores,
    step_max,
)
from uncollapse.verdict.regions import Regions
from uncollapse.verdict.verdict import Lost

# A class that is seen to keep half of its share or less counts as lost; what is seen errs on the side of loss, because
# only large losses are significant.
MINIMUM_LOSS = 0.5
# A region counts as lost when it has surely lost this part of its share, and this part of all data: regions are found
# by looking, and small ones fall short by chance when images are merely shifted.
MINIMUM_REGION_LOSS, LEAST_LOST = 0.45, 0.03
# One-sided 95 %.
SURE = 1.645
# The power that is stated is that of a region of a tenth of the data.
STATED_SHARE = 0.1
MOST_REGIONS = 8
NAMED = 3
CLASSES, REGIONS = "class shares", "region shares"


def class_shares(
    real: NDArray[np.int64],
    fake: NDArray[np.int64],
    names: Sequence[str],
    *,
    alpha: float,
    generator: torch.Generator,
    assignments: int = ASSIGNMENTS,
) -> Finding:
    """Is a class made too rarely? The largest shortfall over all classes, in standard errors.

    All rows count; under exchange of sides the fakes' counts are hypergeometric. The effect is the largest observed
    loss 1 - q / p of the classes that are found, an estimate and no bound: that they were found inflates it.

    Args:
        real: Class of each real row, 0..K-1.
        fake: Class of each fake.
        names: The K names.
        alpha: Level at which a single class is called lost, corrected over the classes.
        generator: Source of the assignments.
        assignments: How many.
    """
    k, n, m = len(names), len(real), len(fake)
    counts = np.bincount(real, minlength=k), np.bincount(fake, minlength=k)
    total = counts[0] + counts[1]
    draws = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    null = draws.multivariate_hypergeometric(total, m, size=assignments, method="marginals")
    drawn = torch.from_numpy(np.concatenate([counts[1][None], null])).double()
    scores = standard_scores(drawn, torch.from_numpy(total).double(), n, m)
    adjusted = step_max(scores)
    p, q = counts[0] / n, counts[1] / m
    loss = np.where(p > 0, 1 - q / np.maximum(p, 1e-12), 0.0)
    worst = int(scores[0].argmax())
    found = [c for c in range(k) if reaches(float(adjusted[c]), alpha) and loss[c] > 0]
    effect = max((float(loss[c]) for c in found), default=float(loss[worst]))
    lost = tuple(
        lost_share(names[c], "class", (float(p[c]), float(q[c])), int(counts[1][c]), m, float(adjusted[c]))
        for c in sorted(found, key=lambda c: (-loss[c], -p[c]))
        if loss[c] >= MINIMUM_LOSS
    )
    occupied = p[p > 0]
    typical = float(np.median(occupied)) if len(occupied) else STATED_SHARE
    return Finding(
        metric=CLASSES, effect=max(0.0, effect), minimum_effect=MINIMUM_LOSS, value_real=float(p[worst]),
        value_fake=float(q[worst]), sentence=_class_sentence(names[worst], p[worst], q[worst], lost), lost=lost,
        **_largest_of(scores, min(typical, 0.9), n, m),
    )  # fmt: skip


def _largest_of(scores: Tensor, share: float, n_real: int, n_fake: int) -> dict[str, Any]:
    """The largest of many standard scores (1 + P, K) as a statistic, and how a group of this share at half moves it."""
    rows = even_rows(n_real, n_fake)
    signal, noise = half_made(share, n_real, n_fake)
    return {
        "statistics": scores.max(1).values, "mirrored": (-scores).max(1).values, "signal": signal, "noise": noise,
        "rows": rows, "even": half_made(share, rows, rows),
    }  # fmt: skip


def _class_sentence(name: str, p: float, q: float, lost: Sequence[Lost]) -> str:
    if lost:
        listed = ", ".join(
            f"{row.mode} ({percent(row.share_real)} to {percent(row.share_fake)})" for row in lost[:NAMED]
        )
        more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
        what = "1 class is" if len(lost) == 1 else f"{len(lost)} classes are"
        return f"{what} observed at half of the real share or less: {listed}{more}."
    return f"The class that falls shortest is {name}: {percent(p)} of the real rows, {percent(q)} of the fakes."


def region_shares(pool: Pool, regions: Regions, *, alpha: float, label: Sequence[str] | None = None) -> Finding:
    """Is a region of the data made too rarely? The largest shortfall over all branches of the trees.

    The effect is the loss that is sure (`sure_loss`), taken from the real rows' regions alone
    (`Regions.shares_by_vote`), so that fakes that are shifted, blurred or noisy but as varied are not called collapsed.

    Args:
        pool: The rows.
        regions: Their trees.
        alpha: Level at which a single region is called lost, corrected over all branches.
        label: A word for each of the pool's rows, from which regions are named; None = numbers.
    """
    members, n, m = regions.members, pool.n_real, pool.n_fake
    details = {"clusters": regions.parts()}
    if not len(regions):
        return Finding(
            metric=REGIONS,
            statistics=torch.zeros(len(pool.sides)),
            effect=0.0,
            minimum_effect=MINIMUM_REGION_LOSS,
            signal=None,
            rows=even_rows(n, m),
            value_real=None,
            value_fake=None,
            sentence="The rows fall into no regions that could be lost.",
            details=details,
        )
    scores = standard_scores(pool.sides @ members.T, members.sum(1), n, m)
    adjusted = step_max(scores)
    chosen = _leading(scores[0], regions)
    shares = {g: regions.shares_by_vote(members[g]) for g in chosen}
    loss = {g: sure_loss(*shares[g], n, m) for g in chosen}
    found = [g for g in chosen if reaches(float(adjusted[g]), alpha)]
    told = max(found, key=loss.__getitem__, default=chosen[0])
    sure = torch.tensor([g for g in found if loss[g] >= MINIMUM_REGION_LOSS], dtype=torch.int64)
    gaps = torch.tensor([shares[int(g)][0] - shares[int(g)][1] for g in sure])
    lost = tuple(
        _lost_region(pool, members[g], shares[g], float(adjusted[g]), number, label)
        for number, g in enumerate((int(sure[place]) for place in _disjoint(gaps, members[sure])), start=1)
    )
    return Finding(
        metric=REGIONS, effect=loss[told], minimum_effect=MINIMUM_REGION_LOSS, value_real=shares[told][0],
        value_fake=shares[told][1], sentence=_region_sentence(lost, shares[told], apart=bool(found)), lost=lost,
        details=details, **_largest_of(scores, STATED_SHARE, n, m),
    )  # fmt: skip


def sure_loss(p: float, q: float, n_real: int, n_fake: int) -> float:
    """Lower one-sided 95 % bound of 1 - q / p, at least 0; 0 where less than `LEAST_LOST` of all data is lost.

    The ratio's logarithm is taken as normal with variance 1 / count_real + 1 / count_fake, half a row added to each.

    Args:
        p: Share of the real rows in a region.
        q: Share of the fakes.
        n_real: Real rows.
        n_fake: Fakes.
    """
    if p - q < LEAST_LOST:
        return 0.0
    real, fake = p * n_real + 0.5, q * n_fake + 0.5
    most = (fake / n_fake) / (real / n_real) * math.exp(SURE * math.sqrt(1 / real + 1 / fake))
    return max(0.0, 1 - most)


def _leading(scores: Tensor, regions: Regions) -> list[int]:
    """The leading disjoint regions of every tree, the largest score first.

    Each tree for itself, or one coarse region of one tree, such as all real rows, would hide what another finds in it.
    """
    chosen: list[int] = []
    for tree in range(int(regions.tree.max()) + 1):
        own = (regions.tree == tree).nonzero()[:, 0]
        chosen += own[_disjoint(scores[own], regions.members[own])].tolist()
    return sorted(chosen, key=lambda g: -float(scores[g]))


def _disjoint(scores: Tensor, members: Tensor) -> list[int]:
    """The regions with the largest scores that share no row, at most `MOST_REGIONS`."""
    taken = torch.zeros(members.shape[1])
    chosen: list[int] = []
    for g in scores.argsort(descending=True).tolist():
        if not bool((members[g] * taken).any()):
            chosen.append(g)
            taken += members[g]
        if len(chosen) == MOST_REGIONS:
            break
    return chosen


def _lost_region(
    pool: Pool, region: Tensor, shares: tuple[float, float], p: float, number: int, label: Sequence[str] | None
) -> Lost:
    inside = (region > 0).nonzero()[:, 0]
    rows = pool.numbers(inside, fake=False), pool.numbers(inside, fake=True)
    name = f"region {number}"
    if label is not None:
        words, counts = np.unique([label[int(i)] for i in inside[~pool.fake[inside]]], return_counts=True)
        if len(words):
            name += f" (mostly {words[counts.argmax()]}, {percent(counts.max() / counts.sum())})"
    return lost_share(name, "cluster", shares, round(shares[1] * pool.n_fake), pool.n_fake, p, rows)


def _region_sentence(lost: Sequence[Lost], first: tuple[float, float], *, apart: bool) -> str:
    """What was found: regions that are lost, or sides that lie apart though no region is, or the nearest to a loss."""
    if lost:
        what = "1 region of the real data is" if len(lost) == 1 else f"{len(lost)} regions of the real data are"
        real, fake = (percent(sum(getattr(row, side) for row in lost)) for side in ("share_real", "share_fake"))
        return f"{what} made far too rarely: {real} of the real rows, {fake} of the fakes."
    real, fake = map(percent, first)
    if apart and (first[0] <= first[1] or real == fake):
        return (
            "Fakes lie elsewhere than real rows, as fakes that are moved, blurred or noisy do, though no region of the"
            " real data is surely made too rarely."
        )
    return f"The region that falls shortest holds {real} of the real rows and {fake} of the fakes."
