from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.report.synthetic import write_run

from uncollapse.report.class_shares import Bars, entropies, final_shares, real_entropy, share_bars
from uncollapse.report.curves import Panel
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


def only(bars: Bars | None) -> tuple[str, list[Panel]]:
    """The one row of a chart of one method."""
    assert bars is not None
    (row,) = bars.rows
    return row


def test_bars_are_means_over_seeds(record: Record) -> None:
    method, panels = only(share_bars(record.cells, real_data(record, "digits"), columns=11))
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
    _, panels = only(share_bars(gone.cells, real, columns=11))
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
    _, panels = only(share_bars(load(record.directory).cells, real_data(record, "digits"), columns=11))
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


def test_all_charts_of_a_task_share_a_scale_and_ticks_stand_at_the_true_shares(tmp_path: Path) -> None:
    even = write_run(tmp_path / "1", "a", "unequal-4", [range(4)], hash_="ab", seeds=(0,))
    lone = write_run(tmp_path / "2", "b", "unequal-4", [range(4)], hash_="cd", seeds=(0,))
    for run, shares in ((even, [0.25] * 4), (lone, [0.0, 0.9, 0.1, 0.0])):
        lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
        for line in lines:
            if "shares" in line:
                line["shares"] = [shares]
        (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    records = [load(run) for run in (even, lone)]
    cells = [record.cells[0] for record in records]
    bars = share_bars(cells, real_data(records[0], "unequal-4"), columns=3)
    assert bars is not None
    assert (bars.top, bars.cut) == (pytest.approx(0.9), False)
    # Zipf's weights 12, 6, 4 and 3 of 25; a chart is 74 high.
    ticks = "".join(f"M{32.5 * k:.1f} {74 - 74 * share / 25 / 0.9:.1f}h32.5" for k, share in enumerate((12, 6, 4, 3)))
    for _, panels in bars.rows:
        assert all(f'class="fair" d="{ticks}"' in panel.markup for panel in panels)
    assert f'height="{74 * 0.25 / 0.9:.1f}"' in bars.rows[0][1][-1].markup
    alone = share_bars(cells[:1], real_data(records[0], "unequal-4"), columns=3)
    assert alone is not None
    assert alone.top == pytest.approx(2.2 / 4), "equal shares leave room above them"
