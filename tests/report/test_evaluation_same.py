from __future__ import annotations

import doctest

from uncollapse.report import evaluation_same
from uncollapse.report.evaluation_exhibits import Same
from uncollapse.report.evaluation_same import of_cluster, of_group, of_mode

REGION = "region 1 (mostly 3, 100 %)"
SAME = (
    Same(mode="3", kind="class", modes=((REGION, "cluster"),), groups=("uncovered-0",), clusters=("cluster 13",)),
    Same(mode=REGION, kind="cluster", modes=(("3", "class"),), groups=("uncovered-0",), clusters=("cluster 13",)),
    Same(mode="7", kind="class", modes=(), groups=("uncovered-1", "odd"), clusters=()),
)


def test_a_lost_mode_names_what_else_it_is_called() -> None:
    assert of_mode(SAME, "3", "class") == "same rows as region 1; below as group 1, cluster 13"
    assert of_mode(SAME, REGION, "cluster") == "same rows as class 3; below as group 1, cluster 13"
    assert of_mode(SAME, "7", "class") == "below as group 2, odd"
    # A region of that name is none of these.
    assert of_mode(SAME, "3", "cluster") == of_mode((), "3", "class") == ""


def test_groups_and_clusters_name_the_modes_that_they_are_of() -> None:
    assert of_group(SAME, "uncovered-0") == "Its real rows are mostly of class 3 and region 1."
    assert of_group(SAME, "uncovered-1") == "Its real rows are mostly of class 7."
    assert of_group(SAME, "uncovered-2") == ""
    assert of_cluster(SAME, "cluster 13 (x1 near 2)") == "Its real rows are mostly of class 3 and region 1."
    assert of_cluster(SAME, "cluster 1") == ""


def test_names_as_in_their_examples() -> None:
    assert doctest.testmod(evaluation_same).failed == 0
