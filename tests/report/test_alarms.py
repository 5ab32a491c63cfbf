from __future__ import annotations

from typing import Any

from uncollapse.monitoring_rows import MonitorRow
from uncollapse.report.alarms import levels, monitor_sentences, rolled_back, told

HISTORY: list[dict[str, Any]] = [
    {"update": 10, "losses": {}},
    {"update": 30, "alarm": {"status": "never-healthy", "seed": 4, "sentence": "It never was."}},
    {"update": 20, "alarm": {"status": "collapsed", "seed": 3, "sentence": "Coverage fell."}},
    {"update": 20, "rollback": {"seed": 3, "to": 10, "sentence": "Seed 3 was put back."}},
    {"update": 40, "alarm": "x"},
]


def row(status: str, seed: int | None = 3, to: int | None = None) -> MonitorRow:
    return MonitorRow(update=2000, seed=seed, status=status, sentence="", to=to)


def test_rows_come_by_update_and_others_are_left_out() -> None:
    assert [(it.update, it.seed, it.status) for it in told(HISTORY)] == [
        (20, 3, "collapsed"), (20, 3, "rolled back"), (30, 4, "never-healthy"),
    ]  # fmt: skip


def test_a_rollback_that_only_the_result_knows_is_told_and_one_that_both_know_is_told_once() -> None:
    lanes: list[dict[str, Any]] = [
        {"seed": 3, "monitor": {"rolled_back": {"update": 20, "to": 10}}},
        {"seed": 4, "monitor": {"rolled_back": {"update": 25, "to": 15}}},
        {"seed": 5, "monitor": {"rolled_back": None}}, {"seed": 6}, {"seed": 7, "monitor": "x"},
        {"seed": 8, "monitor": {"rolled_back": {"update": "x"}}},
    ]  # fmt: skip
    back = [it for it in told(HISTORY, lanes) if it.status == "rolled back"]
    assert [(it.update, it.seed, it.to) for it in back] == [(20, 3, 10), (25, 4, 15)]


def test_only_a_collapse_is_counted_as_an_alarm() -> None:
    rows = [
        ("vanilla", "ring-8", row("collapsed", 3)), ("vanilla", "ring-8", row("collapsed", 4)),
        ("wgan", "ring-8", row("never-healthy", 3)), ("vanilla", "ring-8", row("rolled back", 4, 10)),
        ("wgan", "grid-25", row("odd", None)),
    ]  # fmt: skip
    assert monitor_sentences(rows) == [
        "The monitor raised 2 alarms: vanilla on ring-8 (seeds 3-4).",
        "Never seen healthy, which is no alarm: wgan on ring-8 (seed 3).",
        "Put back by a rollback, on which their numbers rest: vanilla on ring-8 (seed 4).",
        "The monitor said 1 more thing that this page knows no name for.",
    ]
    assert monitor_sentences([("a", "b", row("collapsed", None))]) == [
        "The monitor raised 1 alarm: a on b (of an unnamed seed)."
    ]
    assert monitor_sentences([]) == []


def test_a_seed_that_was_put_back_is_named_with_what_its_numbers_rest_on() -> None:
    rows = [row("collapsed"), row("rolled back", 3, 1500), row("rolled back", None)]
    assert rolled_back("vanilla", "ring-8", rows) == [
        "vanilla on ring-8: seed 3 was put back at update 2,000 to what it was at update 1,500; its numbers rest on "
        "that rollback.",
        "vanilla on ring-8: a seed was put back at update 2,000; its numbers rest on that rollback.",
    ]


def test_the_level_is_said_of_each_seed() -> None:
    said = levels([{"monitor": {"alpha": 0.03}}, {"monitor": None}, {}, {"monitor": {"alpha": "x"}}])
    assert "a chance of at most 3 %" in said
    assert "each seed by itself" in said
    assert levels([{}]) == ""
