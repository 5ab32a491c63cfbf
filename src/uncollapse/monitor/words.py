"""A look in words."""

from __future__ import annotations

from uncollapse.monitor.sequential import Outcome
from uncollapse.monitor.verdict import Status
from uncollapse.verdict.question import percent
from uncollapse.verdict.verdict import Lost

NAMED = 4


def sentence(
    status: Status, kind: str, outcome: Outcome, missing: tuple[Lost, ...], bad: int, margin: float, patience: int
) -> str:
    """A look in words.

    Args:
        status: Of the look.
        kind: "classes" or "clusters".
        outcome: What the test says.
        missing: Cells made far too rarely.
        bad: Fakes that are not finite.
        margin: Of the test.
        patience: Looks.
    """
    reached = f"the fakes reach the {kind} that hold {percent(outcome.coverage)} of the real data"
    parts = {
        "warming-up": f"{reached}; health is not established yet.",
        "healthy": f"{reached}, surely at least {percent(outcome.low)}.",
        "never-healthy": f"{reached}; in {patience:,} looks and more it was never surely healthy.",
        "collapsed": f"{reached}, after {percent(outcome.best or 0.0)} at best: more than the margin of "
        f"{percent(margin)} is lost.",
    }[status]
    nan = f" {bad:,} fakes are not finite." if bad else ""
    return " ".join(filter(None, [parts + nan, missing_sentence(missing)]))


def missing_sentence(missing: tuple[Lost, ...]) -> str:
    """The lost cells in words; empty where there are none."""
    if not missing:
        return ""
    listed = ", ".join(
        f"{lost.mode} ({percent(lost.share_real)} of the real rows, {percent(lost.share_fake)} of the fakes)"
        for lost in missing[:NAMED]
    )
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return f"Missing: {listed}{more}."
