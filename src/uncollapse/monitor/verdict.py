"""What one look of the monitor says: a status, the evidence for it, what is missing, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Literal, Self

from uncollapse.verdict.verdict import Lost

Status = Literal["warming-up", "healthy", "collapsed", "never-healthy"]
MOST_SUGGESTED = 3


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One number beside coverage, compared with what other real rows give.

    Attributes:
        name: For example "diversity".
        value: Of the fakes.
        low: Lower end of the range in which equally many real rows lie at nearly every look; None where that is not
            known.
        high: Upper end.
        loss: Whether the value lies outside on the side of less variety.
        sentence: For people.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    loss: bool = False
    sentence: str


@dataclass(frozen=True, kw_only=True)
class MonitorVerdict:
    """The judgement of a generator at one look.

    Attributes:
        status: "warming-up" until coverage is surely at the level that counts as healthy; "healthy" from then on;
            "collapsed" after an alarm, until coverage is surely back; "never-healthy" where the patience ended first.
        step: Step of the look; None before the first.
        look: Number of the look, from 1.
        sentence: For people.
        coverage: Estimated coverage of the cells, in [0, 1] (`sequential` says what that is).
        low: Its lower bound, valid for all looks together.
        best: The baseline: the largest lower bound of earlier looks; None before health.
        e_value: Evidence that coverage fell by more than the margin.
        needed: The evidence that raises an alarm.
        alarm: Whether this very look raised one.
        alarms: Alarms so far.
        n_fake: Fakes looked at.
        shares: Name of each cell -> share of the real rows and of the fakes.
        evidence: Further numbers.
        what_is_missing: Cells surely made far too rarely, with the numbers of typical real rows. Sure is meant of one
            look: of the looks at a generator that lacks nothing at most 5 % name a cell.
    """

    status: Status
    step: int | None = None
    look: int = 0
    sentence: str
    coverage: float = 0.0
    low: float = 0.0
    best: float | None = None
    e_value: float = 1.0
    needed: float = 1.0
    alarm: bool = False
    alarms: int = 0
    n_fake: int = 0
    shares: Mapping[str, tuple[float, float]]
    evidence: tuple[Sign, ...] = ()
    what_is_missing: tuple[Lost, ...] = ()

    @property
    def suggest(self) -> tuple[str, ...]:
        """What to try, with where it helped; empty while nothing is wrong, but for about 1 % of looks."""
        if self.status in ("collapsed", "never-healthy"):
            return (*_advice(), *([_SPREAD] if self._narrow else []))
        return (_SPREAD,) if self._narrow and self.status == "healthy" else ()

    @property
    def _narrow(self) -> bool:
        return any(sign.loss and sign.name in ("diversity", "effective_rank", "duplicates") for sign in self.evidence)

    def __str__(self) -> str:
        """Status and sentence."""
        return f"{self.status}: {self.sentence}"

    def row(self) -> dict[str, Any]:
        """A short entry for a history."""
        kept = ("step", "look", "status", "coverage", "low", "best", "e_value", "alarm")
        return {name: getattr(self, name) for name in kept}

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "shares": {name: list(pair) for name, pair in self.shares.items()},
            "evidence": [asdict(sign) for sign in self.evidence],
            "what_is_missing": [{**asdict(lost), "real": list(lost.real), "fake": []} for lost in self.what_is_missing],
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """The verdict that `to_json` wrote."""
        lost = (Lost(**{**row, "real": tuple(row["real"]), "fake": ()}) for row in kept["what_is_missing"])
        return cls(
            **{
                **kept,
                "shares": {name: (pair[0], pair[1]) for name, pair in kept["shares"].items()},
                "evidence": tuple(Sign(**sign) for sign in kept["evidence"]),
                "what_is_missing": tuple(lost),
            }
        )


_SPREAD = (
    "The fakes vary less than real rows do inside what they cover: look for truncated sampling first, then see "
    "`uncollapse methods --for shrunken-variance`."
)


@cache
def _advice() -> tuple[str, ...]:
    """What committed results say against missing modes."""
    from uncollapse.advice import advise, trimmed

    found = trimmed(advise("missing-modes"), MOST_SUGGESTED)
    rows = [
        f"{item.method}{', which needs labels' if item.labelled else ''} ({row.task}: {row.difference or row.value}, "
        f"{row.sure or 'no paired test'})"
        for item in found.suggestions
        for row in item.rows[:1]
    ]
    if not rows:
        return (found.sentence,)
    return (
        f"Against missing modes these helped in committed results: {'; '.join(rows)}.",
        "`uncollapse methods --for missing-modes` shows all the evidence, also what speaks against them.",
    )
