from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.report.synthetic import SEEDS, write_comparison, write_run

from uncollapse.errors import UserError
from uncollapse.report.load import load


def test_a_comparison_is_read_as_it_was_written(comparison: Path) -> None:
    record = load(comparison)
    assert record.tasks == ("ring-8", "blobs-4", "blobs-16", "digits")
    assert (record.headline, record.baseline, record.kind) == ("modes_solid", "vanilla", "comparison")
    assert [len(cell.lanes) for cell in record.cells] == [len(SEEDS)] * len(record.cells)


def test_a_name_in_the_file_cannot_point_outside_the_directory(tmp_path: Path) -> None:
    write_comparison(tmp_path / "here", small=True)
    outside = write_run(tmp_path, "secret", "ring-8", [range(8)], hash_="ab", seeds=(0,))
    path = tmp_path / "here" / "comparison.json"
    content = json.loads(path.read_text())
    content["cells"][0]["runs"] = [f"../../{outside.name}", str(outside)]
    path.write_text(json.dumps(content))
    assert load(tmp_path / "here").cells[0].runs == ()


def test_a_single_run_is_summarised_as_a_comparison_would(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8), range(4), None], hash_="ab", seeds=(0, 1, 2))
    (cell,) = load(run).cells
    # A diverged seed covers nothing: (8 + 4 + 0) / 3 = 4.
    assert cell.measures["modes_solid"]["mean"] == pytest.approx(4)
    assert cell.diverged == (2,)
    assert (cell.success["successes"], cell.success["n"]) == (1, 3)


def test_an_unfinished_run_is_summarised_by_its_newest_snapshot(tmp_path: Path) -> None:
    (cell,) = load(write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 2, hash_="a", until=800, seeds=(0, 1))).cells
    assert cell.measures["modes_solid"]["mean"] == 8
    assert not cell.success
    assert not cell.finished


def test_a_seed_of_an_unfinished_run_that_diverged_is_named_and_counts_as_in_a_finished_one(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 2, hash_="a", until=800, seeds=(0, 1))
    path = run / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for values in line.get("measures", {}).values():
            values[1] = None
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (cell,) = load(run).cells
    assert cell.diverged == (1,)
    assert cell.measures["modes_solid"]["per_seed"] == [8, 0]
    assert cell.measures["modes_solid"]["mean"] == 4


def test_nothing_to_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds neither"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["{", "3"])
def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "spec.json").write_text(content)
    with pytest.raises(UserError, match=r"spec\.json"):
        load(tmp_path)
