from __future__ import annotations

from pathlib import Path

from tests.report.synthetic import write_run

from uncollapse.report.load import load
from uncollapse.report.palette import styles
from uncollapse.report.real import real_data
from uncollapse.report.sample_map import common_map


def test_the_map_is_seeded_and_says_what_it_is_made_of(tmp_path: Path) -> None:
    record = load(write_run(tmp_path, "a", "digits", [range(10)], hash_="ab", seeds=(0,)))
    real = real_data(record, "digits", n=60)
    first = common_map(record.cells, real, styles(["a"]), "averaged")
    second = common_map(record.cells, real, styles(["a"]), "averaged")
    assert first is not None
    assert first == second
    assert "on the features of the trained classifier" in first.caption


def test_without_samples_there_is_no_map(tmp_path: Path) -> None:
    record = load(write_run(tmp_path, "a", "digits", [None], hash_="ab", seeds=(0,)))
    assert common_map(record.cells, real_data(record, "digits"), styles(["a"]), "averaged") is None
