from __future__ import annotations

import math

import pytest

from uncollapse.report.amounts import Amount
from uncollapse.report.sheets import Sheet, document, found, named, used, written

SHEET = Sheet(
    name="measures",
    title="Measures\x1b",
    columns=(*named(("method", "Method"), ("class", "Class")), *found(("recall", "Recall"), ("empty", "Empty"))),
    rows=(("a\u202e", "", Amount(value=0.5, low=0.25, high=math.inf, level=0.95, n=4, kind="share"), ""),),
)


def test_a_document_holds_plain_numbers_and_clean_texts() -> None:
    found_document = document([SHEET])
    assert found_document["schema"] == 1
    (table,) = found_document["tables"]
    assert table["title"] == "Measures"
    assert [column["key"] for column in table["columns"]] == ["method", "class", "recall", "empty"]
    (row,) = table["rows"]
    assert row["method"] == "a"
    assert {key: row["recall"][key] for key in ("value", "low", "high", "level", "n")} == {
        "value": 0.5, "low": 0.25, "high": None, "level": 0.95, "n": 4,
    }  # fmt: skip


def test_what_is_not_there_is_null() -> None:
    sheet = Sheet(name="a", title="a", columns=found(("x", "X")), rows=((Amount(),),))
    assert document([sheet])["tables"][0]["rows"] == [{"x": None}]


def test_columns_that_say_nothing_are_left_out_unless_they_name_the_row() -> None:
    assert [column.key for column in used(SHEET).columns] == ["method", "class", "recall"]
    assert used(SHEET).rows[0][:2] == ("a\u202e", "")


def test_a_row_must_fit() -> None:
    with pytest.raises(ValueError, match="does not fit its 1 columns"):
        Sheet(name="a", title="a", columns=found(("x", "X")), rows=(("1", "2"),))


def test_an_entry_is_one_clean_line() -> None:
    assert written("a\nb") == "ab"
    assert written(Amount(value=0.5, low=0.4, high=0.6, kind="share", basis="4 seeds")) == "50 % [40, 60], 4 seeds"
