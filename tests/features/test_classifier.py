from __future__ import annotations

import hashlib

import pytest
import sklearn.datasets  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch

from uncollapse.features.classifier import NAME, WEIGHTS, DigitsClassifier, digits_card, digits_classifier
from uncollapse.metrics.intervals import wilson
from uncollapse.tasks.digits import split


def test_held_out_accuracy_is_above_97_percent_and_as_stated() -> None:
    data, card = split(), digits_card()
    right = int((digits_classifier().probabilities(data.held_out).argmax(1) == data.held_out_labels).sum())
    assert right / len(data.held_out) > 0.97
    assert card.n_held_out == len(data.held_out)
    assert card.n_train == len(data.train)
    # One digit may tip where another machine sums in another order.
    assert right / len(data.held_out) == pytest.approx(card.accuracy, abs=1.5 / card.n_held_out)
    low, high = wilson(round(card.accuracy * card.n_held_out), card.n_held_out)
    assert (card.accuracy_low, card.accuracy_high) == pytest.approx((low, high), abs=1e-6)


def test_the_stated_threshold_is_the_quantile_of_held_out_confidence() -> None:
    confidence = digits_classifier().probabilities(split().held_out).max(1).values
    assert digits_card().confidence_threshold == pytest.approx(torch.quantile(confidence, 0.05).item(), abs=1e-4)


def test_the_weights_are_the_ones_the_card_describes() -> None:
    content = (WEIGHTS / f"{NAME}.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digits_card().sha256
    assert len(content) < 200_000
    # Hand count: 1*16*9+16, 16*32*9+32, 512*64+64, 64*10+10.
    assert digits_card().parameters == 160 + 4640 + 32_832 + 650
    assert sum(value.numel() for value in digits_classifier().parameters()) == digits_card().parameters


def test_shapes_and_probabilities(global_random_untouched: None) -> None:
    x = split().train[:5000]
    classifier = digits_classifier()
    assert classifier.features(x[:3]).shape == (3, 64)
    torch.testing.assert_close(classifier(x[:3]), classifier(x[:3].reshape(3, 64)))
    torch.testing.assert_close(classifier.probabilities(x).sum(1), torch.ones(len(x)))
    # More samples than one part of 4,096 give the same rows.
    many = x[:2].repeat(2500, 1, 1)
    torch.testing.assert_close(classifier.probabilities(many)[-2:], classifier.probabilities(x[:2]))


def test_loading_is_cached_and_frozen() -> None:
    digits_classifier.cache_clear()
    before = torch.get_rng_state()
    classifier = digits_classifier()
    assert torch.equal(before, torch.get_rng_state())
    assert classifier is digits_classifier()
    assert isinstance(classifier, DigitsClassifier)
    assert not any(value.requires_grad for value in classifier.parameters())
