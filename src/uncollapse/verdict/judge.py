"""Questions about losses, asked of a pool of both sides, corrected as one family, and answered with one status."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from uncollapse.errors import UserError
from uncollapse.metrics.inputs import Rows, both, seeded
from uncollapse.verdict.mixing import difference_sentence
from uncollapse.verdict.mixture import common_mixture
from uncollapse.verdict.pool import ASSIGNMENTS, MOST, Pool, p_value
from uncollapse.verdict.question import POWER, Finding, reaches
from uncollapse.verdict.regions import Regions
from uncollapse.verdict.repeats import repeats
from uncollapse.verdict.shares import CLASSES, class_shares, region_shares
from uncollapse.verdict.spread import overall_spread, spread
from uncollapse.verdict.verdict import Evidence, Status, Verdict

ALPHA = 0.03
FEWEST = 20


@dataclass(frozen=True, kw_only=True)
class Classes:
    """A class for every row of both sides, as a classifier or labels tell it.

    Attributes:
        names: Of the K classes.
        real: Class 0..K-1 of each real row, (n,).
        fake: Class of each fake, (m,).
        balanced: Whether the fakes' shares were chosen by whoever made them (labels that a conditional generator was
            given), so that they say nothing about collapse: then both sides are thinned to one mixture of classes.
    """

    names: Sequence[str]
    real: NDArray[np.int64]
    fake: NDArray[np.int64]
    balanced: bool = False


def judge(
    *,
    real: Rows,
    fake: Rows,
    classes: Classes | None = None,
    images: bool = True,
    alpha: float = ALPHA,
    assignments: int = ASSIGNMENTS,
    generator: torch.Generator | None = None,
) -> Verdict:
    """Whether a generator lost something, what, and how sure that is.

    Up to five questions, each one-sided for a loss: is a class made too rarely, is a region of the data, do fakes of
    one kind, or all of them, vary less, do fakes repeat each other. Each has a p-value from random exchanges of the
    pooled rows, all are corrected together (Holm), and a loss counts as collapse from a stated minimum effect on. Fakes
    that merely differ (blur, compression, shift, noise, brightness) are told in `quality`.

    Args:
        real: (n, d) features of real data that the generator should match, at least 20 rows.
        fake: (m, d) features of fakes, at least 20.
        classes: Classes of the rows, where a classifier or labels tell them.
        images: Whether the features are those of images; of other data a change of scale is a loss too.
        alpha: Chance of calling a generator suspect or collapsed that is neither.
        assignments: Random exchanges behind the p-values; more are made where alpha is small.
        generator: Their source; seed 0 by default.

    Raises:
        UserError: As `metrics.inputs.Features`, too few rows, or alpha out of range.
    """
    if not 0.001 <= alpha <= 0.5:
        raise UserError(f"alpha must be from 0.001 to 0.5, for example {ALPHA}, not {alpha!r}.")
    draws = seeded(generator)
    # The smallest p-value, corrected, has to lie well below alpha, or no loss could be significant.
    assignments = max(assignments, math.ceil(10 / alpha))
    sides = both(real, fake, least=FEWEST)
    given = len(sides[0]), len(sides[1])
    asked = _asked(classes)
    kept = given if asked is None else tuple(int(rows.sum()) for rows in common_mixture(*asked))
    if min(kept) < FEWEST:
        return _incomparable(min(kept), alpha, *given)
    pool = Pool(*sides, generator=draws, assignments=assignments, classes=asked)
    findings = _findings(pool, classes, images, alpha, draws, assignments)
    evidence = _evidence(findings, alpha, sum(n / k for n, k in zip(given, kept, strict=True)) / 2)
    status = _status(evidence)
    lost = tuple(row for finding in findings for row in finding.lost)
    quality = difference_sentence(pool, alpha)
    if quality is not None and status in ("healthy", "inconclusive"):
        quality += ". That is not a loss of variety: look for blur, noise, compression or another preprocessing."
    needed = _needed(evidence) if status == "inconclusive" else None
    return Verdict(
        status=status, alpha=alpha, sentence=_sentence(status, evidence, needed),
        quality=None if quality is None else quality.removesuffix(".") + ".", evidence=evidence, lost=lost,
        needed=needed, n_real=given[0], n_fake=given[1],
        details={key: value for finding in findings for key, value in finding.details.items()},
    )  # fmt: skip


def _findings(
    pool: Pool, classes: Classes | None, images: bool, alpha: float, draws: torch.Generator, assignments: int
) -> list[Finding]:
    regions = Regions(pool)
    several = classes is not None and len(np.unique(np.concatenate([classes.real, classes.fake]))) > 1
    found = []
    group, what, label = regions.clusters, "clusters", None
    if classes is not None and several:
        if not classes.balanced:
            found.append(
                class_shares(
                    classes.real, classes.fake, classes.names, alpha=alpha, generator=draws, assignments=assignments
                )
            )
        group, what = _of_pool(pool, classes), "classes"
        label = [classes.names[int(c)] for c in group]
    found.append(region_shares(pool, regions, alpha=alpha, label=label))
    found.append(spread(pool, group, images=images, what=what))
    found.append(overall_spread(pool, images=images))
    found.append(repeats(pool))
    return found


def _asked(classes: Classes | None) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The classes of both sides whose shares must not count; None where they may."""
    if classes is None or not classes.balanced:
        return None
    return torch.from_numpy(np.asarray(classes.real)).long(), torch.from_numpy(np.asarray(classes.fake)).long()


def _incomparable(rows: int, alpha: float, n_real: int, n_fake: int) -> Verdict:
    """Labels were asked for in equal numbers, and the real rows are too few in some class to compare with."""
    sentence = (
        "The fakes' labels are equally many, so both sides are compared in the same shares of labels, for which only "
        f"{rows} rows of one side are left: give more real rows of the rare labels, or leave the labels out."
    )
    return Verdict(
        status="inconclusive", alpha=alpha, sentence=sentence, quality=None, evidence=(), lost=(), needed=None,
        n_real=n_real, n_fake=n_fake, details={},
    )  # fmt: skip


def _of_pool(pool: Pool, classes: Classes) -> torch.Tensor:
    """Class of each of the pool's rows."""
    sides = torch.from_numpy(np.asarray(classes.real)), torch.from_numpy(np.asarray(classes.fake))
    result = torch.empty(len(pool), dtype=torch.int64)
    for side, is_fake in zip(sides, (False, True), strict=True):
        here = pool.fake == is_fake
        result[here] = side[pool.number[here]].long()
    return result


def _evidence(findings: Sequence[Finding], alpha: float, given: float) -> tuple[Evidence, ...]:
    """p-values corrected by Holm, and the power of each question at its share of alpha.

    Args:
        findings: The answers.
        alpha: Chance of a false alarm of all questions together.
        given: Rows given for each that may be looked at, the mean of both sides; 1 where no mixture is thinned.
    """
    p = [p_value(finding.statistics) for finding in findings]
    adjusted = holm(p)
    rows = []
    for finding, raw, corrected in zip(findings, p, adjusted, strict=True):
        power, needed = finding.power(alpha / len(findings))
        # Only class shares look at all rows, and of the others' rows the pool holds no more than so many.
        if power is None or power >= POWER or (finding.metric != CLASSES and needed is not None and needed > MOST):
            needed = None
        rows.append(
            Evidence(
                metric=finding.metric,
                value_real=finding.value_real,
                value_fake=finding.value_fake,
                effect=finding.effect,
                minimum_effect=finding.minimum_effect,
                p_value=raw,
                p_adjusted=corrected,
                significant=reaches(corrected, alpha),
                power=power,
                needed=None if needed is None else math.ceil(needed * given),
                sentence=finding.sentence,
            )
        )
    return tuple(rows)


def holm(p: ArrayLike) -> list[float]:
    """Holm's adjusted p-values, in the order given. Reference: Holm 1979, Scandinavian Journal of Statistics 6."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(value) for value in adjusted]


def _status(evidence: Sequence[Evidence]) -> Status:
    if any(found.collapse for found in evidence):
        return "collapsed"
    if any(found.significant for found in evidence):
        return "suspect"
    if _weak(evidence):
        return "inconclusive"
    return "healthy"


def _weak(evidence: Sequence[Evidence]) -> list[Evidence]:
    return [found for found in evidence if found.power is not None and found.power < POWER]


def _needed(evidence: Sequence[Evidence]) -> int | None:
    """Rows a side that give every question power enough; None where no number would do."""
    needed = [found.needed for found in _weak(evidence)]
    return None if None in needed else max((rows for rows in needed if rows is not None), default=None)


def _sentence(status: Status, evidence: Sequence[Evidence], needed: int | None) -> str:
    if status == "collapsed":
        return " ".join(found.sentence for found in evidence if found.collapse)
    if status == "suspect":
        said = " ".join(found.sentence for found in evidence if found.significant)
        return f"{said} That is more than chance, and less than what counts as collapse."
    if status == "inconclusive" and needed is not None:
        return f"No loss was found, but a loss that matters could hide: about {needed:,} samples a side would show it."
    if status == "inconclusive":
        asked = " and ".join(found.metric for found in _weak(evidence) if found.needed is None)
        return (
            f"No loss was found, but a loss that matters could hide: for {asked} at most {MOST:,} samples a side are "
            "looked at, which are too few for these data, however many are given."
        )
    return "No loss of classes, regions or spread, and no repeats, beyond what chance does."
