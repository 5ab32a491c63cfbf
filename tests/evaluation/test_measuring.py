from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from tests.evaluation.making import cloud, digits, ring, side

import uncollapse as uc
from uncollapse.data.labels import UNLABELLED
from uncollapse.errors import UserError
from uncollapse.evaluation import measuring
from uncollapse.evaluation.classes import Known, find_classes
from uncollapse.evaluation.measuring import CLASS_METRICS, COMPARED, check_names, differences, measure, titles
from uncollapse.features.extractor import Extractor
from uncollapse.features.identity import Identity
from uncollapse.features.shipped import ShippedClassifier
from uncollapse.metrics.metric import NAMES

IMAGES, LABELS = digits()
REAL, FAKE = side(ring(200, 0)[0]), side(ring(200, 1, modes=range(6))[0], "fake")


def labelled(real: list[str], fake: list[str]) -> tuple[object, object, Known | None]:
    sides = side(cloud(len(real), 0), labels=real), side(cloud(len(fake), 1), "fake", labels=fake)
    return (*sides, find_classes(sides, []))


def test_each_number_is_that_of_its_own_function_in_the_order_of_the_list() -> None:
    wanted = ["coverage", "frechet_distance", "recall"]
    found = measure(REAL, FAKE, None, metrics=wanted)
    assert list(found) == [name for name in NAMES if name in wanted]
    real, fake = REAL.rows.features, FAKE.rows.features
    assert found["coverage"].value == uc.metrics.coverage(real=real, fake=fake).value
    assert found["frechet_distance"].value == pytest.approx(uc.metrics.frechet_distance(real=real, fake=fake).value)
    # Two of eight modes are lost.
    assert found["coverage"].value == pytest.approx(0.75, abs=0.06)


def test_without_classes_their_metrics_are_left_out_or_say_why_when_asked_for() -> None:
    assert not set(measure(REAL, FAKE, None, metrics=None, level=None)) & set(CLASS_METRICS)
    found = measure(REAL, FAKE, None, metrics=["class_kl", "inception_score"])
    assert found["class_kl"].value is None
    assert found["class_kl"].reason == "it needs classes: an extractor that is a classifier, or labels on both sides"
    assert found["inception_score"].reason == "it needs class probabilities: an extractor that is a classifier"


def test_metrics_of_labels_against_their_definitions() -> None:
    real, fake, known = labelled(["a"] * 50 + ["b"] * 30 + ["c"] * 20, ["a"] * 60 + ["b"] * 40)
    found = measure(real, fake, known, metrics=CLASS_METRICS)  # type: ignore[arg-type]
    assert found["mode_coverage"].value == 2
    assert found["class_entropy"].value == pytest.approx(entropy([0.6, 0.4], base=2))
    smooth = np.array([50.5, 30.5, 20.5]) / 101.5
    assert found["class_kl"].value == pytest.approx(entropy([0.6, 0.4], smooth[:2] / smooth[:2].sum())
                                                     - np.log(smooth[:2].sum()))  # fmt: skip
    assert found["inception_score"].value is None
    every = measure(real, fake, known, metrics=None, level=None)  # type: ignore[arg-type]
    assert "inception_score" not in every
    assert "class_kl" in every


def test_one_class_alone_gives_reasons_instead_of_errors() -> None:
    real, fake, known = labelled(["a"] * 30, ["a"] * 30)
    found = measure(real, fake, known, metrics=CLASS_METRICS)  # type: ignore[arg-type]
    assert found["mode_coverage"].value == 1
    assert found["class_kl"].value is None
    assert "of the one class 'a'" in str(found["class_kl"].reason)


def test_a_classifier_gives_the_inception_score() -> None:
    judge = ShippedClassifier("digits")
    sides = side(IMAGES[:100], extractor=judge), side(IMAGES[100:200], "fake", extractor=judge)
    found = measure(*sides, find_classes(sides, judge.classes), metrics=["inception_score", "mode_coverage"])
    assert 8 < (found["inception_score"].value or 0) <= 10
    assert found["mode_coverage"].value == 10
    names = titles(found, judge, find_classes(sides, judge.classes))
    assert names["inception_score"] == "Inception score [classifier:digits]"


def test_only_what_counts_labels_is_named_after_them() -> None:
    judge = ShippedClassifier("digits")
    sides = (
        side(IMAGES[:60], labels=LABELS[:60], extractor=judge),
        side(IMAGES[60:120], "fake", labels=LABELS[60:120], extractor=judge),
    )
    known = find_classes(sides, ())  # as of an extractor with probabilities whose classes have no names
    names = titles(measure(*sides, known, metrics=["inception_score", "mode_coverage"]), judge, known)
    assert names["inception_score"] == "Inception score [classifier:digits]"
    assert names["mode_coverage"].endswith(" [labels]")


def test_metrics_of_classes_leave_out_rows_without_a_label() -> None:
    real, fake, known = labelled(["a", "b"] * 20, ["a", "b"] * 20 + [UNLABELLED] * 5)
    found = measure(real, fake, known, metrics=CLASS_METRICS)  # type: ignore[arg-type]
    assert (found["mode_coverage"].value, found["mode_coverage"].n_fake) == (2, 40)
    assert found["class_kl"].value == 0


def test_authenticity_only_with_training_rows() -> None:
    train = side(ring(200, 5)[0], "train")
    assert "authenticity" not in measure(REAL, FAKE, None, metrics=["authenticity"])
    found = measure(REAL, FAKE, None, metrics=["authenticity"], train=train)
    expected = uc.metrics.authenticity(train=train.rows.features, fake=FAKE.rows.features)
    assert found["authenticity"].value == expected.value


def test_differences_have_the_sign_of_fake_minus_other() -> None:
    good = side(ring(200, 2)[0], "other")
    found = differences(REAL, FAKE, good, metrics=["coverage", "authenticity", "class_kl"], level=0.95, seed=0)
    assert list(found) == ["coverage"]
    assert (found["coverage"].high or 0) < 0
    apart = (
        measure(REAL, FAKE, None, metrics=["coverage"])["coverage"],
        measure(REAL, good, None, metrics=["coverage"])["coverage"],
    )
    assert found["coverage"].value == pytest.approx(float(apart[0]) - float(apart[1]))


def test_without_names_two_generators_are_compared_by_what_is_named_for_that() -> None:
    found = differences(REAL, FAKE, side(ring(200, 2)[0], "other"), metrics=None, level=0.9, seed=0)
    assert set(found) == set(COMPARED)
    assert {row.level for row in found.values()} == {0.9}


def test_a_difference_that_cannot_be_had_says_why() -> None:
    sides = [side(cloud(30, seed), role) for seed, role in enumerate(("real", "fake", "other"))]
    found = differences(*sides, metrics=["birthday"], level=0.95, seed=0)
    assert found["birthday"].value is None
    assert "no two of 30 fakes are alike" in str(found["birthday"].reason)


class Standard(Identity):
    name, standard = "inception[clean]", True


@pytest.mark.parametrize(
    ("extractor", "frechet", "kernel"),
    [
        (Standard(), "FID [inception[clean]]", "KID [inception[clean]]"),
        (Identity(), "Fréchet distance [identity]", "Kernel distance [identity]"),
    ],
)
def test_fid_and_kid_are_names_of_the_standard_network_only(extractor: Extractor, frechet: str, kernel: str) -> None:
    names = titles(measure(REAL, FAKE, None, metrics=["frechet_distance", "kernel_distance"]), extractor, None)
    assert names == {"frechet_distance": frechet, "kernel_distance": kernel}


def test_metrics_of_given_labels_are_named_by_the_labels() -> None:
    real, fake, known = labelled(["a", "b"] * 15, ["a", "b"] * 15)
    found = measure(real, fake, known, metrics=["class_kl", "coverage"])  # type: ignore[arg-type]
    names = titles(found, Identity(), known)
    assert names["class_kl"].endswith("[labels]")
    assert names["coverage"].endswith("[identity]")


def test_names_are_checked() -> None:
    check_names(None, with_train=False)
    check_names(list(NAMES[:-1]), with_train=True)
    with pytest.raises(UserError, match=r"There is no metric 'kid'"):
        check_names(["kid"], with_train=False)


def test_of_many_rows_what_needs_pairs_looks_at_some_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["frechet_distance", "vendi_score", "duplicates", "coverage", "c2st", "diversity"]
    whole = measure(REAL, FAKE, None, metrics=wanted)
    monkeypatch.setattr(measuring, "MOST_ROWS", 120)
    few = side(FAKE.rows.features[:90], "fake")
    found = measure(REAL, FAKE, None, metrics=wanted)
    assert list(found) == list(whole)
    for name in ("frechet_distance", "vendi_score", "duplicates"):
        assert found[name] == whole[name]
    for name in ("coverage", "c2st", "diversity"):
        assert (found[name].n_real, found[name].n_fake) == (120, 120)
        assert found[name].details["rows_given"] == [200, 200]
        assert found[name].estimand.endswith("(looked at: a random 120 of 200 real rows and 120 of 200 fakes)")
    # The smaller side is taken whole, and the choice does not depend on the order of rows.
    mixed = measure(REAL, few, None, metrics=["coverage"])["coverage"]
    assert (mixed.n_real, mixed.n_fake) == (120, 90)
    assert mixed.estimand.endswith("(looked at: a random 120 of 200 real rows)")
    turned = side(REAL.rows.features[::-1].copy())
    assert measure(turned, few, None, metrics=["coverage"])["coverage"].value == mixed.value
    assert measure(REAL, few, None, metrics=["coverage"], seed=1)["coverage"] != mixed
    note = measuring.subsample_note([REAL, few])
    assert len(note) == 1
    assert note[0].startswith("More than 120 rows are given as real (200): kernel_distance, mmd_rbf, ")
    assert measuring.subsample_note([few]) == []
    apart = differences(REAL, FAKE, few, metrics=["coverage", "frechet_distance"], level=0.9, seed=0)
    assert (apart["coverage"].n_real, apart["frechet_distance"].n_real) == (120, 200)
    assert list(apart) == ["frechet_distance", "coverage"]


def test_every_metric_of_features_is_either_for_all_rows_or_for_some() -> None:
    everything = {"frechet_distance", "frechet_infinity", "vendi_score", "duplicates", "birthday", "authenticity"}
    assert set(measuring.SUBSAMPLED) | everything == set(measuring.FEATURE_METRICS)
    assert not set(measuring.SUBSAMPLED) & everything
