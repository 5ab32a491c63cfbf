"""What a judgement says: a status, the evidence behind it, what was lost, and how many samples would tell more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["healthy", "suspect", "collapsed", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The answer to one question about a loss.

    Attributes:
        metric: What was asked, for example "class shares".
        value_real: The number of the real side; None where only the two together have one.
        value_fake: The number of the fake side.
        effect: Size of the loss, 0 = none, in the unit that `minimum_effect` has too.
        minimum_effect: From where on a loss counts as collapse.
        p_value: Chance of such a statistic when both sides come from one distribution, from permutations.
        p_adjusted: The same, corrected over all questions asked (Holm).
        significant: Whether `p_adjusted` is at most alpha.
        power: Chance to find a loss of the minimum effect with these sample sizes; None where that is not known.
        needed: Rows a side, as many of each, for 80 % power at the minimum effect; None where that is not known, where
            these rows are enough, and where it is more than are looked at.
        sentence: The answer for people.
    """

    metric: str
    value_real: float | None
    value_fake: float | None
    effect: float
    minimum_effect: float
    p_value: float
    p_adjusted: float
    significant: bool
    power: float | None
    needed: int | None
    sentence: str

    @property
    def collapse(self) -> bool:
        """Whether the loss is significant and at least of the minimum effect."""
        return self.significant and self.effect >= self.minimum_effect


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A class or a region that the generator makes too rarely.

    Attributes:
        mode: Its name.
        kind: "class" or "cluster".
        share_real: Its share of the real rows, in [0, 1].
        share_fake: Its share of the fakes.
        low: Lower end of the 95 % interval of `share_fake`.
        high: Upper end.
        p_adjusted: Corrected over the classes or regions looked at.
        real: Numbers of real rows that belong to it (of those that were looked at closely).
        fake: Numbers of fakes that belong to it.
    """

    mode: str
    kind: Literal["class", "cluster"]
    share_real: float
    share_fake: float
    low: float
    high: float
    p_adjusted: float
    real: tuple[int, ...] = ()
    fake: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All but the row numbers."""
        return {key: value for key, value in asdict(self).items() if key not in ("real", "fake")}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A judgement of one set of fakes against one set of real rows.

    Attributes:
        status: "collapsed": a loss that is significant and at least of its minimum effect; "suspect": significant but
            smaller; "inconclusive": too few rows to find every minimum effect with 80 % power; else "healthy".
        flags: "memorised" where fakes repeat training rows.
        alpha: Chance of a false alarm ("suspect" or "collapsed") of the whole family of questions.
        sentence: The answer for people.
        quality: What else differs between the sides, which is not collapse; None when nothing does.
        evidence: One entry a question.
        lost: Classes and regions made too rarely, worst first.
        needed: Rows a side, as many of each, that the weakest question wants; None when all have power enough, and when
            some question would want more than are looked at.
        n_real: Real rows.
        n_fake: Fakes.
        details: Row numbers and numbers for pictures: "repeated" groups, "regions".
    """

    status: Status
    flags: tuple[str, ...] = ()
    alpha: float
    sentence: str
    quality: str | None = None
    evidence: tuple[Evidence, ...] = ()
    lost: tuple[Lost, ...] = ()
    needed: int | None = None
    n_real: int
    n_fake: int
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Status and sentence, for people."""
        return f"{self.status}: {self.sentence}"

    def to_json(self) -> dict[str, Any]:
        """All that people and programs read, as JSON values; row numbers stay behind."""
        needed = None
        if self.needed is not None:
            needed = {"n": self.needed, "sentence": f"{self.needed:,} samples a side would tell."}
        return {
            "status": self.status,
            "flags": list(self.flags),
            "alpha": self.alpha,
            "sentence": self.sentence,
            "quality": self.quality,
            "evidence": [asdict(found) for found in self.evidence],
            "lost": [lost.to_json() for lost in self.lost],
            "needed": needed,
            "n_real": self.n_real,
            "n_fake": self.n_fake,
        }
