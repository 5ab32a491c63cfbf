"""An evaluation against statistics alone (a mean and a covariance): the Fréchet distance, and no verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.source import Source
from uncollapse.data.statistics import StatisticsOnly
from uncollapse.errors import UserError
from uncollapse.evaluation.evaluation import Evaluation
from uncollapse.evaluation.plain import plain
from uncollapse.evaluation.sides import Reading, Side, make_extractor
from uncollapse.features.extractor import Extractor
from uncollapse.features.identity import Identity
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.frechet import from_moments
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.moments import Moments as streamed
from uncollapse.text import clean
from uncollapse.verdict.judge import ALPHA
from uncollapse.verdict.verdict import Verdict
from uncollapse.versions import versions

METRIC = "frechet_distance"
REASON = "statistics hold no rows, so nothing tells how sure this is"
SENTENCE = "Statistics hold no rows, so no loss can be looked for; give the data themselves for a verdict."
Moments = tuple[NDArray[np.float64], NDArray[np.float64]]


def evaluate_statistics(
    sources: Mapping[str, Source],
    given: Mapping[str, object],
    features: str,
    reading: Reading,
    notes: list[str],
    *,
    metrics: Sequence[str] | None = None,
    per_class: bool = False,
    command: str,
) -> Evaluation:
    """The classic Fréchet distance between a side and statistics, or two statistics.

    Raises:
        UserError: The widths differ, something is asked for that needs rows, or the features of images are not named.
    """
    _check(sources, features, metrics, per_class)
    moments: list[Moments] = []
    inputs: dict[str, dict[str, Any]] = {}
    judge: Extractor | None = None
    for role in ("real", "fake"):
        source = sources[role]
        if isinstance(source, StatisticsOnly):
            moments.append((source.mean, source.covariance))
            inputs[role] = _told(source)
            continue
        pair = {"real": source, "fake": source}
        judge, _ = make_extractor(features, {"real": given[role], "fake": given[role]}, pair, reading)
        side = reading.rows(source, role, judge)
        assert side is not None, "only one process comes here"
        moments.append(_moments(side))
        inputs[role] = side.to_json()
    (mean1, cov1), (mean2, cov2) = moments
    if len(mean1) != len(mean2):
        told = f"One side has {len(mean1)} features and the other {len(mean2)}"
        raise UserError(f"{told}; use the same extractor for both.")
    value = from_moments(mean1, cov1, mean2, cov2)
    estimate = find_metric(METRIC).estimate(value, level=None, reason=REASON)
    verdict = Verdict(status="inconclusive", alpha=ALPHA, n_real=0, n_fake=0, sentence=SENTENCE)
    document = _document(estimate, verdict, judge or Identity(len(mean1)), len(mean1))
    document |= {"inputs": inputs, "notes": notes, "command": command}
    return Evaluation(metrics={METRIC: estimate}, verdict=verdict, document=plain(document), pictures={})


def _document(estimate: Estimate, verdict: Verdict, judge: Extractor, width: int) -> dict[str, Any]:
    title = "FID" if judge.standard else f"{find_metric(METRIC).title} [{judge.name}]"
    return {
        "schema": 1, "kind": "evaluation", "verdict": verdict.to_json(), "metrics": {METRIC: estimate.to_json()},
        "names": {METRIC: title},
        "extractor": {"name": judge.name, "sha256": judge.digest, "why": judge.why, "width": width},
        "classes": None, "clusters": [], "galleries": [], "dimensions": None, "per_class": None, "versus": None,
        "memorisation": None,
        "next": ["Give the real data instead of their statistics: then there are intervals and a verdict."],
        "versions": versions(), "seconds": {},
    }  # fmt: skip


def _moments(side: Side) -> Moments:
    """Mean (d,) and covariance (d, d), divisor n - 1, of the rows of a side."""
    if len(side) < 2:
        raise UserError(f"The {side.role} side has 1 readable row; a covariance needs at least 2.")
    found = streamed.of(side.checked)
    return found.mean.numpy(), found.covariance.numpy()


def _check(sources: Mapping[str, Source], features: str, metrics: Sequence[str] | None, per_class: bool) -> None:
    """Refuses what needs rows, and features that the statistics cannot be of."""
    if set(sources) - {"real", "fake"}:
        raise UserError("With statistics only the Fréchet distance is possible; leave --versus and --train out.")
    if per_class:
        raise UserError("With statistics only the Fréchet distance is possible; leave --per-class out.")
    others = [name for name in metrics or () if name != METRIC]
    if others:
        raise UserError(f"With statistics only {METRIC} is possible, not {others[0]}; give the data themselves for it.")
    images = [source for source in sources.values() if source.kind == "images"]
    if images and features == "auto":
        raise UserError(
            f"Name the extractor that made the statistics, for example --features inception; images of "
            f"{clean(images[0].name)} can only be compared in the same features."
        )
    if images and features.startswith("pca"):
        raise UserError(
            "pca is fitted anew on both sides each time, so no statistics can be in its features; name the extractor "
            "that made them, for example --features inception."
        )


def _told(source: StatisticsOnly) -> dict[str, Any]:
    head = {"name": source.name, "form": source.form, "kind": source.kind, "labelled": False}
    return head | source.notes.to_json() | {"rows": source.rows or 0}
