from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.report.synthetic import write_run

from uncollapse.report.class_shares import entropies, final_shares, real_entropy, share_bars
from uncollapse.report.load import load
from uncollapse.report.palette import styles
from uncollapse.report.real import real_data
from uncollapse.report.records import Record


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Two seeds on digits whose last shares are set by hand: half 0 and half 1; all of it 1."""
    run = write_run(tmp_path, "a", "digits", [range(10)] * 2, hash_="ab", seeds=(0, 1))
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    lines[-1]["shares"] = [[0.5, 0.5] + [0.0] * 8, [0.0, 1.0] + [0.0] * 8]
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load(run)


def test_bars_are_means_over_seeds(record: Record) -> None:
    ((method, panels),) = share_bars(record.cells, real_data(record, "digits"), columns=11)
    assert method == "a"
    # Means of the two seeds by hand: (0.5 + 0) / 2 = 25 %, (0.5 + 1) / 2 = 75 %.
    assert "mean of 2 seeds: 0: 25 %, 1: 75 %, 2: 0 %" in panels[-1].markup


def test_entropy_of_ten_nearly_equal_classes_is_nearly_log2_of_ten(record: Record) -> None:
    assert real_entropy(real_data(record, "digits")) == pytest.approx(3.3219, abs=0.01)


def test_final_shares_stand_beside_the_real_ones(record: Record) -> None:
    panel = final_shares(record.cells, real_data(record, "digits"), styles(["a"]), "averaged")
    assert panel is not None
    # Ten classes of real data and of one method: twenty bars.
    assert panel.markup.count("fill: var(--real)") == 10
    assert panel.markup.count("fill: var(--m0)") == 10


def test_a_moment_without_any_finite_seed_is_a_gap(record: Record) -> None:
    path = record.directory / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1]["shares"] = [None, None]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    gone = load(record.directory)
    real = real_data(gone, "digits")
    ((_, panels),) = share_bars(gone.cells, real, columns=11)
    assert "no finite sample" in panels[-1].markup
    assert panels[-1].markup.count("<rect") == 0
    assert panels[-1].caption == "4,000: none"
    assert panels[-2].markup.count("<rect") == 10
    full, cut = (entropies(which.cells, real, styles(["a"])) for which in (record, gone))
    assert full is not None
    assert cut is not None
    assert full.markup != cut.markup


def test_half_a_moment_is_the_mean_of_the_seeds_that_are_left(record: Record) -> None:
    path = record.directory / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1]["shares"] = [None, [0.0, 1.0] + [0.0] * 8]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ((_, panels),) = share_bars(load(record.directory).cells, real_data(record, "digits"), columns=11)
    assert "mean of 1 seed: 0: 0 %, 1: 100 %" in panels[-1].markup


def test_equal_seeds_get_no_interval_line_and_unequal_ones_do(record: Record) -> None:
    run = record.cells[0].runs[0].directory
    real = real_data(record, "digits")
    unequal = final_shares(record.cells, real, styles(["a"]), "averaged")
    result = json.loads((run / "result.json").read_text())
    for lane in result["lanes"]:
        lane["counts"]["averaged"]["all"] = [10] * 10
    (run / "result.json").write_text(json.dumps(result))
    equal = final_shares(load(run).cells, real, styles(["a"]), "averaged")
    assert unequal is not None
    assert equal is not None
    # Only the interval lines of the ten classes are drawn in the page's ink.
    assert unequal.markup.count("stroke: var(--ink)") - equal.markup.count("stroke: var(--ink)") == 10
    assert "none where all are equal" in equal.caption
