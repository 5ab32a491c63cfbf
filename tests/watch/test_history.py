"""Lines of a history taken one by one, well-formed and not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.watch.making import loss_line, snapshot_line

from uncollapse.watch.history import MOST_ALARMS, History


def test_losses_measures_and_shares_are_kept() -> None:
    history = History(2)
    history.take(snapshot_line(0, [[0.5, 0.5], [1.0, 0.0]]))
    history.take(loss_line(10, [1.0, 2.0], [3.0, 4.0]))
    assert history.update == 10
    assert history.curves["critic"].to_json(9)["low"] == [[1.0], [2.0]]
    assert history.curves["generator"].to_json(9)["low"] == [[3.0], [4.0]]
    assert history.curves["modes_solid"].to_json(9) == {"x": [0], "low": [[2.0], [1.0]]}
    assert history.lives.updates == [0]
    assert history.odd == 0


def test_a_lane_without_a_loss_has_diverged_from_the_first_such_line_on() -> None:
    history = History(3)
    for update, critic in ((10, [1.0, 1.0, 1.0]), (20, [1.0, None, 1.0]), (30, [1.0, None, None])):
        history.take(loss_line(update, critic))
    assert history.diverged == {1: 20, 2: 30}
    assert history.odd == 0


def test_the_live_generator_is_shown_where_the_plan_is_about_it() -> None:
    line = snapshot_line(0, [[0.5, 0.5]])
    line |= {"measures_live": {key: [7.0] for key in line["measures"]}, "shares_live": [[1.0, 0.0]]}
    averaged, live = History(1), History(1, weights="live")
    averaged.take(line)
    live.take(line)
    assert averaged.curves["modes_hit"].last.tolist() == [2.0]
    assert live.curves["modes_hit"].last.tolist() == [7.0]
    assert live.lives.levels(None)[0, 0].tolist() != averaged.lives.levels(None)[0, 0].tolist()
    old = History(1, weights="live")
    old.take(snapshot_line(0, [[0.5, 0.5]]))  # snapshots of old runs judge the averaged generator only
    assert old.curves["modes_hit"].last.tolist() == [2.0]


def test_alarms_are_kept_with_their_sentences() -> None:
    history = History(2)
    history.take(
        {"update": 40, "alarm": {"status": "collapsed", "seed": 1, "sentence": "Seed 1 lost \x1b[31m3 modes."}}
    )
    history.take({"update": 50, "alarm": {"extra": [1, 2], "status": "never-healthy"}})
    assert history.alarms == [
        {"update": 40, "seed": 1, "status": "collapsed", "sentence": "Seed 1 lost [31m3 modes."},
        {"update": 50, "seed": None, "status": "never-healthy", "sentence": ""},
    ]
    told = {"seed": 1, "to": 30, "sentence": "Seed 1 was put back."}
    history.take({"update": 60, "rollback": told})
    assert history.alarms[2] == {"update": 60, "seed": 1, "status": "rolled back", "sentence": "Seed 1 was put back."}
    assert history.alarm_count == 1  # what was never healthy is no alarm, and what was done about one is none
    assert history.odd == 0
    for update in range(1_000):
        history.take({"update": update, "alarm": {"status": "collapsed"}})
    assert (len(history.alarms), history.alarm_count, history.told_count) == (MOST_ALARMS, 1_001, 1_003)
    assert history.odd == 0


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"update": -1},
        {"update": "<script>alert(1)</script>"},
        {"update": 10**400},
        {"update": 1, "losses": [1, 2]},
        {"update": 1, "losses": {"critic": "x", "generator": {}}},
        {"update": 1, "losses": {"critic": [1.0], "generator": [1.0]}},
        {"update": 1, "losses": {"critic": [[1.0], [2.0]], "generator": [[1.0], [2.0]]}},
        {"update": 1, "losses": {"critic": ["a", "b"], "generator": [{}, []]}},
        {"update": 1, "losses": {"critic": [10**400, 1], "generator": [10**400, 1]}},
        {"update": 1, "snapshot": True},
        {"update": 1, "snapshot": True, "shares": "x", "measures": "y"},
        {"update": 1, "snapshot": True, "shares": [[1.0]], "measures": {}},
    ],
)
def test_lines_that_are_not_ours_are_counted_and_leave_everything_as_it_was(line: dict[str, Any]) -> None:
    history = History(2)
    history.take(line)
    assert history.odd == 1
    assert all(curve.count == 0 for curve in history.curves.values())
    assert history.lives.updates == []


def test_values_that_are_not_finite_are_gaps() -> None:
    history = History(2)
    history.take(loss_line(1, [float("inf"), 1.0], [1e308, 1.0]))  # 1e999 in a file is infinity in Python
    assert np.isnan(history.curves["critic"].last).tolist() == [True, False]
    assert np.isnan(history.curves["generator"].last).tolist() == [True, False]
