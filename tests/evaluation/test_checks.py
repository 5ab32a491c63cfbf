from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluation.making import cloud, digits, pngs, side

import uncollapse as uc
from uncollapse.data.labels import UNLABELLED
from uncollapse.data.opening import open_source
from uncollapse.errors import UserError
from uncollapse.evaluation.checks import (
    SAME,
    check_alike,
    check_given,
    check_label_column,
    check_options,
    check_sides,
    label_notes,
    size_notes,
)
from uncollapse.evaluation.sides import Side
from uncollapse.features.pixels import Pixels

IMAGES, LABELS = digits()
GOOD: dict[str, Any] = {
    "metrics": None, "with_train": False, "level": 0.95, "alpha": 0.03, "seed": 0, "device": "cpu", "resize": "clean",
}  # fmt: skip


def of(given: object, role: str = "real", labels: object = None) -> Side:
    return side(given, role, extractor=Pixels(side=8), labels=labels)


def checked(real: Side, fake: Side, **more: Any) -> list[str]:
    sides = {"real": real, "fake": fake, **{key: more.pop(key) for key in ("other", "train") if key in more}}
    return check_sides(sides, **{"per_class": False, "alpha": 0.03, **more})


def test_usual_choices_pass() -> None:
    check_options(**GOOD)
    check_options(**GOOD | {"metrics": ["coverage", "authenticity"], "with_train": True, "level": None, "seed": 2**31})
    check_options(**GOOD | {"alpha": 0.001, "metrics": []})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"metrics": "coverage"},
            "metrics must be a list of names, for example ['coverage'], not the one text 'coverage'.",
        ),
        (
            {"metrics": ["path_length"]},
            "path_length takes a generator, not samples; call uncollapse.metrics.path_length",
        ),
        ({"metrics": ["recal"]}, "There is no metric 'recal'; did you mean 'recall'"),
        ({"metrics": ["authenticity"]}, "authenticity compares fakes with the training data; give them with --train."),
        ({"level": 1.0}, "level must be between 0 and 1"),
        ({"alpha": 0.0005}, "alpha must be from 0.001 to 0.5, for example 0.03, not 0.0005."),
        ({"alpha": "low"}, "alpha must be from 0.001 to 0.5, for example 0.03, not 'low'."),
        ({"alpha": float("nan")}, "alpha must be from 0.001 to 0.5, for example 0.03, not nan."),
        ({"seed": 2**32}, "seed must be a whole number from 0 to 4,294,967,291, not 4294967296."),
        ({"seed": 1.5}, "seed must be a whole number from 0 to 4,294,967,291, not 1.5."),
        ({"device": None}, "There is no device None; choose auto, cpu or cuda."),
        ({"device": "tpu"}, "There is no device 'tpu'; choose auto, cpu or cuda."),
        ({"resize": "bicubic"}, "There is no way to resize 'bicubic'"),
    ],
)
def test_other_choices_are_refused_with_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check_options(**GOOD | change)
    assert str(error.value).startswith(sentence)


def test_a_side_that_is_none_is_refused() -> None:
    for real, fake, role in ((None, IMAGES, "real"), (IMAGES, None, "fake")):
        with pytest.raises(UserError) as error:
            check_given({"real": real, "fake": fake, "other": None})
        assert str(error.value) == (
            f"The {role} side is None; give a path, an array, a tensor, a data set or a function f(n) that draws n."
        )
    check_given({"real": IMAGES, "fake": IMAGES, "other": None})


def test_sides_of_different_kind_are_refused() -> None:
    given = {"real": IMAGES[:30], "fake": cloud(30, 0)}
    sources = {role: open_source(rows, side=role) for role, rows in given.items()}
    with pytest.raises(UserError) as error:
        check_alike(sources, given)
    assert str(error.value) == (
        "real (ndarray of shape (30, 8, 8)) holds images and fake (ndarray of shape (30, 4)) holds features; give the "
        "same kind on all sides."
    )


def test_one_and_the_same_side_is_noted(tmp_path: Path) -> None:
    place = pngs(tmp_path / "files", list(IMAGES[:30]))
    (tmp_path / "link").symlink_to(place)
    rows = cloud(30, 0)
    for real, fake, same in (
        (str(place), tmp_path / "link", True),
        (rows, rows, True),
        (rows, rows.copy(), False),  # told when they were read
        (str(place), str(pngs(tmp_path / "others", list(IMAGES[30:60]))), False),
    ):
        given = {"real": real, "fake": fake}
        sources = {role: open_source(one, side=role) for role, one in given.items()}
        assert check_alike(sources, given) == ([SAME] if same else [])


def test_the_same_rows_in_another_order_are_noted_too() -> None:
    rows = cloud(30, 0)
    assert checked(side(rows), side(rows[::-1].copy(), "fake")) == [SAME]
    changed = rows.copy()
    changed[3, 2] += 1e-9
    assert checked(side(rows), side(changed, "fake")) == []


@pytest.mark.parametrize(
    ("real", "fake", "sentence"),
    [
        (cloud(19, 0), cloud(20, 1), "The real side has 19 readable rows, but a verdict needs at least 20; give more."),
        (cloud(20, 0), cloud(1, 1), "The fake side has 1 readable row, but a verdict needs at least 20; give more."),
        (
            cloud(20, 0, 3), cloud(20, 1, 4),
            "The sides have different numbers of features a row (real 3, fake 4); use one extractor for all.",
        ),
        (
            cloud(20, 0), cloud(20, 1) * 1e20,
            "The fake side holds numbers as large as 2.8e+20, beyond the 1e+15 up to which distances can be computed; "
            "scale all sides alike, or take samples from before the generator diverged.",
        ),
        (
            cloud(20, 0) * 1e-200, cloud(20, 1) * 1e-200,
            "No side holds a number larger than 2.8e-200, below the 1e-15 from which on distances can be computed; "
            "scale all sides alike.",
        ),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_judged_are_refused(real: np.ndarray, fake: np.ndarray, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        checked(side(real), side(fake, "fake"))
    told = str(error.value)
    for number in ("2.8e+20", "2.8e-200"):
        sentence = sentence.replace(number, f"{max(np.abs(real).max(), np.abs(fake).max()):.2g}")
    assert told == sentence


def test_few_training_rows_are_enough_and_zeros_are_no_tiny_numbers() -> None:
    sides = side(cloud(20, 0)), side(cloud(20, 1), "fake")
    assert checked(*sides, train=side(cloud(3, 2), "train")) == []
    assert checked(side(np.zeros((20, 2))), side(np.zeros((20, 2)), "fake")) == [SAME]


def test_differences_of_size_and_colour_are_noted() -> None:
    grey, large = of(IMAGES[:30]), of(np.kron(IMAGES[:30], np.ones((1, 2, 2), np.uint8)), "fake")
    colour = of(np.repeat(IMAGES[:30, :, :, None], 3, 3), "fake")
    assert size_notes([grey, of(IMAGES[30:60], "fake")]) == []
    (note,) = size_notes([grey, large])
    assert note.startswith("The images differ in size (real 8 x 8, fake 16 x 16); all are resized")
    (note,) = size_notes([grey, colour])
    assert note == (
        "The images differ in colour (real grey, fake colour); that is a difference between the sides of its own."
    )


def test_labels_that_cannot_be_used_are_noted() -> None:
    digit, letter = [str(k) for k in LABELS[:30]], [f"class {k}" for k in LABELS[:30]]
    plain = side(cloud(30, 0), "fake")
    named = side(cloud(30, 0), labels=digit)
    assert label_notes(named, plain) == ["Only the real side has labels, so they are not compared."]
    assert label_notes(side(cloud(30, 0)), plain) == []
    assert label_notes(named, side(cloud(30, 1), "fake", labels=digit[::-1])) == []
    (note,) = label_notes(named, side(cloud(30, 1), "fake", labels=letter))
    assert note == (
        "The labels of the sides have no name in common (real 0, 1, 2, ... and fake class 0, class 1, class 2, ...), "
        "so they are not compared; name them alike."
    )


def test_a_label_column_needs_a_table(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,y,kind\n" + "1,2,a\n" * 3)
    table = open_source(str(tmp_path / "rows.csv"), side="fake", label_column="kind")
    rows = open_source(cloud(5, 0), side="real")
    check_label_column("kind", {"real": rows, "fake": table})
    check_label_column(None, {"real": rows, "fake": rows})
    folder = open_source(str(pngs(tmp_path / "files", list(IMAGES[:2]))), side="fake")
    with pytest.raises(UserError) as error:
        check_label_column("kind", {"real": rows, "fake": folder})
    assert str(error.value) == (
        "--label-column kind names a column of a table (.csv, .parquet, DataFrame), but real (ndarray of shape "
        f"(5, 4)) holds no columns ({rows.form}) and fake ({tmp_path / 'files'}) holds no columns (folder of images); "
        "leave it out, or give a table."
    )


def test_rows_without_a_label_are_noted() -> None:
    few, many = ["a"] * 28 + [UNLABELLED] * 2, ["a"] * 10 + [UNLABELLED] * 20
    real, fake = side(cloud(30, 0), labels=few), side(cloud(30, 1), "fake", labels=["a"] * 30)
    assert label_notes(real, fake) == [
        "Without a label: 2 of 30 real rows. They are in no class, and a verdict by labels leaves them out."
    ]
    assert label_notes(real, side(cloud(30, 1), "fake", labels=many)) == [
        "Without a label: 2 of 30 real rows and 20 of 30 fake rows. These are too many for a verdict by labels; label "
        "them or leave them out."
    ]


def test_labels_of_another_generator_that_cannot_be_used_are_noted() -> None:
    sides = [side(cloud(30, k), role, labels=["a", "b"] * 15) for k, role in enumerate(("real", "fake"))]
    assert checked(*sides, other=side(cloud(30, 2), "other")) == checked(*sides) == []
    assert checked(*sides, other=side(cloud(30, 2), "other", labels=["a", "b"] * 15)) == []
    (note,) = checked(*sides, other=side(cloud(30, 2), "other", labels=["x", "y"] * 15))
    assert "no name in common (real a, b and other x, y)" in note


def test_more_labels_than_the_level_allows_are_noted() -> None:
    labels = np.repeat(np.arange(12), 20)
    sides = side(cloud(240, 0), labels=labels), side(cloud(240, 1), "fake", labels=labels)
    assert checked(*sides, per_class=True) == []
    (note,) = checked(*sides, per_class=True, alpha=0.01)
    assert note.startswith("More than 10 labels are judged, each with a chance of 0.1 % of a false alarm;")


def test_labels_are_asked_for_where_each_is_judged() -> None:
    labelled = side(cloud(30, 0), labels=["a"] * 30)
    with pytest.raises(UserError, match=r"--per-class needs labels on both sides, and the fake side has none"):
        checked(labelled, side(cloud(30, 1), "fake"), per_class=True)
    with pytest.raises(UserError, match=r"--per-class needs labels of the same names, and the sides share none"):
        checked(labelled, side(cloud(30, 1), "fake", labels=["b"] * 30), per_class=True)


def test_a_column_that_drowns_the_others_is_noted() -> None:
    draws = np.random.default_rng(0)
    wide = np.c_[draws.normal(size=200) * 1e5, draws.integers(0, 8, 200)]
    (note,) = uc.evaluate(wide, wide[::-1] + 1e-3, metrics=["coverage"]).document["notes"]
    assert note.startswith(
        "One column (number 1) has 100 % of the variance, so that distances and the verdict hardly see"
    )
    even = wide / wide.std(0)
    assert uc.evaluate(even, even[::-1] + 1e-3, metrics=["coverage"]).document["notes"] == []
