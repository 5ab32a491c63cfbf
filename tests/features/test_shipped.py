from __future__ import annotations

import numpy as np
import pytest
import sklearn.datasets  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch

from uncollapse.errors import UserError
from uncollapse.features.classifier import CLOTHES, digits_classifier, load_card
from uncollapse.features.shipped import ShippedClassifier
from uncollapse.tasks.digits import split


@pytest.fixture(scope="module")
def digits() -> list[np.ndarray]:
    return list(((split().held_out.numpy() + 1) * 127.5).round().astype(np.uint8))


def test_rows_are_the_hidden_layer_and_probabilities_the_softmax(digits: list[np.ndarray]) -> None:
    extractor = ShippedClassifier("digits")
    rows, soft = extractor.both(digits[:150])
    x = torch.from_numpy(np.stack(digits[:150])).float() / 127.5 - 1
    with torch.no_grad():
        hidden = digits_classifier().features(x)
    np.testing.assert_allclose(rows, hidden.numpy(), atol=1e-5)
    np.testing.assert_allclose(soft, digits_classifier().probabilities(x).numpy(), atol=1e-5)
    assert rows.shape == (150, extractor.width) == (150, 64)
    np.testing.assert_array_equal(extractor.extract(digits[:150]), rows)
    assert (soft.argmax(1) == split().held_out_labels[:150].numpy()).mean() > 0.97


def test_its_own_data_are_recognised_and_others_are_not(digits: list[np.ndarray]) -> None:
    assert 0.9 < ShippedClassifier("digits").recognised(digits) <= 1
    noise = list(np.random.default_rng(0).integers(0, 256, (200, 28, 28), dtype=np.uint8))
    for name in ("digits", "mnist", "fashion-mnist"):
        assert ShippedClassifier(name).recognised(noise) < 0.1
    assert ShippedClassifier("digits").recognised([255 - image for image in digits]) < 0.1


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion-mnist"])
def test_rows_do_not_depend_on_their_neighbours(name: str) -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (130, 28, 28), dtype=np.uint8))
    extractor = ShippedClassifier(name)
    whole, soft = extractor.both(images)
    np.testing.assert_allclose(extractor.extract(images[::-1])[::-1], whole, atol=1e-6)
    for row in (0, 77, 129):
        alone, alone_soft = extractor.both([images[row]])
        np.testing.assert_allclose(alone[0], whole[row], atol=1e-6)
        np.testing.assert_allclose(alone_soft[0], soft[row], atol=1e-6)


def test_colour_and_other_sizes_are_converted() -> None:
    extractor = ShippedClassifier("mnist")
    image = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    same = extractor.extract([image, np.repeat(image[..., None], 3, 2)])
    np.testing.assert_allclose(same[0], same[1], atol=1e-6)
    assert extractor.extract([image[:20], np.zeros((64, 48, 3), np.uint8)]).shape == (2, 96)


def test_it_says_what_it_is() -> None:
    extractor = ShippedClassifier("fashion-mnist")
    assert extractor.name == "classifier:fashion-mnist"
    assert extractor.classes == CLOTHES
    assert not extractor.standard
    assert extractor.reusable
    assert "28 x 28" in extractor.why
    assert "nothing is inverted" in extractor.why
    assert extractor.threshold == load_card("fashion-mnist").confidence_threshold
    assert len({ShippedClassifier(name).digest for name in ("digits", "mnist", "fashion-mnist")}) == 3
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        ShippedClassifier("mnits")


@pytest.mark.gpu
def test_a_gpu_gives_the_rows_of_the_cpu() -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (130, 28, 28), dtype=np.uint8))
    rows, soft = ShippedClassifier("mnist", device=torch.device("cuda")).both(images)
    expected, expected_soft = ShippedClassifier("mnist").both(images)
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(soft, expected_soft, atol=1e-4)
