"""The whole of an evaluation: open, read, measure, judge, choose what to show.

Between what a user gives (paths, arrays, samplers) and `Evaluation`; every step lives in a module of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uncollapse.data.limits import USUAL_BAD
from uncollapse.data.source import Source
from uncollapse.data.statistics import StatisticsOnly
from uncollapse.evaluation import shown
from uncollapse.evaluation.advice import next_steps
from uncollapse.evaluation.checks import check_alike, check_given, check_label_column, check_options, check_sides
from uncollapse.evaluation.classes import Known, alike, find_classes
from uncollapse.evaluation.crews import Helped
from uncollapse.evaluation.evaluation import Evaluation
from uncollapse.evaluation.judging import judge_sides
from uncollapse.evaluation.measuring import differences, measure, subsample_note, titles
from uncollapse.evaluation.memorised import Copies, copies
from uncollapse.evaluation.per_class import per_class as judge_classes
from uncollapse.evaluation.plain import plain
from uncollapse.evaluation.sides import Progress, Reading, Side, make_extractor
from uncollapse.evaluation.statistics import evaluate_statistics
from uncollapse.features.extractor import Choice, Extractor
from uncollapse.features.shards import Crew
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.metric import as_names
from uncollapse.verdict.judge import ALPHA
from uncollapse.verdict.verdict import Verdict
from uncollapse.versions import versions

MEMORISED = "memorised"


def evaluate(
    real: object,
    fake: object,
    *,
    versus: object = None,
    train: object = None,
    features: Choice = "auto",
    metrics: Sequence[str] | None = None,
    per_class: bool = False,
    label_column: str | None = None,
    n: int | None = None,
    level: float = 0.95,
    alpha: float = ALPHA,
    weights: str | Path | None = None,
    resize: str = "clean",
    max_bad: float = USUAL_BAD,
    device: str = "auto",
    seed: int = 0,
    plugins: Sequence[object] = (),
    cache: bool = True,
    progress: Progress | None = None,
    command: str = "",
    crew: Crew | None = None,
) -> Evaluation:
    """Whether a generator collapsed, what it lost, and how sure that is.

    Args:
        real: Real data that the generator should match: whatever `data.opening.open_source` takes (a folder, an
            archive, a file, an array, a tensor, a data set, an iterable, a function). An array (n, d) is features.
        fake: What the generator made, likewise; a run, its directory or a function ``f(n)`` draws as many as are real.
        versus: Samples of another generator to compare with.
        train: What the generator was trained on, which enables the tests for copies; `real` should then be held out.
        features: Name of the extractor, or "auto"; or an `Extractor`, a torch module or a function that makes rows
            (n, d) of images (n, 1 or 3, h, w) in [0, 1].
        metrics: Names of metrics; default all that can be had.
        per_class: Judge each label by itself too.
        label_column: Of tables (.csv, .parquet, DataFrame), which column holds the labels: classes, prompts, subgroups.
        n: Rows wanted of each side but the training data; None = all.
        level: Nominal coverage of the metrics' intervals.
        alpha: Chance of a false alarm of the verdict.
        weights: A file of Inception weights.
        resize: How inception resizes: "clean" or "legacy".
        max_bad: Largest share of unreadable rows.
        device: Where features are computed.
        seed: Of all choices and draws.
        plugins: What a run needs to be loaded.
        cache: Whether features are kept and reused.
        progress: Called while reading with what is read, rows done and rows there are, and with 0 of 0 rows at the
            beginning of every other step.
        command: What reproduces this, for the report.
        crew: Processes that read images of files together, as `evaluation.crews` and `evaluation.ray_crew` make them;
            all numbers are those of one process.

    Raises:
        UserError: Data cannot be read or do not fit together, or an option is out of range.
        Helped: This process of a crew does not lead it, and has done its part.
    """
    metrics = None if metrics is None else as_names(metrics)
    check_options(
        metrics=metrics, with_train=train is not None, level=level, alpha=alpha, seed=seed, device=device, resize=resize
    )
    asked = _Asked(metrics=metrics, per_class=per_class, level=level, alpha=alpha, seed=seed, command=command)
    reading = Reading(
        n=n, max_bad=max_bad, seed=seed, plugins=tuple(plugins), label_column=label_column, device=device,
        weights=None if weights is None else Path(weights), resize=resize, cache=cache, progress=progress,
        crew=crew,
    )  # fmt: skip
    clock = _Clock(reading)
    given = {"real": real, "fake": fake, "other": versus, "train": train}
    check_given(given)
    sources = _open({role: one for role, one in given.items() if one is not None}, reading)
    check_label_column(label_column, sources)
    notes = check_alike(sources, given)
    if any(isinstance(source, StatisticsOnly) for source in sources.values()):
        if not reading.leads:
            raise Helped
        reading = replace(reading, crew=None)
        return evaluate_statistics(
            sources, given, features, reading, notes, metrics=metrics, per_class=per_class, alpha=alpha, command=command
        )
    extractor, why = make_extractor(features, given, sources, reading)
    clock.lap("choosing")
    read = {role: reading.rows(source, role, extractor, given[role]) for role, source in sources.items()}
    sides = {role: side for role, side in read.items() if side is not None}
    if not reading.leads:
        raise Helped
    notes += [note for note in check_sides(sides, per_class=per_class, alpha=alpha) if note not in notes]
    notes += subsample_note(list(sides.values()))
    clock.lap("reading")
    return _evaluation(sides, extractor, why, notes, asked, clock)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What was asked for, as `evaluate` says it."""

    metrics: Sequence[str] | None
    per_class: bool
    level: float
    alpha: float
    seed: int
    command: str


class _Clock:
    """Seconds of each step, and a word at its beginning."""

    def __init__(self, reading: Reading) -> None:
        self.laps: dict[str, float] = {}
        self._reading = reading
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Ends a step."""
        now = time.monotonic()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._last, 2)
        self._last = now

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step without rows to count."""
        self._reading.step(name)
        yield
        self.lap(name)


def _evaluation(
    sides: Mapping[str, Side], extractor: Extractor, why: str, notes: list[str], asked: _Asked, clock: _Clock
) -> Evaluation:
    """Everything after reading."""
    real, fake = sides["real"], sides["fake"]
    known = find_classes([side for role, side in sides.items() if role != "train"], extractor.classes)
    with clock.step("metrics"):
        found = measure(
            real, fake, known, metrics=asked.metrics, train=sides.get("train"), level=asked.level, seed=asked.seed
        )
    with clock.step("verdict"):
        verdict, copied = _judge(sides, known, asked), None
        if "train" in sides:
            copied = copies(real, fake, sides["train"], alpha=asked.alpha)
            verdict = replace(verdict, flags=(MEMORISED,)) if copied.flagged else verdict
    classes, other = None, None
    if asked.per_class:
        with clock.step("classes"):
            classes = judge_classes(real, fake, alpha=asked.alpha, seed=asked.seed)
    if "other" in sides:
        with clock.step("comparison"):
            other = _versus(sides, known, asked)
    with clock.step("pictures"):
        exhibits = shown.exhibits(sides, known, verdict, copied, alpha=asked.alpha, seed=asked.seed)
    labelled = alike(real, fake) and not asked.per_class
    document: dict[str, Any] = {
        "schema": 1, "kind": "evaluation", "verdict": verdict.to_json(), "metrics": _json(found),
        "names": titles(found, extractor, known),
        "extractor": {
            "name": extractor.name, "sha256": extractor.digest, "why": why, "width": real.rows.features.shape[1],
        },
        "inputs": {role: side.to_json() for role, side in sides.items()}, "notes": notes,
        "classes": None if known is None else known.to_json(), **exhibits.document, "per_class": classes,
        "versus": other, "memorisation": None if copied is None else _memorisation(copied, found),
        "next": next_steps(verdict, extractor=extractor.name, labelled=labelled, trained="train" in sides),
        "command": asked.command, "versions": versions(), "seconds": clock.laps,
    }  # fmt: skip
    return Evaluation(metrics=found, verdict=verdict, document=plain(document), pictures=exhibits.pictures)


def _json(found: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    return {name: estimate.to_json() for name, estimate in found.items()}


def _open(given: Mapping[str, object], reading: Reading) -> dict[str, Source]:
    """All sides, columns in the real side's order; what draws its samples draws as many as the real side has."""
    sources: dict[str, Source] = {"real": reading.open(given["real"], "real")}
    for role, one in given.items():
        if role != "real":
            sources[role] = reading.open(one, role, like=sources["real"])
    return sources


def _judge(sides: Mapping[str, Side], known: Known | None, asked: _Asked, *, of: str = "fake") -> Verdict:
    return judge_sides(sides["real"], sides[of], known, alpha=asked.alpha, seed=asked.seed)


def _versus(sides: Mapping[str, Side], known: Known | None, asked: _Asked) -> dict[str, Any]:
    """The other generator: its verdict, its metrics, and the differences with their intervals."""
    real, fake, other = sides["real"], sides["fake"], sides["other"]
    found = measure(real, other, known, metrics=asked.metrics, level=asked.level, seed=asked.seed)
    apart = differences(real, fake, other, metrics=asked.metrics, level=asked.level, seed=asked.seed)
    return {
        "name": other.source.name,
        "verdict": _judge(sides, known, asked, of="other").to_json(),
        "metrics": _json(found),
        "differences": _json(apart),
    }


def _memorisation(copied: Copies, found: Mapping[str, Estimate]) -> dict[str, Any]:
    metrics = {"authenticity": found["authenticity"].to_json()} if "authenticity" in found else {}
    numbers = {"share_real": copied.share_real, "share_fake": copied.share_fake, "p_value": copied.p_value}
    return {"sentence": copied.sentence, "metrics": metrics, **numbers}
