from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.evaluation.making import cloud, side

from uncollapse.data.labels import UNLABELLED
from uncollapse.evaluation.classes import find_classes
from uncollapse.evaluation.judging import judge_sides, renumbered
from uncollapse.evaluation.sides import Side
from uncollapse.verdict.verdict import Lost, Verdict

NAMES = ("a", "b", "c")
CENTRES = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])


def labelled(counts: tuple[int, ...], role: str, seed: int, *, also: tuple[str, ...] = ()) -> Side:
    """Points around three places named a, b and c, so many of each, and further rows of other names."""
    place = np.repeat(np.arange(3), counts)
    rows = CENTRES[place] + cloud(len(place), seed, 2)
    more = cloud(len(also), seed + 100, 2) if also else np.empty((0, 2))
    return side(np.concatenate([rows, more]), role, labels=[*(NAMES[k] for k in place), *also])


def judged(real: Side, fake: Side, *others: Side) -> Verdict:
    return judge_sides(real, fake, find_classes([real, fake, *others], ()), alpha=0.03, seed=0)


REAL, FAKE = labelled((400, 50, 50), "real", 0), labelled((120, 120, 120), "fake", 1)


def test_neither_another_generator_nor_rows_without_a_label_change_the_verdict() -> None:
    alone = judged(REAL, FAKE)
    assert alone.status == "inconclusive"
    assert "class shares" not in [row.metric for row in alone.evidence]  # they were asked for in equal numbers
    other = labelled((100, 100, 100), "other", 2, also=("d", "d", "d"))
    assert judged(REAL, FAKE, other).to_json() == alone.to_json()
    for places in ((1, 0), (0, 1), (3, 2)):
        real = labelled((400, 50, 50), "real", 0, also=(UNLABELLED,) * places[0])
        fake = labelled((120, 120, 120), "fake", 1, also=(UNLABELLED,) * places[1])
        assert judged(real, fake).to_json() == alone.to_json()


def test_a_label_that_only_the_real_rows_have_is_missing() -> None:
    real = labelled((100, 100, 100), "real", 0)
    found = judged(real, labelled((150, 150, 0), "fake", 1))
    assert found.status == "collapsed"
    assert "c" in [row.mode for row in found.lost]


def test_labels_of_another_generator_that_are_named_otherwise_are_not_compared() -> None:
    other = labelled((400, 50, 50), "other", 2)
    assert other.rows.labels is not None
    renamed = side(other.rows.features, "other", labels=[{"a": "x", "b": "y", "c": "z"}[k] for k in other.rows.labels])
    known = find_classes([REAL, FAKE, renamed], ())
    assert known is not None
    assert known.pair("other") is None
    assert judge_sides(REAL, renamed, known, alpha=0.03, seed=0).status != "collapsed"


def scattered(counts: tuple[int, ...], role: str, seed: int, share: float) -> Side:
    """The same points mixed with rows that have no label and lie in the middle, these between the others."""
    plain = labelled(counts, role, seed)
    bare = round(share * len(plain.rows.features))
    order = np.random.default_rng(seed).permutation(len(plain.rows.features) + bare)
    rows = np.concatenate([plain.rows.features, 0.1 * cloud(bare, seed + 100, 2) + 3])[order]
    labels = [*(plain.rows.labels or ()), *[UNLABELLED] * bare]
    return side(rows, role, labels=[labels[place] for place in order])


def test_what_is_lost_is_told_by_the_numbers_of_all_rows() -> None:
    real, fake = scattered((100, 100, 100), "real", 0, 0.2), scattered((149, 151, 0), "fake", 1, 0.4)
    found = judged(real, fake)
    (region,) = [row for row in found.lost if row.kind == "cluster"]
    names = real.rows.labels or ()
    assert len(region.real) >= 90
    assert np.mean([names[row] == "c" for row in region.real]) > 0.95
    for number, labels in enumerate((names, fake.rows.labels or ())):
        kept = [row for rows in found.details["clusters"] for row in rows[number]]
        assert sorted(kept) == [row for row, label in enumerate(labels) if label != UNLABELLED]


def test_numbers_are_those_of_all_rows() -> None:
    made = Verdict(
        status="healthy", alpha=0.03, sentence="", n_real=3, n_fake=2,
        lost=(Lost(mode="x", kind="cluster", share_real=1, share_fake=0, low=0, high=0, p_adjusted=0, real=(0, 2)),),
        details={"clusters": [((1,), (0, 1)), ((), (1,))], "repeated": [(0, 1)], "more": 3},
    )  # fmt: skip
    found = renumbered(made, np.array([10, 20, 30]), np.array([5, 7]))
    assert found.details == {"clusters": [((20,), (5, 7)), ((), (7,))], "repeated": [(5, 7)], "more": 3}
    assert found.lost == (replace(made.lost[0], real=(10, 30)),)
    assert renumbered(made, None, None) == made
