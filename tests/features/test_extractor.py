from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from uncollapse.data.source import Pixels
from uncollapse.errors import UserError
from uncollapse.features.extractor import Extractor, Rows


class Brightness(Extractor):
    name, digest, why = "brightness", "0" * 64, "Mean brightness."

    @property
    def width(self) -> int:
        return 1

    def extract(self, images: Sequence[Pixels]) -> Rows:
        return np.array([[image.mean()] for image in images], dtype=np.float32)


class Judge(Brightness):
    classes = ("dark", "light")

    def probabilities(self, images: Sequence[Pixels]) -> Rows:
        light = self.extract(images) / 255
        return np.concatenate([1 - light, light], 1)


IMAGES = [np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)]


def test_both_gives_probabilities_of_a_classifier_only() -> None:
    rows, none = Brightness().both(IMAGES)
    assert rows.tolist() == [[0], [255]]
    assert none is None
    rows, soft = Judge().both(IMAGES)
    assert rows.tolist() == [[0], [255]]
    assert soft is not None
    assert soft.tolist() == [[1, 0], [0, 1]]


def test_the_defaults_claim_nothing() -> None:
    plain = Brightness()
    assert (plain.classes, plain.standard, plain.fits, plain.reusable) == ((), False, False, True)
    assert plain.fit(IMAGES, IMAGES) is None
    with pytest.raises(UserError, match="brightness is no classifier and knows no classes; choose one, such as"):
        plain.probabilities(IMAGES)


def test_it_is_a_contract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Extractor()  # type: ignore[abstract]
