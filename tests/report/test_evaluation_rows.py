from __future__ import annotations

from uncollapse.report.evaluation_exhibits import Tile, Whole
from uncollapse.report.evaluation_rows import Line, line, pair


def tile(row: int | None, side: str = "real", label: str = "", note: str = "", name: str = "") -> Tile:
    return Tile(side=side, row=row, name=name, thumb=None, label=label, note=note)


def test_a_few_rows_are_all_listed_without_separators() -> None:
    assert line([tile(1234), tile(5)], None) == Line(lead="real rows 1234, 5")
    assert line([tile(7)], None).text == "real row 7"
    assert line([tile(None, name="a.png")], None).text == "real row a.png"


def test_of_many_rows_ten_are_shown_the_others_folded_and_the_rest_counted() -> None:
    found = line([tile(i) for i in range(28)], Whole(rows=266))
    assert found.text == "real rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 256 more"
    assert found.head == "The 28 rows that are listed"
    assert found.folded.startswith("0, 1, 2,")
    assert found.folded.endswith(" 26, 27; 238 more are not listed")
    # Nothing is folded away where everything is shown.
    assert line([tile(i) for i in range(10)], Whole(rows=10)) == Line(lead="real rows " + ", ".join("0123456789"))


def test_labels_stand_once_with_the_counts_of_the_whole_group() -> None:
    tiles = [tile(i, label="b") for i in range(5)] + [tile(9, label="a")]
    found = line(tiles, Whole(rows=50, labels=(("a", 29), ("b", 20), ("c", 1)), kinds=3))
    assert found.text == "real rows: label a: 29 rows (9, …); label b: 20 rows (0, 1, 2, …); label c: 1 row"
    assert found.folded == "label b: 0, 1, 2, 3, 4; label a: 9; 44 more are not listed"
    alone = line([tile(1, label="a"), tile(2, label="a"), tile(3)], None)
    assert alone == Line(lead="real rows:", parts=("label a: 2 rows (1, 2)", "no label: 1 row (3)"))
    assert alone.text == "real rows: label a: 2 rows (1, 2); no label: 1 row (3)"


def test_labels_beyond_ten_are_counted() -> None:
    counts = tuple((f"c{i}", 100 - i) for i in range(20))
    text = line([tile(3, label="c15")], Whole(rows=1000, labels=counts, kinds=40)).text
    assert text.endswith("label c9: 91 rows; 30 further labels")
    assert text.count("label c") == 10


def test_a_long_label_is_cut() -> None:
    text = line([tile(1, label="x" * 100)], None).text
    assert "x" * 30 in text
    assert "x" * 60 not in text


def test_a_row_of_two_sides_names_none() -> None:
    assert line([tile(1), tile(2, side="fake")], None).text == "rows 1, 2"


def test_pairs_say_a_shared_label_once_and_others_where_they_are() -> None:
    fake = tile(3, side="fake")
    assert pair([fake, tile(8, note="0.31"), tile(9)]) == "generated row 3: real rows 8 (0.31), 9"
    assert pair([fake]) == "generated row 3"
    labelled = tile(3, side="fake", label="a")
    same = [labelled, tile(8, note="0.31", label="a"), tile(1009, note="0.4", label="a")]
    assert pair(same) == "generated row 3: real rows 8 (0.31), 1009 (0.4); all of label a"
    mixed = [labelled, tile(8, label="b"), tile(9, label="a"), tile(10, label="b")]
    assert pair(mixed) == "generated row 3 of label a: real rows 8, 10 of label b; 9 of label a"
    assert pair([labelled]) == "generated row 3, label a"
