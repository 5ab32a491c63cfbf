"""The simulation behind results/intervals: truths that are known otherwise, and a record that survives kills."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import cells
import coverage_table as table
import intervals
import populations

CELL = cells.Cell(family="labels", world="classes", size=10, n_real=500, n_fake=500, different=False)


def test_the_accuracy_of_a_linear_classifier_is_what_many_rows_say() -> None:
    stream = np.random.default_rng(0)
    real, fake = populations.gaussian(16, different=False), populations.modes(16, different=True)
    seen = np.concatenate([real.draw(300, stream), fake.draw(300, stream)])
    shift, scale = seen.mean(0, dtype=np.float64), seen.std(0, dtype=np.float64)
    model = LogisticRegression().fit((seen - shift) / scale, np.repeat([0, 1], 300))
    called = [model.predict((side.draw(100_000, stream) - shift) / scale) for side in (real, fake)]
    counted = ((called[0] == 0).mean() + (called[1] == 1).mean()) / 2
    assert 0.6 < counted < 0.99
    assert cells.accuracy(model, seen, real, fake) == pytest.approx(counted, abs=0.004)
    assert cells.accuracy(model, seen, real, real) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("d", [2, 16, 64])
def test_the_sliced_distance_of_gaussians_is_their_closed_form(d: int) -> None:
    """One is .8 times as wide as the other in every direction: 3 (|difference of means|^2 + .2^2 tr S)."""
    one, other = (populations.gaussian(d, different=side) for side in (False, True))
    value, error = populations.sliced(one, other)
    assert value == pytest.approx(3 * (((one.mean - other.mean) ** 2).sum() + 0.04 * one.variances.sum()), rel=1e-6)
    assert error < 1e-6


def row(value: float | None, low: float | None, high: float | None, **more: Any) -> cells.Row:
    return {"value": value, "low": low, "high": high, "conservative": False, **more}


def lines(measured: dict[int, cells.Row], fresh: dict[int, float], name: str) -> str:
    kept = [(i, 0.95, found) for i, found in measured.items()]
    kept += [(i, None, {"value": value}) for i, value in fresh.items()]  # type: ignore[misc]
    return "".join(
        json.dumps({"repeat": i, "level": level, "seconds": 1.0, "code": "a", "metrics": {name: found}}) + "\n"
        for i, level, found in kept
    )


def test_a_torn_line_is_none_and_a_draw_counts_once(tmp_path: Path) -> None:
    path = table.path_of(tmp_path, CELL)
    measured = {0: row(1.0, 0.0, 2.5), 1: row(3.0, 2.5, 4.0)}
    path.write_text(lines(measured, {1: 3.0, 2: 2.0}, "class_kl") + '{"repeat": 3, "lev')
    kept = table.read(tmp_path, CELL)
    found = table.summarise(CELL, "class_kl", kept)
    assert found is not None
    assert (found["truth"], found["truth_from"], found["coverage"]) == (2.0, "mean of 3 draws", 0.5)
    assert (found["interval_too_high"], found["interval_too_low"]) == (1, 0)
    table.mend(path)
    assert path.read_text().endswith("}\n")
    assert len(table.lines_of(path)) == 4


def test_the_truth_of_mode_coverage_is_that_of_the_classes_seen() -> None:
    kept = table.Kept(measured={0: {"mode_coverage": row(9.0, 8.0, 9.0, truth=9.0)}})
    found = table.summarise(CELL, "mode_coverage", kept)
    assert found is not None
    assert (found["coverage"], found["truth"]) == (1.0, 9.0)


@pytest.mark.parametrize(
    ("held", "n", "conservative", "text"),
    [
        (475, 500, 0.0, "95.0"),
        (450, 500, 0.0, "**90.0** ~"),
        (440, 500, 0.0, "**88.0**"),
        (498, 500, 0.0, "99.6 +"),
        (492, 500, 0.0, "98.4 + ~"),
        (498, 500, 0.9, "99.6 (c)"),
        (440, 500, 0.9, "**88.0**"),
    ],
)
def test_marks(held: int, n: int, conservative: float, text: str) -> None:
    found = {"coverage": held / n, "coverage_wilson": table.wilson(held, n), "conservative": conservative}
    assert table.mark(found) == text
    assert table.doubtful(found) == (not text.startswith(("95", "99.6 (c)")))


def options(folder: Path, **changes: Any) -> argparse.Namespace:
    known = {"out": folder, "metrics": [], "repeats": 4, "fresh": 6, "again": 0}
    return argparse.Namespace(**known | changes)


def test_what_is_drawn_more_often_is_drawn_to_the_end(tmp_path: Path) -> None:
    """Whoever stops and goes on must not leave a doubtful cell as soon as it looks sound."""
    bad, good = row(1.0, 5.0, 6.0), row(1.0, 0.0, 2.0)
    path = table.path_of(tmp_path, CELL)
    path.write_text(lines({i: bad if i < 2 else good for i in range(8)}, {}, "class_entropy"))
    asked = list(intervals.tasks_of(CELL, options(tmp_path, metrics=["class_entropy"], again=10), "a"))
    assert [(task.metrics, task.repeats, task.level) for task in asked] == [(("class_entropy",), (8, 9), 0.95)]
    path.write_text(lines(dict.fromkeys(range(8), good), {}, "class_entropy"))
    asked = list(intervals.tasks_of(CELL, options(tmp_path, metrics=["class_entropy"], again=10), "a"))
    assert [task.repeats for task in asked] == [(8, 9)], (
        "a coverage of all is above 98 without being called conservative"
    )


def test_only_simulated_truths_are_drawn_afresh(tmp_path: Path) -> None:
    asked = list(intervals.tasks_of(CELL, options(tmp_path), "a"))
    assert [(task.repeats, task.level) for task in asked] == [((0, 1, 2, 3), 0.95), ((4, 5), None)]
    assert set(asked[0].metrics) == set(cells.LABEL_METRICS)
    assert asked[1].metrics == ("class_kl", "chi_square")


def test_an_unfinished_table_says_so() -> None:
    def progress(kept: table.Kept) -> str:
        return table.progress([CELL], table.summaries_of({CELL: kept}), 2, 3)

    kept = table.Kept(measured={i: {"class_entropy": row(1.0, 0.0, 2.0)} for i in range(2)})
    assert progress(kept).startswith("1 of 4 coverages have all 2 repeats, 2 all draws")
    assert progress(kept).endswith("**Unfinished.**")
    assert table.progress([CELL], {}, 2, 3).startswith("0 of 4 coverages have all 2 repeats, 2 all draws")
    whole = {i: dict.fromkeys(cells.LABEL_METRICS, row(1.0, 0.0, 2.0, truth=1.0)) for i in range(2)}
    done = table.Kept(measured=whole, fresh={2: dict.fromkeys(cells.LABEL_METRICS, row(1.0, None, None))})
    assert not progress(done).endswith("**Unfinished.**")


def test_a_table_grows_from_machine_to_machine(tmp_path: Path) -> None:
    other = dataclasses.replace(CELL, size=2)
    held, missed = row(1.0, 0.0, 2.0), row(1.0, 5.0, 6.0)

    def write(cell: cells.Cell, *rows: cells.Row) -> dict[str, Any]:
        """What one machine drew, joined; the other cell is empty there."""
        kept = table.Kept(measured={i: {"class_kl": found} for i, found in enumerate(rows)}, seconds=3600, codes={"b"})
        table.write_table(tmp_path, {CELL: table.Kept(), other: table.Kept(), cell: kept}, 2, 2)
        found: dict[str, Any] = json.loads((tmp_path / "coverage.json").read_text())
        return found

    assert write(CELL, held, held, held)["cpu_hours"] == 1
    both = write(other, missed, missed)
    assert both["cpu_hours"] == 2
    assert [(found["size"], found["metrics"]["class_kl"]["coverage"]) for found in both["rows"]] == [(10, 1), (2, 0)]
    assert write(CELL, missed, missed) == both, "two repeats do not replace three"
    again = write(CELL, missed, held, held)
    assert again["cpu_hours"] == 2, "the same cell drawn again counts once"
    assert again["rows"][0]["metrics"]["class_kl"]["coverage"] == pytest.approx(2 / 3)
    assert "2 of 8 coverages have all 2 repeats" in (tmp_path / "README.md").read_text()


def test_what_is_forgotten_is_drawn_again(tmp_path: Path) -> None:
    path = table.path_of(tmp_path, CELL)
    path.write_text(
        lines({0: row(1.0, 0.0, 2.0)}, {1: 1.0}, "class_kl") + lines({0: row(1.0, 0.0, 2.0)}, {}, "chi_square")
    )
    table.forget(tmp_path, ["class_kl"])
    kept = table.read(tmp_path, CELL)
    assert {name for rows in kept.measured.values() for name in rows} == {"chi_square"}
    assert not kept.fresh
