"""The shipped classifier of 8x8 digits: a small convolutional network and the card that states what it can do.

`scripts/train_digits_classifier.py` trained it on the training split of task `digits` only; the task judges with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import torch
from torch import Tensor, nn

WEIGHTS = resources.files("uncollapse.features") / "weights"
NAME = "digits-classifier"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known about the shipped weights.

    Attributes:
        accuracy: Share of held-out real digits classified correctly, with its 95 % Wilson interval.
        n_held_out: Number of held-out digits.
        confidence_threshold: 5 % quantile of the confidence on held-out real digits.
        command: What trained it.
        versions: Of the packages that did.
    """

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    n_train: int
    n_held_out: int
    confidence_threshold: float
    command: str
    seed: int
    epochs: int
    parameters: int
    sha256: str
    versions: dict[str, str]


class DigitsClassifier(nn.Module):
    """Two 3x3 convolutions, one pooling, one hidden layer of 64; about 38,000 parameters.

    Input: (n, 8, 8) or (n, 64), scaled to [-1, 1]. Output: logits (n, 10).
    """

    def __init__(self) -> None:
        """Builds the layers; weights come from the file or from training."""
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU())
        self.output = nn.Linear(64, 10)

    def features(self, x: Tensor) -> Tensor:
        """The hidden layer (n, 64), which a metric may use as features."""
        hidden: Tensor = self.hidden(self.convolutions(x.reshape(-1, 1, 8, 8)))
        return hidden

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 10)."""
        logits: Tensor = self.output(self.features(x))
        return logits

    @torch.no_grad()
    def probabilities(self, x: Tensor) -> Tensor:
        """Class probabilities (n, 10), computed 4,096 samples at a time."""
        return torch.cat([self(part).softmax(1) for part in torch.split(x, 4096)])


@cache
def digits_classifier() -> DigitsClassifier:
    """The shipped classifier, on the CPU, ready to judge."""
    from safetensors.torch import load

    with torch.random.fork_rng(devices=[]):
        classifier = DigitsClassifier()
    classifier.load_state_dict(load((WEIGHTS / f"{NAME}.safetensors").read_bytes()))
    return classifier.requires_grad_(False).eval()


@cache
def digits_card() -> Card:
    """The card that was written when the classifier was trained."""
    return Card(**json.loads((WEIGHTS / f"{NAME}.json").read_text()))
