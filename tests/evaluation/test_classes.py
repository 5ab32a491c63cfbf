from __future__ import annotations

import numpy as np
from tests.evaluation.making import cloud, digits, side

from uncollapse.data.labels import UNLABELLED
from uncollapse.evaluation.classes import Known, alike, find_classes, natural
from uncollapse.features.shipped import ShippedClassifier
from uncollapse.verdict.mixture import common_mixture

IMAGES, LABELS = digits()


def labelled(labels: list[str], role: str) -> object:
    return side(cloud(len(labels), 0), role, labels=labels)


def test_a_classifier_tells_the_classes_of_every_side() -> None:
    judge = ShippedClassifier("digits")
    sides = [side(IMAGES[:80], extractor=judge), side(IMAGES[80:160], "fake", extractor=judge)]
    found = find_classes(sides, judge.classes)
    assert found is not None
    assert (found.source, found.names) == ("classifier", tuple("0123456789"))
    assert np.mean(found.of["real"] == LABELS[:80]) > 0.95
    told = found.to_json()
    assert sum(told["real"]) == sum(told["fake"]) == 80
    assert told["names"] == list("0123456789")


def test_a_classifier_without_probabilities_tells_none() -> None:
    assert find_classes([side(cloud(5, 0)), side(cloud(5, 1), "fake")], ["a", "b"]) is None


def test_labels_of_both_sides_in_the_order_of_people() -> None:
    sides = [labelled(["10", "9", "cat"], "real"), labelled(["9", "9", "nan", "Cat"], "fake")]
    found = find_classes(sides, [])  # type: ignore[arg-type]
    assert found is not None
    assert found.names == ("9", "10", "Cat", "cat", "nan")
    assert found.of["real"].tolist() == [1, 0, 3]
    assert found.to_json() == {
        "source": "labels", "names": ["9", "10", "Cat", "cat", "nan"], "real": [1, 1, 0, 1, 0],
        "fake": [2, 0, 1, 0, 1],
    }  # fmt: skip


def test_labels_of_one_side_or_without_a_common_name_tell_nothing() -> None:
    real = labelled(["a", "b"], "real")
    assert find_classes([real, side(cloud(2, 1), "fake")], []) is None  # type: ignore[list-item]
    assert find_classes([side(cloud(2, 1)), labelled(["a", "b"], "fake")], []) is None  # type: ignore[list-item]
    assert find_classes([real, labelled(["c", "d"], "fake")], []) is None  # type: ignore[list-item]


def test_another_generator_without_labels_takes_no_class_from_the_first() -> None:
    sides = [labelled(["a", "b"], "real"), labelled(["a", "a"], "fake"), side(cloud(2, 1), "other")]
    found = find_classes(sides, [])  # type: ignore[arg-type]
    assert found is not None
    assert set(found.of) == {"real", "fake"}
    assert found.pair("other") is None
    assert found.pair() is not None


def test_equally_many_of_each_label_were_asked_for() -> None:
    def asked(fake: list[int], source: str = "labels") -> bool:
        known = Known(source=source, names=("a", "b", "c"), of={"real": np.array([0, 1, 2, 2]), "fake": np.array(fake)})
        pair = known.pair()
        assert pair is not None
        return pair.balanced

    assert asked([0, 1, 2, 2, 1, 0])
    assert asked([0, 0, 1, 1, 2])  # as equal as five rows can be
    assert asked([0, 0, 1, 1, 2, -1, -1])  # rows without a label are of no class
    assert not asked([0, 0, 1, 1])  # one label is missing
    assert not asked([0, 0, 0, 1, 2])
    assert not asked([0, 1, 2], source="classifier")


def test_names_that_only_another_generator_has_are_no_classes_of_this_pair() -> None:
    sides = [labelled(["a", "c"], "real"), labelled(["a", "c"], "fake"), labelled(["b", "c"] * 2, "other")]
    found = find_classes(sides, [])  # type: ignore[arg-type]
    assert found is not None
    assert found.names == ("a", "b", "c")
    pair, other = found.pair(), found.pair("other")
    assert pair is not None
    assert other is not None
    assert (pair.names, pair.real.tolist(), pair.fake.tolist(), pair.balanced) == (("a", "c"), [0, 1], [0, 1], True)
    assert (other.names, other.fake.tolist(), other.balanced) == (("a", "b", "c"), [1, 2, 1, 2], False)


def test_a_row_without_a_label_is_in_no_class() -> None:
    some = ["a"] * 30 + [UNLABELLED] * 30
    sides = [labelled(some, "real"), labelled(["a", "b"] * 15 + [UNLABELLED], "fake")]
    found = find_classes(sides, [])  # type: ignore[arg-type]
    assert found is not None
    assert found.names == ("a", "b")
    assert found.to_json() == {"source": "labels", "names": ["a", "b"], "real": [30, 0], "fake": [15, 15]}
    kept = found.kept("fake")
    assert kept is not None
    assert kept.tolist() == list(range(30))
    # Where labels are too few to stand for a side, they tell no classes; nor is having none a name in common.
    assert find_classes([labelled([*some, UNLABELLED], "real"), sides[1]], []) is None  # type: ignore[list-item]
    assert not alike(labelled(["a", UNLABELLED], "real"), labelled(["b", UNLABELLED], "fake"))  # type: ignore[arg-type]


def test_rows_without_a_label_stay_out_of_every_mixture() -> None:
    of = {"real": np.array([0, 0, 1, -1, -1]), "fake": np.array([0, 1, -1, -1])}
    asked = Known(source="labels", names=("a", "b"), of=of).asked()
    assert asked is not None
    real, fake = common_mixture(*asked)
    assert real[2:].sum() == fake[2:].sum() == 0
    assert real[:2].tolist() == fake[:2].tolist() == [1, 1]


def test_numbers_come_before_words_and_nan_is_a_word() -> None:
    assert sorted(["b", "10", "9.5", "-1", "nan", "a", "inf"], key=natural) == [
        "-1", "9.5", "10", "inf", "a", "b", "nan",
    ]  # fmt: skip
