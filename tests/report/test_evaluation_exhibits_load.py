from __future__ import annotations

from typing import Any

import pytest

from uncollapse.report.evaluation_exhibits import DimensionTest, Repeated, Same, Uncovered, Whole
from uncollapse.report.evaluation_exhibits_load import (
    cluster,
    dimension,
    dimension_test,
    gallery,
    repeated,
    same,
    uncovered,
)
from uncollapse.report.evaluation_values import Damaged, Node

TILE = {"side": "real", "row": 5, "name": "a", "thumb": None, "label": "7", "note": ""}


def node(**content: Any) -> Node:
    return Node(content=content, place="it")


def test_a_row_of_tiles_keeps_what_it_is_a_part_of() -> None:
    wholes = [{"rows": 98, "labels": [["3", 97], ["8", 1]], "kinds": 2}, {"rows": 4}, {"rows": 1, "labels": []}]
    found = gallery(node(key="k", kind="cluster", tiles=[[TILE], [], [TILE, TILE]], wholes=wholes))
    assert [len(row) for row in found.rows] == [1, 2]
    # The second row has no tile and goes with what it says.
    assert found.wholes == (Whole(rows=98, labels=(("3", 97), ("8", 1)), kinds=2), Whole(rows=1))


@pytest.mark.parametrize("wholes", [None, [], [{}]])
def test_files_of_old_say_nothing_of_the_whole(wholes: Any) -> None:
    content = {"tiles": [[TILE]]} | ({} if wholes is None else {"wholes": wholes})
    assert gallery(node(**content)).wholes == (None,)


def test_what_is_missing_is_none_and_what_is_there_is_kept() -> None:
    assert (uncovered(None), repeated(None), repeated(node(share=0.5)), dimension_test(None)) == (None,) * 4
    counted = node(share=0.2, expected=0.1, beyond_chance=False, rows=20, groups=3)
    assert uncovered(counted) == Uncovered(share=0.2, expected=0.1, beyond_chance=False, rows=20, groups=3)
    assert uncovered(node(share=0.2, expected=0.1)) == Uncovered(share=0.2, expected=0.1)
    assert repeated(node(groups=12, all_groups=False, share=0.7)) == Repeated(groups=12, all_groups=False, share=0.7)
    test = node(sentence="None.", beyond_chance=0, n_real=4, n_fake=5)
    assert dimension_test(test) == DimensionTest(sentence="None.", beyond_chance=0, n_real=4, n_fake=5)
    row = dimension(node(name="x", p_adjusted=0.5, beyond_chance=False))
    assert (row.p_adjusted, row.beyond_chance) == (0.5, False)
    assert dimension(node(name="x")).beyond_chance is None


def test_the_names_of_one_loss_are_kept_together() -> None:
    modes = [{"mode": "region 1", "kind": "cluster"}]
    found = same(node(mode="3", kind="class", modes=modes, groups=["uncovered-0"], clusters=["cluster 13"]))
    assert found == Same(
        mode="3", kind="class", modes=(("region 1", "cluster"),), groups=("uncovered-0",), clusters=("cluster 13",)
    )


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (cluster, {"n_real": -1}, "it.n_real should be a whole number"),
        (gallery, {"tiles": [[TILE]], "wholes": [{"rows": "many"}]}, r"it.wholes\[0\].rows should be a finite number"),
        (gallery, {"tiles": [[TILE]], "wholes": [{"rows": 1, "labels": ["3"]}]}, r"labels\[0\] should be a list"),
        (uncovered, {"beyond_chance": "yes"}, "it.beyond_chance should be true or false"),
        (same, {"groups": "uncovered-0"}, "it.groups should be a list"),
    ],
)
def test_a_wrong_type_is_named(read: Any, content: dict[str, Any], message: str) -> None:
    with pytest.raises(Damaged, match=message):
        read(node(**content))
