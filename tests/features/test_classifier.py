from __future__ import annotations

import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.features.classifier import (
    CLASSIFIERS,
    NAME,
    WEIGHTS,
    DigitsClassifier,
    digits_card,
    digits_classifier,
    find_row,
    load_card,
    load_classifier,
)
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


def held_out(folder: Path, name: str, most: int) -> tuple[Tensor, Tensor]:
    images, labels = (
        np.frombuffer(gzip.decompress((folder / name / f"t10k-{what}-ubyte.gz").read_bytes()), np.uint8)
        for what in ("images-idx3", "labels-idx1")
    )
    x = torch.from_numpy(images[16:].reshape(-1, 28, 28)[:most].copy()).float() / 127.5 - 1
    return x, torch.from_numpy(labels[8:][:most].astype(np.int64))


# Name -> the accuracy that was asked for.
LEAST = {"mnist": 0.993, "fashion-mnist": 0.91}


@pytest.mark.parametrize("name", list(LEAST))
def test_accuracy_on_some_test_images_is_near_the_stated_one(name: str, data_folder: Path) -> None:
    x, labels = held_out(data_folder, name, 2_000)
    card = load_card(name)
    assert card.accuracy > LEAST[name]
    right = float((load_classifier(name).probabilities(x).argmax(1) == labels).double().mean())
    spread = (card.accuracy * (1 - card.accuracy) / 2_000) ** 0.5
    assert abs(right - card.accuracy) < 4 * spread


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LEAST))
def test_every_measured_number_of_the_card_is_right(name: str, data_folder: Path) -> None:
    x, labels = held_out(data_folder, name, 10_000)
    card = load_card(name)
    confidence, found = load_classifier(name).probabilities(x).max(1)
    right = int((found == labels).sum())
    # A few images may tip where another machine adds in another order.
    assert right == pytest.approx(card.accuracy * 10_000, abs=3)
    assert (card.accuracy_low, card.accuracy_high) == pytest.approx(wilson(card.accuracy * 10_000, 10_000), abs=1e-6)
    assert float((confidence >= card.confidence_threshold).double().mean()) == pytest.approx(card.recognised, abs=0.001)
    for at, share in enumerate(card.recall.values()):
        assert float((found == at)[labels == at].double().mean()) == pytest.approx(share, abs=0.003)


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_weights_are_small_and_the_ones_the_card_describes(name: str) -> None:
    card, row, network = load_card(name), find_row(name), load_classifier(name)
    content = (WEIGHTS / f"{row.file}.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.sha256
    assert len(content) < 1_000_000
    assert sum(value.numel() for value in network.parameters()) == card.parameters
    assert tuple(card.recall) == row.classes
    assert not any(value.requires_grad or value.dtype != torch.float32 for value in network.parameters())
    hidden = network.features(torch.zeros(2, network.side, network.side))
    assert hidden.shape == (2, network.width)
    torch.testing.assert_close(network(torch.zeros(2, network.side, network.side)), network.logits(hidden))


def test_the_grey_classifier_has_as_many_numbers_as_counted_by_hand() -> None:
    counted = (4 * 32 * 9 + 32) + (32 * 64 * 9 + 64) + (64 * 96 * 9 + 96) + (96 * 9 * 96 + 96) + (96 * 10 + 10)
    assert load_card("mnist").parameters == load_card("fashion-mnist").parameters == counted == 159_082


def test_the_model_cards_are_those_of_the_weights(root: Path) -> None:
    script = root / "scripts" / "train_classifiers.py"
    specification = importlib.util.spec_from_file_location("train_classifiers", script)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    for name, row in CLASSIFIERS.items():
        assert (root / "docs" / "model-cards" / f"{name}.md").read_text() == module.page(row), "run the script: pages"


def test_an_unknown_classifier_is_named() -> None:
    with pytest.raises(UserError, match="There is no shipped classifier 'fashion'; did you mean 'fashion-mnist'"):
        load_card("fashion")
