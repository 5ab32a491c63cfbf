from __future__ import annotations

from typing import Any

import pytest

from uncollapse.report.alarms import Alarm, alarms


def test_rows_with_an_alarm_become_alarms_in_order() -> None:
    history: list[dict[str, Any]] = [
        {"update": 10, "losses": {}},
        {"update": 20, "alarm": {"status": "collapsed", "seed": 3, "sentence": "Coverage\x1b[31m fell."}},
        {"update": 30, "alarm": {"status": "never healthy"}},
    ]
    first, second = alarms(history)
    assert first == Alarm(update=20, seed=3, status="collapsed", sentence="Coverage[31m fell.")
    assert first.words == "collapsed: Coverage[31m fell."
    assert (second.seed, second.words) == (None, "never healthy")


@pytest.mark.parametrize(
    "row",
    [
        {"update": 1, "alarm": None}, {"update": 1, "alarm": "x"}, {"update": None, "alarm": {}}, {"alarm": {}},
        {"update": True, "alarm": {}},
    ],
)  # fmt: skip
def test_other_rows_are_left_out(row: dict[str, Any]) -> None:
    assert alarms([row]) == ()


def test_an_alarm_without_anything_still_says_what_it_is() -> None:
    assert alarms([{"update": 5, "alarm": {"seed": "x"}}])[0].words == "alarm"
