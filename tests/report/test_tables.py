from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.synthetic import write_run

from uncollapse.report.amounts import Amount
from uncollapse.report.load import load
from uncollapse.report.measures import measure_of
from uncollapse.report.records import Cell, Record
from uncollapse.report.tables import differences, monitor_rows, outcomes, table


@pytest.fixture(scope="module")
def record(comparison: Path) -> Record:
    return load(comparison)


def test_every_value_carries_its_interval_and_seeds(record: Record) -> None:
    shown = table(record, "ring-8")
    assert [measure.key for measure in shown.columns] == [
        "high_quality_share", "kl_high_quality", "core_sigma_ratio", "tutorial_coverage",
    ]  # fmt: skip
    vanilla, healthy, third = shown.rows
    assert vanilla.headline.texts == ("4.2", "2.7 to 5.8", "4 seeds")
    # The diverged seed has no KL, so three seeds are behind that mean.
    assert healthy.values[1].basis == "3 seeds"
    assert third.values[1].texts == ("", "", "")
    assert vanilla.success.texts == ("0 of 4", "1 to 60 %", "4 seeds")


def test_strips_place_dots_in_per_cent_and_lift_equal_ones(record: Record) -> None:
    strip = table(record, "ring-8").rows[0].strip
    assert strip is not None
    # Seeds 3, 4, 5, 5 of 8 modes; the second 5 is lifted off the first.
    assert [dot[0] for dot in strip.dots] == [37.5, 50.0, 62.5, 62.5]
    assert strip.dots[2][1] != strip.dots[3][1]
    assert strip.mean == pytest.approx(53.12)
    assert (strip.left, 100 - strip.right) == pytest.approx((33.75, 72.5))


@pytest.mark.parametrize(("seeds", "dots"), [(5, 5), (6, 1)])
def test_of_many_seeds_at_one_place_one_dot_counts(seeds: int, dots: int) -> None:
    """Twelve equal seeds were drawn as five circles, the later ones on top of the first."""
    entry = {"mean": 8.0, "low": 6.0, "high": 8.0, "per_seed": [8.0] * seeds, "bounds": [0, 8]}
    cell = Cell(method="a", task="t", seeds=tuple(range(seeds)), runs=(), measures={"modes_solid": entry})
    made = Record(directory=Path(), kind="comparison", plan={}, cells=(cell,), versions={}, command="")
    shown = table(made, "t")
    strip = shown.rows[0].strip
    assert strip is not None
    assert len({dot[:2] for dot in strip.dots}) == len(strip.dots) == dots
    assert sum(dot[3] for dot in strip.dots) == seeds
    assert shown.counted == (dots == 1)
    assert strip.dots[-1][2] == ("6 seeds: 8" if dots == 1 else "seed 4: 8")


def test_differences_are_amounts_with_their_texts(record: Record) -> None:
    first = differences(record, "ring-8")[0]
    assert (*first.difference.texts, first.p.text) == ("+1.5", "\u22125.0 to 7.5", "4 seeds", "0.75")
    assert (first.difference.value, first.difference.n) == (1.5, 4)


def test_dots_say_which_seed_they_are(record: Record) -> None:
    strip = table(record, "ring-8").rows[0].strip
    assert strip is not None
    assert [dot[2] for dot in strip.dots] == ["seed 1000: 3", "seed 1001: 4", "seed 1002: 5", "seed 1003: 5"]
    assert strip.label.endswith("4 seeds (seed 1000: 3, seed 1001: 4, seed 1002: 5, seed 1003: 5)")


def test_alarms_are_listed_by_cell_and_update(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 2, hash_="ab", seeds=(4, 5))
    rows = [
        {"update": 900, "alarm": {"status": "collapsed", "seed": 5, "sentence": "Coverage fell."}},
        {"update": 800, "alarm": {"status": "collapsed", "seed": 4, "sentence": "Coverage fell."}},
    ]
    with (run / "history.jsonl").open("a") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows))
    found = monitor_rows(load(run))
    assert [(method, task, alarm.update, alarm.seed) for method, task, alarm in found] == [
        ("vanilla", "ring-8", 800, 4), ("vanilla", "ring-8", 900, 5),
    ]  # fmt: skip


def test_a_diverged_seed_is_always_named(record: Record) -> None:
    assert outcomes(record) == ["wgan-gp on ring-8: seed 1002 diverged at update 2,020."]


def test_many_methods_are_ranked_and_few_are_not(record: Record) -> None:
    few = table(record, record.tasks[0])
    assert few.ranked == few.rows
    many = replace(few, rows=few.rows * 5)
    means = [row.strip.mean for row in many.ranked if row.strip]
    assert len(many.ranked) == len(many.rows) > 8
    assert means == sorted(means, reverse=True)
    assert means != [row.strip.mean for row in many.rows if row.strip]


@pytest.mark.parametrize(
    ("key", "order"), [("core_sigma_ratio", [1.1, 0.8, 3.0, None]), ("kl_all", [0.8, 1.1, 3.0, None])]
)
def test_the_best_come_first_in_the_direction_of_the_headline(
    record: Record, key: str, order: list[float | None]
) -> None:
    few = table(record, record.tasks[0])
    rows = tuple(replace(few.rows[0], headline=Amount(value=value)) for value in (3.0, None, 0.8, 1.1) * 3)
    ranked = replace(few, rows=rows, headline=measure_of(key)).ranked
    assert [row.headline.value for row in ranked][::3] == order
