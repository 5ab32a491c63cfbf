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
from uncollapse.features.extractor import Choice, Extractor, called
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
# Of two statistics nobody has seen the rows, so that no extractor can be named.
UNSEEN: Mapping[str, str | None] = {
    "name": "statistics", "sha256": None, "why": "statistics: they do not say of which features they are, so see to it "
    "that both are of the same.",
}  # fmt: skip
Moments = tuple[NDArray[np.float64], NDArray[np.float64]]


def evaluate_statistics(
    sources: Mapping[str, Source],
    given: Mapping[str, object],
    features: Choice,
    reading: Reading,
    notes: list[str],
    *,
    metrics: Sequence[str] | None = None,
    per_class: bool = False,
    alpha: float = ALPHA,
    command: str,
) -> Evaluation:
    """The classic Fréchet distance between a side and statistics, or two statistics.

    Raises:
        UserError: The widths differ, something is asked for that needs rows or images, or the features of images are
            not named.
    """
    _check(sources, metrics, per_class)
    _check_features(sources, features, reading)
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
    n = [inputs[role]["rows"] for role in ("real", "fake")]
    estimate = find_metric(METRIC).estimate(value, level=None, n_real=n[0], n_fake=n[1], reason=REASON)
    verdict = Verdict(status="inconclusive", alpha=alpha, n_real=n[0] or 0, n_fake=n[1] or 0, sentence=SENTENCE)
    document = _document(estimate, verdict, judge, len(mean1))
    document["verdict"] |= {"n_real": n[0], "n_fake": n[1]}
    document |= {"inputs": inputs, "notes": notes, "command": command}
    return Evaluation(metrics={METRIC: estimate}, verdict=verdict, document=plain(document), pictures={})


def _document(estimate: Estimate, verdict: Verdict, judge: Extractor | None, width: int) -> dict[str, Any]:
    told: Mapping[str, str | None] = (
        UNSEEN if judge is None else {"name": judge.name, "sha256": judge.digest, "why": judge.why}
    )
    title = "FID" if judge is not None and judge.standard else f"{find_metric(METRIC).title} [{told['name']}]"
    return {
        "schema": 1, "kind": "evaluation", "verdict": verdict.to_json(), "metrics": {METRIC: estimate.to_json()},
        "names": {METRIC: title},
        "extractor": {**told, "width": width},
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


def _check(sources: Mapping[str, Source], metrics: Sequence[str] | None, per_class: bool) -> None:
    """Refuses what needs rows."""
    if set(sources) - {"real", "fake"}:
        raise UserError("With statistics only the Fréchet distance is possible; leave --versus and --train out.")
    if per_class:
        raise UserError("With statistics only the Fréchet distance is possible; leave --per-class out.")
    others = [name for name in metrics or () if name != METRIC]
    if others:
        raise UserError(f"With statistics only {METRIC} is possible, not {others[0]}; give the data themselves for it.")


def _check_features(sources: Mapping[str, Source], features: Choice, reading: Reading) -> None:
    """Refuses features that the statistics cannot be of, and any where there are no images to look at."""
    images = [source for source in sources.values() if source.kind == "images"]
    if not images and features not in ("auto", "identity"):
        what = clean(called(features))
        raise UserError(f"No side holds images, so {what} has nothing to look at; leave --features out.")
    if not images and reading.weights is not None:
        raise UserError("No side holds images, so --weights are of no use; leave them out.")
    if images and features == "auto":
        raise UserError(
            f"Name the extractor that made the statistics, for example --features inception; images of "
            f"{clean(images[0].name)} can only be compared in the same features."
        )
    if images and called(features).startswith("pca"):
        raise UserError(
            "pca is fitted anew on both sides each time, so no statistics can be in its features; name the extractor "
            "that made them, for example --features inception."
        )


def _told(source: StatisticsOnly) -> dict[str, Any]:
    head = {"name": source.name, "form": source.form, "kind": source.kind, "labelled": False}
    return head | source.notes.to_json() | {"rows": source.rows}
