from __future__ import annotations

from typing import Any

import numpy as np

from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.lost import Cluster
from uncollapse.evaluation.same import same_rows
from uncollapse.verdict.verdict import Lost, Verdict

# Of 100 real rows the first twenty are of class "a", the next of "b", the others of "c".
CLASS = np.repeat([0, 1, 2], [20, 20, 60])
KNOWN = Known(source="labels", names=("a", "b", "c"), of={"real": CLASS, "fake": CLASS})
ALL = ((tuple(range(100)), ()),)


def lost(mode: str, kind: Any = "class", real: range = range(0)) -> Lost:
    return Lost(
        mode=mode, kind=kind, share_real=0.2, share_fake=0.0, low=0.0, high=0.01, p_adjusted=0.001, real=tuple(real)
    )


def cluster(name: str, real: range) -> Cluster:
    return Cluster(
        name=name, real=tuple(real), fake=(), share_real=0.2, share_fake=0.0, low=0.0, high=0.1, p_adjusted=0.001,
        state="starved",
    )  # fmt: skip


def judged(*modes: Lost, looked_at: Any = ALL) -> Verdict:
    return Verdict(
        status="collapsed", alpha=0.03, sentence="", lost=modes, n_real=100, n_fake=100,
        details={"clusters": looked_at},
    )  # fmt: skip


def test_a_class_a_region_a_group_and_a_cluster_of_the_same_rows_are_one() -> None:
    region = lost("region 1 (mostly a)", "cluster", range(19))
    found = same_rows(judged(lost("a"), region), KNOWN, {"uncovered-0": range(18)}, [cluster("cluster 7", range(21))])
    assert [(row["mode"], row["kind"]) for row in found] == [("a", "class"), ("region 1 (mostly a)", "cluster")]
    assert found[0]["modes"] == [{"mode": "region 1 (mostly a)", "kind": "cluster"}]
    assert found[1]["modes"] == [{"mode": "a", "kind": "class"}]
    assert [row["groups"] for row in found] == [["uncovered-0"]] * 2
    assert [row["clusters"] for row in found] == [["cluster 7"]] * 2


def test_what_only_overlaps_is_something_else() -> None:
    region = lost("region 1", "cluster", range(12, 40))
    groups = {"uncovered-0": range(10, 30), "uncovered-1": range(50, 60), "uncovered-2": range(2)}
    found = same_rows(judged(lost("a"), region), KNOWN, groups, [cluster("cluster 7", range(100))])
    # A group half of each, one of neither, and one too small to say.
    assert found == [{"mode": "region 1", "kind": "cluster", "modes": [], "groups": ["uncovered-0"], "clusters": []}]


def test_two_classes_are_never_one() -> None:
    assert same_rows(judged(lost("a"), lost("b")), KNOWN, {}, []) == []


def test_rows_that_the_verdict_did_not_look_at_closely_say_nothing_of_its_regions() -> None:
    some = ((tuple(range(0, 100, 2)), ()),)
    region = lost("region 1", "cluster", range(0, 20, 2))
    found = same_rows(judged(lost("a"), region, looked_at=some), KNOWN, {"uncovered-0": range(20)}, [])
    assert [row["groups"] for row in found] == [["uncovered-0"]] * 2
    assert found[0]["modes"] == [{"mode": "region 1", "kind": "cluster"}]
    none = same_rows(judged(region, looked_at=some), KNOWN, {"uncovered-0": range(1, 21, 2)}, [])
    assert none == []


def test_without_classes_regions_have_their_groups() -> None:
    region = lost("region 1", "cluster", range(20))
    found = same_rows(judged(region), None, {"uncovered-0": range(10)}, [])
    assert found[0]["groups"] == ["uncovered-0"]
    assert same_rows(judged(), KNOWN, {"uncovered-0": range(10)}, []) == []
    assert same_rows(judged(lost("z")), KNOWN, {"uncovered-0": range(10)}, []) == []
