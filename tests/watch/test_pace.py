"""Pace and status from clocks and dates: numbers worked out by hand."""

from __future__ import annotations

import pytest

from uncollapse.watch.pace import QUIET_SECONDS, Pace, Silence, pace, status, total_left


def clock(update: object, begun: object, seconds: object) -> dict[str, object]:
    return {"update": update, "from": begun, "seconds": seconds}


def test_the_newest_clock_of_the_newest_sitting_decides() -> None:
    lines = [clock(1_000, 0, 100.0), clock(1_500, 1_000, 25.0)]
    now = pace(lines, 4, update=1_500, elapsed=None)
    assert now.updates_per_second == 20.0
    assert now.speed == 80.0
    assert now.seconds_left(1_500, 2_500) == 50.0
    assert now.seconds_left(2_500, 2_500) == 0.0


def test_a_sitting_that_has_done_nothing_yet_leaves_the_word_to_the_one_before() -> None:
    lines = [clock(1_000, 0, 100.0), clock(1_000, 1_000, 0.0)]
    assert pace(lines, 1, update=1_000, elapsed=None).updates_per_second == 10.0


@pytest.mark.parametrize(
    "line", [clock("x", 0, 1.0), clock(5, 0, None), clock(5, 0, float("inf")), clock(5, None, 1.0), {}]
)
def test_clocks_that_say_nothing_are_passed_over(line: dict[str, object]) -> None:
    assert pace([line], 1, update=5, elapsed=100.0).updates_per_second is None


def test_before_the_first_clock_the_dates_of_the_files_tell() -> None:
    assert pace([], 2, update=300, elapsed=15.0).updates_per_second == 20.0
    assert pace([], 2, update=300, elapsed=0.5).updates_per_second is None
    assert pace([], 2, update=0, elapsed=15.0).seconds_left(0, 100) is None


def test_patience_is_longer_for_a_slow_run() -> None:
    assert Pace(updates_per_second=None, lanes=1).patience(1_000, 1) == QUIET_SECONDS
    assert Pace(updates_per_second=100.0, lanes=1).patience(20_000, 1) == QUIET_SECONDS
    # A line every 20 rounds of 5 critic steps, at one update in 2 s: 200 s between two lines.
    assert Pace(updates_per_second=0.5, lanes=1).patience(2_000, 5) == 1_000.0
    # A line every 200th of the budget: 500 updates in 1,000 s.
    assert Pace(updates_per_second=0.5, lanes=1).patience(100_000, 1) == 5_000.0


def test_silence_is_measured_by_our_clock_once_something_was_seen_to_change() -> None:
    silence = Silence()
    assert silence.seconds(None, wall=1_000.0, steady=0.0) == 0.0
    # An old directory: its dates are all there is.
    assert silence.seconds(900.0, wall=1_000.0, steady=1.0) == 100.0
    # It is written by a machine whose clock is an hour behind: silence counts from what we saw.
    assert silence.seconds(905.0, wall=5_000.0, steady=2.0) == 0.0
    assert silence.seconds(905.0, wall=5_010.0, steady=12.0) == 10.0
    # A clock that is ahead gives no negative time.
    assert Silence().seconds(2_000.0, wall=1_000.0, steady=0.0) == 0.0


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "training"),
        ({"started": False}, "waiting"),
        ({"finished": True, "silent": 1e9}, "finished"),
        ({"finished": True, "failed": True}, "finished"),
        ({"failed": True}, "failed"),
        ({"silent": 181.0}, "stalled"),
        ({"silent": 179.0}, "training"),
        ({"done": True, "silent": 181.0}, "judging"),
        ({"done": True, "silent": 901.0}, "stalled"),
    ],
)
def test_the_status_of_a_run(facts: dict[str, object], expected: str) -> None:
    usual: dict[str, object] = {"started": True, "finished": False, "failed": False, "done": False, "silent": 0.0}
    assert status(**{**usual, **facts}, patience=180.0) == expected  # type: ignore[arg-type]


def row(status: str, update: int, speed: float | None, left: float | None) -> dict[str, object]:
    return {"status": status, "update": update, "updates": 1_000, "n": 2, "speed": speed, "left": left}


def test_the_time_left_of_all_runs() -> None:
    rows = [row("training", 500, 100.0, 10.0), row("waiting", 0, None, None), row("finished", 1_000, None, None)]
    # 1,000 + 2,000 updates of single seeds at 100 a second.
    assert total_left(rows) == 30.0
    assert total_left([row("training", 500, 100.0, 10.0), row("training", 900, 1.0, 200.0)]) == 200.0
    assert total_left([row("waiting", 0, None, None)]) is None
    assert total_left([row("stalled", 10, None, None)]) is None
