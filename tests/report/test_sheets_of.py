from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.report.synthetic import write_run

from uncollapse.report.amounts import Amount
from uncollapse.report.formats import FORMATS
from uncollapse.report.load import load
from uncollapse.report.sheets import Sheet
from uncollapse.report.sheets_of import sheets_of


@pytest.fixture(scope="module")
def sheets(comparison: Path) -> tuple[Sheet, ...]:
    return sheets_of(load(comparison))


def test_every_table_of_the_page_is_there(sheets: tuple[Sheet, ...]) -> None:
    assert [(sheet.name, sheet.part) for sheet in sheets] == [
        ("answer", ""), ("measures", "ring-8"), ("measures", "blobs-4"), ("measures", "blobs-16"),
        ("measures", "digits"), ("differences", ""), ("claims", ""), ("cost", ""), ("outcomes", ""), ("runs", ""),
    ]  # fmt: skip


def test_the_measures_are_those_of_the_cells(sheets: tuple[Sheet, ...]) -> None:
    digits = next(sheet for sheet in sheets if sheet.part == "digits")
    keys = [column.key for column in digits.columns]
    assert keys[:4] == ["task", "method", "all_modes_solid", "modes_solid"]
    assert {"class_entropy", "frechet_distance", "recall", "label_agreement"} < set(keys)
    first = dict(zip(keys, digits.rows[0], strict=True))
    recall = first["recall"]
    assert isinstance(recall, Amount)
    assert (recall.value, recall.low, recall.high, recall.n) == (pytest.approx(0.55), 0.4, 0.7, 4)
    assert first["label_agreement"] == Amount()


def test_claims_and_outcomes_say_what_the_page_says(sheets: tuple[Sheet, ...]) -> None:
    named = {sheet.name: sheet for sheet in sheets}
    assert [row[-2] for row in named["claims"].rows].count("outside of it") == 3
    assert named["outcomes"].rows == (("seeds", "wgan-gp on ring-8: seed 1002 diverged at update 2,020."),)
    assert named["differences"].rows[0][:4] == ("ring-8", "wgan-gp", "vanilla", "solid modes")


def test_alarms_of_a_run_are_a_sheet(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 2, hash_="ab", seeds=(4, 5))
    with (run / "history.jsonl").open("a") as stream:
        stream.write(json.dumps({"update": 900, "alarm": {"status": "collapsed", "seed": 5, "sentence": "Gone."}}))
        stream.write("\n")
        stream.write(json.dumps({"update": 900, "rollback": {"seed": 5, "to": 800, "sentence": "Put back."}}))
        stream.write("\n")
    (alarms,) = (sheet for sheet in sheets_of(load(run)) if sheet.name == "alarms")
    assert alarms.rows == (
        ("ring-8", "vanilla", "5", "900", "collapsed", "Gone."),
        ("ring-8", "vanilla", "5", "900", "rolled back", "Put back."),
    )
    sheets = {sheet.name: sheet for sheet in sheets_of(load(run))}
    told = "seed 5 was put back at update 900 to what it was at update 800; its numbers rest on that rollback."
    assert sheets["outcomes"].rows == (("seeds", f"vanilla on ring-8: {told}"),)
    for written in FORMATS.values():
        text = " ".join(written("title", list(sheets.values())).split())
        assert text.count("its numbers rest on that rollback") >= 1
