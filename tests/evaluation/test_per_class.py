from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.evaluation.making import cloud, ring, side

from uncollapse.data.labels import UNLABELLED
from uncollapse.errors import UserError
from uncollapse.evaluation import per_class as module
from uncollapse.evaluation.per_class import LEAST_ALPHA, RANK, check_labels, judged_labels, per_class
from uncollapse.evaluation.sides import Side


def pair(real: np.ndarray, mine: list[str], fake: np.ndarray, made: list[str]) -> tuple[Side, Side]:
    return side(real, labels=mine), side(fake, "fake", labels=made)


def test_each_label_is_judged_by_its_own_rows_and_the_worst_comes_first() -> None:
    real, place = ring(480, 0)
    fake, made = ring(480, 1)
    names = [["left", "right"][k % 2] for k in place], [["left", "right"][k % 2] for k in made]
    stuck = np.array(names[1]) == "right"
    fake[stuck] = fake[np.flatnonzero(stuck)[0]] + 0.001 * cloud(int(stuck.sum()), 2, 2)
    rows = per_class(*pair(real, names[0], fake, names[1]), alpha=0.03, seed=0)
    assert [row["label"] for row in rows] == ["right", "left"]
    assert rows[0]["status"] == "collapsed"
    assert rows[1]["status"] in ("healthy", "inconclusive")
    assert (rows[0]["n_real"], rows[0]["n_fake"]) == (240, 240)
    assert all(row["p_adjusted"] > 0.015 for row in rows[1]["evidence"])
    assert rows[0]["evidence"][0].keys() >= {"metric", "effect", "p_adjusted", "sentence"}


def test_labels_that_nobody_can_judge_say_why() -> None:
    mine = ["b"] * 30 + ["gone"] * 25 + ["few"] * 5 + ["gone too"] * 3
    made = ["b"] * 30 + ["few"] * 30 + ["new"] * 3
    rows = per_class(*pair(cloud(63, 0), mine, cloud(63, 1), made), alpha=0.03, seed=0)
    told = {row["label"]: (row["status"], row["sentence"]) for row in rows}
    assert told["gone"] == ("missing", "No fake has this label.")
    assert told["few"] == ("too few", "Too few to judge: 20 rows a side are needed.")
    assert told["new"] == ("too few", "No real row has this label.")
    assert [row["label"] for row in rows][:2] == ["gone", "gone too"]  # the most real rows first
    assert [RANK[row["status"]] for row in rows] == sorted(RANK[row["status"]] for row in rows)


def test_rows_without_a_label_are_no_class() -> None:
    labels = ["a"] * 25 + [UNLABELLED] * 25
    sides = pair(cloud(50, 0), labels, cloud(25, 1), labels[:25])
    assert judged_labels(*sides) == 1
    assert [row["label"] for row in per_class(*sides, alpha=0.03, seed=0)] == ["a"]


def test_the_level_is_shared_by_the_labels_that_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    real_judge = module.judge
    monkeypatch.setattr(module, "judge", lambda **options: asked.append(options) or real_judge(**options))
    mine = [f"{k}" for k in range(3) for _ in range(20)] + ["few"] * 10
    sides = pair(cloud(70, 0), mine, cloud(70, 1), mine)
    assert judged_labels(*sides) == 3
    per_class(*sides, alpha=0.03, seed=0)
    assert [options["alpha"] for options in asked] == pytest.approx([0.01] * 3)
    # A corrected p-value can be as small as four questions over all assignments.
    assert all(4 / (1 + options["assignments"]) < 0.5 * options["alpha"] for options in asked)
    assert not any(options["images"] for options in asked)
    asked.clear()
    per_class(*sides, alpha=0.001, seed=0)
    assert [options["alpha"] for options in asked] == [LEAST_ALPHA] * 3


def test_labels_are_needed_on_both_sides_and_with_common_names() -> None:
    labelled = side(cloud(20, 0), labels=["a"] * 20)
    check_labels(labelled, side(cloud(20, 0), "fake", labels=["a", "b"] * 10))
    for one, two, role in ((labelled, side(cloud(20, 1), "fake"), "fake"), (side(cloud(20, 1)), labelled, "real")):
        with pytest.raises(UserError) as error:
            check_labels(one, two)
        assert str(error.value) == (
            f"--per-class needs labels on both sides, and the {role} side has none; give class folders, a dataset.json "
            "or an .npz with labels."
        )
    with pytest.raises(UserError, match=r"^--per-class needs labels of the same names, and the sides share none"):
        check_labels(labelled, side(cloud(20, 0), "fake", labels=["b"] * 20))
