"""An evaluation against statistics alone (a mean and a covariance): the Fréchet distance, and no verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from uncollapse.data.source import Source
from uncollapse.data.statistics import StatisticsOnly
from uncollapse.errors import UserError
from uncollapse.evaluation.evaluation import Evaluation
from uncollapse.evaluation.sides import Reading, make_extractor
from uncollapse.features.identity import Identity
from uncollapse.metrics.frechet import from_moments
from uncollapse.metrics.metric import find_metric
from uncollapse.text import clean
from uncollapse.verdict.judge import ALPHA
from uncollapse.verdict.verdict import Verdict
from uncollapse.versions import versions

REASON = "statistics hold no rows, so nothing tells how sure this is"


def evaluate_statistics(
    sources: Mapping[str, Source],
    given: Mapping[str, object],
    features: str,
    reading: Reading,
    notes: list[str],
    *,
    command: str,
) -> Evaluation:
    """The classic Fréchet distance between a side and statistics, or two statistics.

    Raises:
        UserError: The widths differ, a further side is given, or the features of images are not named.
    """
    if set(sources) - {"real", "fake"}:
        raise UserError("With statistics only the Fréchet distance is possible; leave --versus and --train out.")
    moments, inputs, extractor = [], {}, None
    for role in ("real", "fake"):
        source = sources[role]
        if isinstance(source, StatisticsOnly):
            moments.append((source.mean, source.covariance))
            inputs[role] = _told(source, source.rows)
            continue
        if source.kind == "images" and features == "auto":
            raise UserError(
                f"Name the extractor that made the statistics, for example --features inception; images of "
                f"{clean(source.name)} can only be compared in the same features."
            )
        pair = {"real": source, "fake": source}
        extractor, _ = make_extractor(features, {"real": given[role], "fake": given[role]}, pair, reading)
        side = reading.rows(source, role, extractor)
        rows = np.asarray(side.rows.features, np.float64)
        if len(rows) < 2:
            raise UserError(f"The {role} side has {len(rows)} readable row; a covariance needs at least 2.")
        moments.append((rows.mean(0), np.cov(rows, rowvar=False).reshape(rows.shape[1], -1)))
        inputs[role] = side.to_json()
    (mean1, cov1), (mean2, cov2) = moments
    if len(mean1) != len(mean2):
        told = f"One side has {len(mean1)} features and the other {len(mean2)}"
        raise UserError(f"{told}; use the same extractor for both.")
    value = from_moments(mean1, cov1, mean2, cov2)
    estimate = find_metric("frechet_distance").estimate(value, level=None, reason=REASON)
    judge = extractor or Identity(len(mean1))
    verdict = Verdict(
        status="inconclusive", alpha=ALPHA, n_real=0, n_fake=0,
        sentence="Statistics hold no rows, so no loss can be looked for; give the data themselves for a verdict.",
    )  # fmt: skip
    title = "FID" if judge.standard else f"{find_metric('frechet_distance').title} [{judge.name}]"
    document: dict[str, Any] = {
        "schema": 1, "kind": "evaluation", "verdict": verdict.to_json(),
        "metrics": {"frechet_distance": estimate.to_json()}, "names": {"frechet_distance": title},
        "extractor": {"name": judge.name, "sha256": judge.digest, "why": judge.why, "width": len(mean1)},
        "inputs": inputs, "notes": notes, "classes": None, "clusters": [], "galleries": [], "dimensions": None,
        "per_class": None, "versus": None, "memorisation": None,
        "next": ["Give the real data instead of their statistics: then there are intervals and a verdict."],
        "command": command, "versions": versions(), "seconds": {},
    }  # fmt: skip
    return Evaluation(metrics={"frechet_distance": estimate}, verdict=verdict, document=document, pictures={})


def _told(source: StatisticsOnly, rows: int | None) -> dict[str, Any]:
    head = {"name": source.name, "form": source.form, "kind": source.kind, "labelled": False}
    return head | source.notes.to_json() | {"rows": rows or 0}
