from __future__ import annotations

from typing import Any

import pytest

from uncollapse.monitoring_rows import COLLAPSED, NEVER_HEALTHY, ROLLED_BACK, MonitorRow, monitor_row


def test_an_alarm_is_one_and_what_was_never_healthy_is_none() -> None:
    told = {"status": COLLAPSED, "seed": 3, "sentence": "Coverage\x1b[31m fell."}
    row = monitor_row({"update": 20, "alarm": told})
    assert row == MonitorRow(update=20, seed=3, status="collapsed", sentence="Coverage[31m fell.")
    assert (row.raised, row.words) == (True, "collapsed: Coverage[31m fell.")
    never = monitor_row({"update": 30, "alarm": told | {"status": NEVER_HEALTHY}})
    assert never is not None
    assert (never.raised, never.to) == (False, None)


def test_a_rollback_says_where_it_went_back_to_and_is_no_alarm() -> None:
    row = monitor_row({"update": 50, "rollback": {"seed": 4, "to": 40, "sentence": "Put back."}})
    assert row == MonitorRow(update=50, seed=4, status=ROLLED_BACK, sentence="Put back.", to=40)
    assert not row.raised


@pytest.mark.parametrize(
    "line",
    [
        {}, {"update": 1}, {"update": 1, "alarm": None}, {"update": 1, "alarm": "x"}, {"update": None, "alarm": {}},
        {"alarm": {}}, {"update": True, "alarm": {}}, {"update": 1, "rollback": [1]}, {"update": -1, "alarm": {}},
        {"update": 10**400, "alarm": {}}, {"update": 1.5, "rollback": {}}, {"update": float("nan"), "alarm": {}},
    ],
)  # fmt: skip
def test_other_lines_tell_nothing(line: dict[str, Any]) -> None:
    assert monitor_row(line) is None


def test_a_row_without_anything_still_says_what_it_is() -> None:
    alarm = monitor_row({"update": 5, "alarm": {"seed": "x", "status": None, "sentence": 0}})
    back = monitor_row({"update": 5, "rollback": {"to": "x"}})
    assert alarm == MonitorRow(update=5, seed=None, status="alarm", sentence="")
    assert back == MonitorRow(update=5, seed=None, status=ROLLED_BACK, sentence="")
    assert (alarm.words, back.words) == ("alarm", "rolled back")
