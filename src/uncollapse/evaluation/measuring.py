"""The metrics of an evaluation: of features, of classes, and how each is to be called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uncollapse.errors import UserError
from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.maps import choose
from uncollapse.evaluation.sides import Side
from uncollapse.features.extractor import Extractor
from uncollapse.metrics.classes import chi_square, class_entropy, class_kl, inception_score, mode_coverage
from uncollapse.metrics.contests import differences as metric_differences
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.metric import NAMES, as_names, find_metric, unknown_metric
from uncollapse.metrics.together import FEATURE_METRICS, feature_metrics

CLASS_METRICS = ("inception_score", "mode_coverage", "class_entropy", "class_kl", "chi_square")
# What two generators are compared by, unless metrics were named.
COMPARED = ("frechet_distance", "kernel_distance", "precision", "recall", "coverage", "diversity")
COUNTED: Mapping[str, Callable[..., Estimate]] = {
    "mode_coverage": mode_coverage, "class_entropy": class_entropy, "class_kl": class_kl, "chi_square": chi_square,
}  # fmt: skip
# What looks at pairs of rows or sorts them often enough that a million rows a side would take days: at most so many
# rows of each side, chosen at random by their content. Everything else looks at all rows.
SUBSAMPLED = (
    "kernel_distance", "mmd_rbf", "sliced_wasserstein", "precision", "recall", "density", "coverage", "c2st", "ndb",
    "diversity",
)  # fmt: skip
MOST_ROWS = 50_000
WITHOUT_PROBABILITIES = "it needs class probabilities: an extractor that is a classifier"
WITHOUT_CLASSES = "it needs classes: an extractor that is a classifier, or labels on both sides"


def check_names(metrics: Sequence[str] | None, *, with_train: bool) -> None:
    """Refuses names that do not exist or cannot be computed here.

    Raises:
        UserError: As `as_names`, an unknown name, `path_length` (which needs the generator), or
            authenticity without training rows.
    """
    for name in as_names(metrics or ()):
        if name not in NAMES:
            raise unknown_metric(name)
        if name not in (*FEATURE_METRICS, *CLASS_METRICS):
            raise UserError(
                f"{name} takes {find_metric(name).takes}, not samples; call uncollapse.metrics.{name} for it."
            )
        if name == "authenticity" and not with_train:
            raise UserError("authenticity compares fakes with the training data; give them with --train.")


def measure(
    real: Side,
    fake: Side,
    known: Known | None,
    *,
    metrics: Iterable[str] | None,
    train: Side | None = None,
    level: float | None = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """All metrics asked for, or all there are, in the order of their list; one that cannot be had says why."""
    wanted = tuple(NAMES if metrics is None else metrics)
    chosen = [name for name in FEATURE_METRICS if name in wanted and (name != "authenticity" or train is not None)]
    found: dict[str, Estimate] = {}
    for names, rows in parts([real, fake], chosen, seed):
        if names:
            some = feature_metrics(
                real=rows[0], fake=rows[1], train=None if train is None else train.rows.features, metrics=names,
                level=level, generator=torch.Generator().manual_seed(seed),
            )  # fmt: skip
            found |= {name: _stated(estimate, real, fake, rows) for name, estimate in some.items()}
    for name in CLASS_METRICS:
        if name in wanted and (metrics is not None or _lacking(name, fake, known) is None):
            found[name] = _of_classes(name, real, fake, known, level)
    return {name: found[name] for name in NAMES if name in found}


def parts(sides: Sequence[Side], names: Sequence[str], seed: int) -> list[tuple[list[str], list[NDArray[Any]]]]:
    """The metrics that look at all rows with these rows, and those that look at some with those; one part where all do.

    Args:
        sides: Real, fake and perhaps other.
        names: Metrics of features.
        seed: Of the choice of rows.
    """
    everything = [side.rows.features for side in sides]
    if all(len(side) <= MOST_ROWS for side in sides):
        return [(list(names), everything)]
    some = [rows if len(rows) <= MOST_ROWS else rows[np.sort(choose(side, MOST_ROWS, seed=seed))]
            for side, rows in zip(sides, everything, strict=True)]  # fmt: skip
    return [
        ([name for name in names if name not in SUBSAMPLED], everything),
        ([name for name in names if name in SUBSAMPLED], some),
    ]


def _stated(estimate: Estimate, real: Side, fake: Side, rows: Sequence[NDArray[Any]]) -> Estimate:
    """The estimate, saying so where it looked at some rows only."""
    used, given = [len(side) for side in rows], [len(real), len(fake)]
    if used == given:
        return estimate
    told = " and ".join(
        f"{n:,} of {m:,} {what}" for n, m, what in zip(used, given, ("real rows", "fakes"), strict=True) if n < m
    )
    return replace(
        estimate,
        estimand=f"{estimate.estimand} (looked at: a random {told})",
        details={**estimate.details, "rows_given": given, "rows_used": used},
    )


def subsample_note(sides: Sequence[Side]) -> list[str]:
    """The sentence that says which metrics looked at some rows only; none where all looked at all."""
    large = [side for side in sides if len(side) > MOST_ROWS and side.role != "train"]
    if not large:
        return []
    told = " and ".join(f"{side.role} ({len(side):,})" for side in large)
    return [
        f"More than {MOST_ROWS:,} rows are given as {told}: {', '.join(SUBSAMPLED)} look at a random {MOST_ROWS:,} of "
        "them, chosen by content and seed, and their n says so; all other metrics look at every row."
    ]


def _lacking(name: str, fake: Side, known: Known | None) -> str | None:
    """What a metric of classes lacks; None when it can be had."""
    if name == "inception_score":
        return WITHOUT_PROBABILITIES if fake.rows.probabilities is None else None
    return WITHOUT_CLASSES if known is None or fake.role not in known.of else None


def _of_classes(name: str, real: Side, fake: Side, known: Known | None, level: float | None) -> Estimate:
    soft = fake.rows.probabilities
    reason = _lacking(name, fake, known)
    try:
        if name == "inception_score" and soft is not None:
            return inception_score(probabilities=soft, level=level)
        if reason is None and known is not None:
            labels = [[known.names[c] for c in known.of[side.role] if c >= 0] for side in (real, fake)]
            return COUNTED[name](real=labels[0], fake=labels[1], level=level)
    except UserError as error:
        reason = str(error)
    return _without(name, real, fake, reason or WITHOUT_CLASSES, level)


def _without(name: str, real: Side, fake: Side, reason: str, level: float | None) -> Estimate:
    return find_metric(name).estimate(None, level=level, n_real=len(real), n_fake=len(fake), reason=reason)


def differences(
    real: Side, fake: Side, other: Side, *, metrics: Iterable[str] | None, level: float, seed: int
) -> dict[str, Estimate]:
    """Fake minus other in the metrics that compare, each with an interval for the difference."""
    chosen = [name for name in FEATURE_METRICS if name in (COMPARED if metrics is None else metrics)]
    found: dict[str, Estimate] = {}
    for names, rows in parts([real, fake, other], [name for name in chosen if name != "authenticity"], seed):
        if names:
            some = metric_differences(
                real=rows[0], fake=rows[1], other=rows[2], metrics=names, level=level,
                generator=torch.Generator().manual_seed(seed),
            )  # fmt: skip
            found |= {name: _stated(estimate, real, fake, rows[:2]) for name, estimate in some.items()}
    return {name: found[name] for name in chosen if name in found}


def titles(found: Mapping[str, Estimate], extractor: Extractor, known: Known | None) -> dict[str, str]:
    """How each number is to be written: FID and KID only of the standard network, else with the extractor's name."""
    names = {}
    for name in found:
        title, about = find_metric(name).title.removesuffix(" (KID)"), extractor.name
        if name in COUNTED and known is not None and known.source == "labels":
            about = "labels"
        if extractor.standard and name in ("frechet_distance", "kernel_distance"):
            title = {"frechet_distance": "FID", "kernel_distance": "KID"}[name]
        names[name] = f"{title} [{about}]"
    return names
