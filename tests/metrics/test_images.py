"""The image measures against SciPy and scikit-learn, and on generators whose faults are planted."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import pdist
from sklearn.neighbors import NearestNeighbors
from tests.conftest import no_global_draws
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.features.classifier import load_classifier
from uncollapse.metrics.further import FURTHER
from uncollapse.metrics.images import LEAST, NAMES, SIZE, chosen, image_measures, within_class_diversity
from uncollapse.tasks.digits import split

CLASSIFIER = load_classifier("digits")
DATA = split()


def measured(samples: Tensor, labels: Tensor | None = None) -> dict[str, float | None]:
    return image_measures(
        samples,
        labels,
        classifier=CLASSIFIER,
        held_out=DATA.held_out,
        held_out_labels=DATA.held_out_labels,
    )


def numbers(samples: Tensor, labels: Tensor | None = None) -> dict[str, float]:
    found = measured(samples, labels)
    return {name: float("nan") if value is None else value for name, value in found.items()}


def features(images: Tensor) -> np.ndarray:
    return CLASSIFIER.features(images).double().numpy()


@pytest.fixture(scope="module")
def blurred() -> Tensor:
    """445 training digits with noise: neither real nor collapsed."""
    noise = torch.randn(445, 8, 8, generator=torch.Generator().manual_seed(0))
    return (DATA.train[:445] + 0.3 * noise).clamp(-1, 1)


def test_the_names_are_facts(blurred: Tensor) -> None:
    assert set(NAMES) <= set(FURTHER)
    assert tuple(measured(blurred)) == NAMES


def test_the_frechet_distance_is_that_of_scipy(blurred: Tensor) -> None:
    real, fake = features(DATA.held_out), features(blurred)
    one, other = np.cov(real.T), np.cov(fake.T)
    # A little on the diagonal, because some hidden units never speak.
    root = sqrtm((one + 1e-9 * np.eye(64)) @ (other + 1e-9 * np.eye(64))).real
    wanted = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(one) + np.trace(other) - 2 * np.trace(root)
    assert wanted > 5
    assert numbers(blurred)["frechet_distance"] == pytest.approx(wanted, rel=1e-3)


def inside(balls: np.ndarray, points: np.ndarray) -> float:
    """Share of the points within the distance of some ball's centre to its third neighbour."""
    radius = NearestNeighbors(n_neighbors=4).fit(balls).kneighbors(balls)[0][:, 3]
    apart = np.linalg.norm(points[:, None] - balls[None], axis=-1)
    return float((apart <= radius).any(1).mean())


def test_precision_and_recall_are_those_of_nearest_neighbours(blurred: Tensor) -> None:
    real, fake = features(DATA.held_out), features(blurred)
    found = numbers(blurred)
    assert 0.2 < inside(fake, real) < 0.95
    assert found["precision"] == pytest.approx(inside(real, fake), abs=1e-9)
    assert found["recall"] == pytest.approx(inside(fake, real), abs=1e-9)


def test_diversity_is_the_mean_ratio_of_mean_distances(blurred: Tensor) -> None:
    seen = load_classifier("digits").probabilities(blurred).argmax(1)
    ratios = [
        pdist(blurred[seen == k].flatten(1).double()).mean()
        / pdist(DATA.held_out[DATA.held_out_labels == k].flatten(1).double()).mean()
        for k in range(10)
    ]
    assert numbers(blurred, DATA.train_labels[:445])["within_class_diversity"] == pytest.approx(
        np.mean(ratios), rel=1e-5
    )


def test_held_out_images_themselves_are_perfect() -> None:
    found = numbers(DATA.held_out, DATA.held_out_labels)
    assert found["frechet_distance"] == pytest.approx(0, abs=1e-3)
    assert (found["precision"], found["recall"]) == (1, 1)
    assert found["within_class_diversity"] == pytest.approx(1, abs=1e-6)
    assert found["label_agreement"] == pytest.approx(1, abs=0.01)


def test_training_images_are_nearly_perfect_and_have_no_agreement_without_labels() -> None:
    found = measured(DATA.train)
    assert found["label_agreement"] is None
    told = numbers(DATA.train, DATA.train_labels)
    assert 0 < told["frechet_distance"] < 6
    assert min(told["precision"], told["recall"]) > 0.85
    assert 0.95 < told["within_class_diversity"] < 1.05


def test_one_image_a_class_is_collapse_inside_classes_that_agreement_does_not_see() -> None:
    firsts = [int((DATA.held_out_labels == k).nonzero()[0]) for k in range(10)]
    labels = torch.arange(10).repeat_interleave(50)
    found = numbers(DATA.held_out[firsts].repeat_interleave(50, 0), labels)
    assert found["within_class_diversity"] == 0
    # Only the ten copied images lie in balls of radius 0.
    assert found["recall"] <= 10 / 445 + 1e-9
    assert found["precision"] == 1
    assert found["label_agreement"] > 0.95
    assert found["frechet_distance"] > 20


def test_labels_that_are_ignored_agree_one_time_in_ten() -> None:
    mixed = DATA.train_labels[torch.randperm(len(DATA.train_labels), generator=torch.Generator().manual_seed(1))]
    found, right = numbers(DATA.train, mixed), numbers(DATA.train, DATA.train_labels)
    assert found["label_agreement"] == pytest.approx(0.1, abs=0.03)
    # What was asked for changes neither how real the images are nor what varies inside a class that is seen.
    assert found["recall"] == right["recall"]
    assert found["within_class_diversity"] == right["within_class_diversity"]


def test_images_that_are_not_finite_agree_with_no_label() -> None:
    broken = DATA.train.clone()
    broken[::2] = float("nan")
    half = numbers(broken, DATA.train_labels)["label_agreement"]
    assert half == pytest.approx(0.5, abs=0.01)


def test_a_lost_class_counts_as_no_variety() -> None:
    kept = DATA.train_labels != 3
    whole, some = (measured(DATA.train[which])["within_class_diversity"] for which in (kept | True, kept))
    assert whole is not None
    assert some == pytest.approx(0.9 * whole, abs=0.02)
    alone = within_class_diversity(
        DATA.train[:1], DATA.train_labels[:1], real=DATA.held_out, real_labels=DATA.held_out_labels
    )
    assert alone == 0


def test_real_images_that_are_all_alike_give_no_ratio() -> None:
    same, labels = torch.ones(12, 8, 8), torch.zeros(12, dtype=torch.int64)
    assert within_class_diversity(same, labels, real=same, real_labels=labels) is None


def test_images_that_are_not_finite_are_left_out() -> None:
    broken = torch.cat([DATA.train[:300], torch.full((100, 8, 8), torch.nan)])
    assert measured(broken) == measured(DATA.train[:300])
    assert measured(broken[290 + LEAST :], torch.zeros(110 - LEAST, dtype=torch.int64)) == dict.fromkeys(NAMES)
    assert None not in [measured(broken[300 - LEAST :])[name] for name in NAMES[:4]]


def test_the_same_samples_give_the_same_numbers_without_any_global_draw() -> None:
    many = DATA.train.repeat(4, 1, 1)
    labels = DATA.train_labels.repeat(4)
    with no_global_draws():
        assert measured(many, labels) == measured(many, labels)


def test_a_choice_has_no_period() -> None:
    rows = chosen(10_000, SIZE)
    assert len(rows) == SIZE == len(rows.unique())
    assert bool((rows.diff() > 0).all())
    # Of four generators that take turns each gives about a quarter.
    assert torch.allclose((rows % 4).bincount() / SIZE, torch.tensor(0.25), atol=0.04)
    assert chosen(7, SIZE).tolist() == list(range(7))


def test_a_mistake_is_one_sentence() -> None:
    with pytest.raises(UserError, match="samples has 20 images and 3 labels"):
        measured(DATA.train[:20], DATA.train_labels[:3])
    with pytest.raises(UserError, match="held_out has 9 images; give at least 10"):
        image_measures(
            DATA.train, None, classifier=CLASSIFIER, held_out=DATA.train[:9], held_out_labels=DATA.train_labels[:9]
        )


@pytest.mark.slow
def test_mnist_takes_a_few_seconds_a_seed() -> None:
    classifier = load_classifier("mnist")
    real, labels = torch.rand(10_000, 28, 28) * 2 - 1, torch.arange(10_000) % 10
    started = time.process_time()
    for _ in range(2):  # averaged and live weights
        image_measures(
            torch.rand(10_000, 28, 28) * 2 - 1, labels, classifier=classifier, held_out=real, held_out_labels=labels
        )
    # About three seconds on a quiet core; more where others use its caches.
    assert time.process_time() - started < 12
