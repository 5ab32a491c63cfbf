"""What a look says, as text and as JSON."""

from __future__ import annotations

import json

import pytest

from uncollapse.monitor.verdict import MonitorVerdict, Sign
from uncollapse.verdict.verdict import Lost


def lost(mode: str, share: float = 0.1) -> Lost:
    """A cell without fakes."""
    return Lost(
        mode=mode, kind="cluster", share_real=share, share_fake=0.0, low=0.0, high=0.01, p_adjusted=1e-9, real=(4, 2)
    )


def verdict(status: str = "collapsed", *signs: Sign) -> MonitorVerdict:
    """A look."""
    return MonitorVerdict(
        status=status, step=500, look=2, sentence="Half is lost.", coverage=0.5, low=0.45, best=0.98, e_value=1e6,
        needed=83.0, alarm=True, alarms=1, n_fake=500, shares={"a": (0.5, 1.0), "b": (0.5, 0.0)},
        evidence=signs, what_is_missing=(lost("b", 0.5),),
    )  # type: ignore[arg-type]  # fmt: skip


NARROW = Sign(name="diversity", value=0.4, low=0.9, high=1.1, loss=True, sentence="They vary less.")
FINE = Sign(name="coverage", value=0.97, sentence="Fine.")


def test_json_and_back() -> None:
    one = verdict("collapsed", NARROW, FINE)
    again = MonitorVerdict.from_json(json.loads(json.dumps(one.to_json())))
    assert again == one
    assert again.what_is_missing[0].real == (4, 2)


def test_a_row_of_a_history_is_short() -> None:
    assert verdict().row() == {
        "step": 500, "look": 2, "status": "collapsed", "coverage": 0.5, "low": 0.45, "best": 0.98, "e_value": 1e6,
        "alarm": True,
    }  # fmt: skip


def test_the_text_is_status_and_sentence() -> None:
    assert str(verdict()) == "collapsed: Half is lost."


@pytest.mark.parametrize("status", ["collapsed", "never-healthy"])
def test_against_missing_modes_methods_with_committed_evidence_are_suggested(status: str) -> None:
    from uncollapse.advice import advise

    first, second = verdict(status).suggest
    for suggestion in advise("missing-modes").suggestions[:3]:
        assert suggestion.method in first
        assert suggestion.rows[0].task in first
    assert "uncollapse methods --for missing-modes" in second


def test_a_narrow_generator_gets_other_advice_and_a_healthy_one_none() -> None:
    assert verdict("healthy", FINE).suggest == ()
    assert verdict("warming-up", NARROW).suggest == ()
    assert "--for shrunken-variance" in verdict("healthy", NARROW).suggest[0]
    assert len(verdict("collapsed", NARROW).suggest) == 3
