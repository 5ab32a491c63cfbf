"""The shipped classifiers as extractors: their hidden layer as features, their softmax as class probabilities."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from uncollapse.data.source import Pixels
from uncollapse.features.batches import Prepared, digest_of, in_batches
from uncollapse.features.classifier import Classifier, find_row, load_card, load_classifier
from uncollapse.features.extractor import Extractor, Rows
from uncollapse.features.resizing import GREY_POLICY, RESIZES, prepare

BATCH = 128
PREFIX = "classifier:"


class ShippedClassifier(Extractor):
    """A classifier that comes with the package.

    Attributes:
        threshold: The confidence that 95 % of unseen real images of its data reach.
        side: Height and width of its images.
        accuracy: Share of held-out images classified correctly.
    """

    def __init__(self, name: str, *, device: torch.device | None = None) -> None:
        """Loads it.

        Args:
            name: "digits", "mnist" or "fashion-mnist".
            device: Where it computes; the CPU by default.

        Raises:
            UserError: There is none of that name.
        """
        row, card = find_row(name), load_card(name)
        self._device = device or torch.device("cpu")
        network = load_classifier(name)
        # Only a copy may move: the loaded one is shared with the task `digits`.
        self._network = network if self._device.type == "cpu" else _moved(name, self._device)
        self.side = network.side
        self.name = f"{PREFIX}{name}"
        self.threshold, self.accuracy, self.classes = card.confidence_threshold, card.accuracy, row.classes
        self.digest = digest_of(extractor=self.name, weights=card.sha256, policies=[RESIZES["clean"], GREY_POLICY])
        self.why = (
            f"A classifier of {row.subject}, right for {100 * card.accuracy:.1f} % of held-out ones; its hidden layer "
            f"of {network.width} numbers tells classes and styles apart. Colour is turned into grey, other sizes are "
            f"resized to {self.side} x {self.side} with antialiasing, and nothing is inverted."
        )

    @property
    def width(self) -> int:
        """Numbers of the hidden layer."""
        return self._network.width

    def extract(self, images: Sequence[Pixels]) -> Rows:
        """The hidden layer (n, width), before the last linear map."""
        return self.both(images)[0]

    def probabilities(self, images: Sequence[Pixels]) -> Rows:
        """Softmax (n, classes)."""
        return self.both(images)[1]

    def both(self, images: Sequence[Pixels]) -> tuple[Rows, Rows]:
        """Hidden layer and softmax from one pass."""
        hidden, softmax = in_batches(images, self._prepare, self._judge, size=BATCH, device=self._device)
        return hidden, softmax

    def recognised(self, images: Sequence[Pixels]) -> float:
        """Share of the images whose confidence reaches the threshold; of its own unseen data it is .95."""
        return float((self.probabilities(images).max(1) >= self.threshold).mean())

    def _prepare(self, images: Sequence[Pixels]) -> Prepared:
        grey = prepare(images, height=self.side, width=self.side, colour=False)
        return grey / np.float32(127.5) - np.float32(1)

    def _judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self._network.features(x)
        return hidden, self._network.logits(hidden).softmax(1)


def _moved(name: str, device: torch.device) -> Classifier:
    moved = copy.deepcopy(load_classifier(name))
    return moved.to(device)
