"""What the report of an evaluation shows, as frozen records; `evaluation_load` reads them from the directory.

Nothing here judges: verdict, evidence and estimates come from the file as `uncollapse evaluate` wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from uncollapse.metrics.estimate import Estimate
from uncollapse.report.evaluation_exhibits import (
    Cluster,
    Dimension,
    DimensionTest,
    Gallery,
    Repeated,
    Same,
    Uncovered,
)
from uncollapse.report.evaluation_pictures import Pictures

STATUSES = ("healthy", "suspect", "collapsed", "inconclusive")
# A tile's or cloud's side -> how the page calls it.
SIDES = {"real": "real", "fake": "generated", "other": "other generator", "train": "training"}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One test of the verdict.

    Attributes:
        metric: What was tested, in words: "class share", "repeats".
        value_real: The quantity in the real data; None when it has none.
        value_fake: The same in the fakes.
        effect: How much was lost, on the metric's own scale; None when it could not be computed.
        minimum_effect: From which effect on it counts as collapse.
        p_adjusted: p corrected over all tests of the verdict.
        significant: Whether it is beyond chance.
        sentence: The same in words.
        power: Chance to find a loss of the minimum effect with these rows; None where that is not known.
        needed: Rows a side that would find it in 80 % of evaluations; None where these rows are enough.
    """

    metric: str
    value_real: float | None
    value_fake: float | None
    effect: float | None
    minimum_effect: float | None
    p_adjusted: float | None
    significant: bool
    sentence: str
    power: float | None = None
    needed: int | None = None

    @property
    def reached(self) -> bool:
        """Whether the effect is at least the minimum effect."""
        return self.effect is not None and self.minimum_effect is not None and self.effect >= self.minimum_effect


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One mode that was lost, wholly or in part; `low` and `high` are the interval of its share among the fakes."""

    mode: str
    kind: str
    share_real: float | None
    share_fake: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The judgement of one generator.

    Attributes:
        status: One of `STATUSES`.
        flags: Findings beside the status, for example "memorised".
        alpha: Error rate of the whole family of tests.
        level: Nominal coverage of the intervals of `lost`; .95 unless the file says otherwise.
        sentence: The answer.
        quality: What differs without being collapse; empty when nothing does.
        evidence: The tests.
        lost: What was lost, worst first.
        needed: Rows a side that an answer would take; None unless that is known.
        needed_sentence: The same in words; empty where no answer is missing.
        n_real: Real rows behind it; None when the file does not say.
        n_fake: Fakes behind it.
    """

    status: str
    flags: tuple[str, ...] = ()
    alpha: float | None = None
    level: float = 0.95
    sentence: str
    quality: str = ""
    evidence: tuple[Evidence, ...] = ()
    lost: tuple[Loss, ...] = ()
    needed: int | None = None
    needed_sentence: str = ""
    n_real: int | None = None
    n_fake: int | None = None


@dataclass(frozen=True, kw_only=True)
class Side:
    """One data set that was read.

    Attributes:
        name: As the user wrote it.
        form: What it is: "folder of images", "NumPy file".
        kind: "images" or "features".
        labelled: Whether its rows have labels.
        rows: Readable rows; None when the file does not say.
        bad: Name and reason of rows that could not be read, the first ones.
        bad_count: How many could not be read.
        policies: What was done to rows on reading -> to how many.
        sizes: "28 x 28" -> images.
        channels: "grey" or "colour" -> images.
    """

    name: str
    form: str = ""
    kind: str = ""
    labelled: bool = False
    rows: int | None = None
    bad: tuple[tuple[str, str], ...] = ()
    bad_count: int = 0
    policies: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    channels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Counts of rows a class; all lists are as long as `names`, `other` may be missing."""

    source: str
    names: tuple[str, ...]
    real: tuple[int, ...]
    fake: tuple[int, ...]
    other: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ClassVerdict:
    """The judgement within one class."""

    label: str
    n_real: int | None
    n_fake: int | None
    status: str
    sentence: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, kw_only=True)
class Versus:
    """A second generator against the same real data; `differences` are fake minus other."""

    name: str
    verdict: Verdict
    metrics: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """What turned images into features."""

    name: str
    digest: str
    why: str
    width: int | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything one report of an evaluation shows; each field is as its key in `evaluation.json`."""

    directory: Path
    verdict: Verdict
    metrics: Mapping[str, Estimate]
    names: Mapping[str, str]
    extractor: Extractor | None
    inputs: Mapping[str, Side]
    notes: tuple[str, ...]
    classes: Classes | None
    clusters: tuple[Cluster, ...]
    galleries: tuple[Gallery, ...]
    dimensions: tuple[Dimension, ...]
    per_class: tuple[ClassVerdict, ...]
    versus: Versus | None
    memorisation: tuple[str, Mapping[str, Estimate]] | None
    next: tuple[str, ...]
    command: str
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    pictures: Pictures
    uncovered: Uncovered | None = None
    repeated: Repeated | None = None
    dimension_test: DimensionTest | None = None
    same: tuple[Same, ...] = ()

    @property
    def fake_name(self) -> str:
        """The generated data as the user named it."""
        return self.inputs["fake"].name if "fake" in self.inputs else "the fakes"

    def of(self, kind: str) -> tuple[Gallery, ...]:
        """The galleries of one kind, in order."""
        return tuple(gallery for gallery in self.galleries if gallery.kind == kind)
