"""The whole of an evaluation: open, read, measure, judge, choose what to show.

Between what a user gives (paths, arrays, samplers) and `Evaluation`; every step lives in a module of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from uncollapse.data.source import Source
from uncollapse.data.statistics import StatisticsOnly
from uncollapse.errors import UserError
from uncollapse.evaluation import shown
from uncollapse.evaluation.advice import next_steps
from uncollapse.evaluation.classes import Known, find_classes
from uncollapse.evaluation.evaluation import Evaluation
from uncollapse.evaluation.measuring import check_names, differences, measure, titles
from uncollapse.evaluation.memorised import Copies, copies
from uncollapse.evaluation.per_class import per_class as judge_classes
from uncollapse.evaluation.sides import Progress, Reading, Side, check_alike, make_extractor, size_notes
from uncollapse.evaluation.statistics import evaluate_statistics
from uncollapse.metrics.inputs import check_level
from uncollapse.verdict.judge import ALPHA, FEWEST, judge
from uncollapse.verdict.verdict import Verdict
from uncollapse.versions import versions

MEMORISED = "memorised"


def evaluate(
    real: object,
    fake: object,
    *,
    versus: object = None,
    train: object = None,
    features: str = "auto",
    metrics: Sequence[str] | None = None,
    per_class: bool = False,
    n: int | None = None,
    level: float = 0.95,
    alpha: float = ALPHA,
    weights: str | Path | None = None,
    resize: str = "clean",
    max_bad: float = 0.01,
    device: str = "auto",
    seed: int = 0,
    plugins: Sequence[object] = (),
    cache: bool = True,
    progress: Progress | None = None,
    command: str = "",
) -> Evaluation:
    """Whether a generator collapsed, what it lost, and how sure that is.

    Args:
        real: Real data that the generator should match: whatever `data.opening.open_source` takes (a folder, an
            archive, a file, an array, a tensor, a data set, an iterable, a function). An array (n, d) is features.
        fake: What the generator made, likewise; a run's directory or a function ``f(n)`` draws as many as are real.
        versus: Samples of another generator to compare with.
        train: What the generator was trained on, which enables the tests for copies; `real` should then be held out.
        features: Name of the extractor, or "auto".
        metrics: Names of metrics; default all that can be had.
        per_class: Judge each label by itself too.
        n: Rows wanted of each side; None = all.
        level: Nominal coverage of the metrics' intervals.
        alpha: Chance of a false alarm of the verdict.
        weights: A file of Inception weights.
        resize: How inception resizes: "clean" or "legacy".
        max_bad: Largest share of unreadable rows.
        device: Where features are computed.
        seed: Of all choices and draws.
        plugins: What a run needs to be loaded.
        cache: Whether features are kept and reused.
        progress: Called while reading with what is read, rows done and rows there are.
        command: What reproduces this, for the report.

    Raises:
        UserError: Data cannot be read or do not fit together, or an option is out of range.
    """
    check_level(level)
    check_names(metrics, with_train=train is not None)
    reading = Reading(
        n=n, max_bad=max_bad, seed=seed, plugins=tuple(plugins), device=device,
        weights=None if weights is None else Path(weights), resize=resize, cache=cache, progress=progress,
    )  # fmt: skip
    clock = _Clock()
    given = {"real": real, "fake": fake, "other": versus, "train": train}
    sources = _open({role: one for role, one in given.items() if one is not None}, reading)
    notes = check_alike(sources)
    if any(isinstance(source, StatisticsOnly) for source in sources.values()):
        return evaluate_statistics(sources, given, features, reading, notes, command=command)
    extractor, why = make_extractor(features, given, sources, reading)
    sides = {role: reading.rows(source, role, extractor) for role, source in sources.items()}
    _check_sizes(sides)
    notes += size_notes(list(sides.values()))
    clock.lap("reading")
    judged = [side for role, side in sides.items() if role != "train"]
    known = find_classes(judged, extractor.classes)
    found = measure(
        sides["real"], sides["fake"], known, metrics=metrics, train=sides.get("train"), level=level, seed=seed
    )
    clock.lap("metrics")
    verdict = _judge(sides, known, alpha, seed)
    copied = None
    if "train" in sides:
        copied = copies(sides["real"], sides["fake"], sides["train"], alpha=alpha, seed=seed)
        verdict = replace(verdict, flags=(MEMORISED,)) if copied.flagged else verdict
    clock.lap("verdict")
    classes = judge_classes(sides["real"], sides["fake"], alpha=alpha, seed=seed) if per_class else None
    other = _versus(sides, known, metrics, alpha=alpha, level=level, seed=seed) if versus is not None else None
    clock.lap("comparisons")
    exhibits = shown.exhibits(sides, known, verdict, copied, alpha=alpha, seed=seed)
    clock.lap("pictures")
    document = {
        "schema": 1,
        "kind": "evaluation",
        "verdict": verdict.to_json(),
        "metrics": {name: estimate.to_json() for name, estimate in found.items()},
        "names": titles(found, extractor, known),
        "extractor": {"name": extractor.name, "sha256": extractor.digest, "why": why, "width": extractor.width},
        "inputs": {role: side.to_json() for role, side in sides.items()},
        "notes": notes,
        "classes": None if known is None else known.to_json(),
        **exhibits.document,
        "per_class": classes,
        "versus": other,
        "memorisation": _memorisation(copied, found),
        "next": next_steps(
            verdict, extractor=extractor.name, labelled=_labelled(sides) and not per_class, trained=train is not None
        ),
        "command": command,
        "versions": versions(),
        "seconds": clock.laps,
    }
    return Evaluation(metrics=found, verdict=verdict, document=document, pictures=exhibits.pictures)


class _Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Ends a step."""
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 2)
        self._last = now


def _open(given: Mapping[str, object], reading: Reading) -> dict[str, Source]:
    """All sides; what draws its samples draws as many as the real side has."""
    sources: dict[str, Source] = {"real": reading.open(given["real"], "real")}
    for role, one in given.items():
        if role != "real":
            sources[role] = reading.open(one, role, like=None if role == "train" else sources["real"])
    return sources


def _check_sizes(sides: Mapping[str, Side]) -> None:
    """Refuses sides that are too small or of another width."""
    for side in sides.values():
        if len(side) < FEWEST and side.role != "train":
            raise UserError(
                f"The {side.role} side has {len(side)} readable rows, but a verdict needs at least {FEWEST}; give more."
            )
    widths = {role: side.rows.features.shape[1] for role, side in sides.items()}
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{role} {width}" for role, width in widths.items())
        raise UserError(f"The sides have different numbers of features a row ({told}); use one extractor for all.")


def _judge(sides: Mapping[str, Side], known: Known | None, alpha: float, seed: int, *, of: str = "fake") -> Verdict:
    return judge(
        real=sides["real"].rows.features,
        fake=sides[of].rows.features,
        classes=None if known is None else known.pair(of),
        images=sides["real"].source.kind == "images",
        alpha=alpha,
        generator=torch.Generator().manual_seed(seed),
    )


def _versus(
    sides: Mapping[str, Side],
    known: Known | None,
    metrics: Sequence[str] | None,
    *,
    alpha: float,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """The other generator: its verdict, its metrics, and the differences with their intervals."""
    other = sides["other"]
    found = measure(sides["real"], other, known, metrics=metrics, level=level, seed=seed)
    apart = differences(sides["real"], sides["fake"], other, metrics=metrics, level=level, seed=seed)
    return {
        "name": other.source.name,
        "verdict": _judge(sides, known, alpha, seed, of="other").to_json(),
        "metrics": {name: estimate.to_json() for name, estimate in found.items()},
        "differences": {name: estimate.to_json() for name, estimate in apart.items()},
    }


def _memorisation(copied: Copies | None, found: Mapping[str, Any]) -> dict[str, Any] | None:
    if copied is None:
        return None
    metrics = {"authenticity": found["authenticity"].to_json()} if "authenticity" in found else {}
    numbers = {"share_real": copied.share_real, "share_fake": copied.share_fake, "p_value": copied.p_value}
    return {"sentence": copied.sentence, "metrics": metrics, **numbers}


def _labelled(sides: Mapping[str, Side]) -> bool:
    return all(sides[role].rows.labels is not None for role in ("real", "fake"))
