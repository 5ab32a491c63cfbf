"""The shipped classifiers: small convolutional networks, their weights, and the cards that state what they can do.

`scripts/train_classifiers.py` and `scripts/train_digits_classifier.py` trained them on training splits only. `shipped`
turns one into an extractor; the task `digits` judges its samples with the first.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

import torch
from torch import Tensor, nn

from uncollapse.errors import unknown

WEIGHTS = resources.files("uncollapse.features") / "weights"
NAME = "digits-classifier"
DIGITS = tuple(str(digit) for digit in range(10))
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
PART = 4096


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known about shipped weights; measured after loading the file that is shipped.

    Attributes:
        accuracy: Share of held-out real images classified correctly, with its 95 % Wilson interval.
        n_train: Images that trained it.
        n_held_out: Number of held-out images.
        confidence_threshold: 5 % quantile of the confidence on held-out real images.
        command: What trained it.
        seed: Of the training.
        epochs: Passes over the training images.
        parameters: Numbers in the network.
        sha256: Of the file of weights.
        versions: Of the packages that trained it.
        recall: Share of the held-out images of each class that it classifies correctly.
        n_validation: Images that chose the settings and gave the threshold; 0 where the held-out images gave it.
        recognised: Share of the held-out images whose confidence reaches the threshold.
        seconds: Training time, on the machine that trained it.
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
    recall: dict[str, float] = field(default_factory=dict)
    n_validation: int = 0
    recognised: float = 0.95
    seconds: float | None = None


class Classifier(nn.Module, ABC):
    """A network from grey square images to logits, by way of one hidden layer.

    Attributes:
        side: Rows and columns of the images.
        width: Numbers of the hidden layer.
    """

    side: int
    width: int

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """The hidden layer (n, width), which a metric may use as features, of images in [-1, 1]."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Logits (n, classes) from the hidden layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return self.logits(self.features(x))

    @torch.no_grad()
    def probabilities(self, x: Tensor) -> Tensor:
        """Class probabilities (n, classes), computed 4,096 samples at a time."""
        return torch.cat([self(part).softmax(1) for part in torch.split(x, PART)])


class DigitsClassifier(Classifier):
    """Two 3x3 convolutions, one pooling, one hidden layer of 64; about 38,000 parameters.

    Input: (n, 8, 8) or (n, 64), scaled to [-1, 1]. Output: logits (n, 10).
    """

    side, width = 8, 64

    def __init__(self) -> None:
        """Builds the layers; weights come from the file or from training."""
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU())
        self.output = nn.Linear(64, 10)

    def features(self, x: Tensor) -> Tensor:
        """The hidden layer (n, 64)."""
        hidden: Tensor = self.hidden(self.convolutions(x.reshape(-1, 1, 8, 8)))
        return hidden

    def logits(self, features: Tensor) -> Tensor:
        """Logits (n, 10) from the hidden layer."""
        logits: Tensor = self.output(features)
        return logits


class GreyClassifier(Classifier):
    """Each 2x2 block a pixel of four channels, three 3x3 convolutions, one hidden layer of 96; 159,082 parameters.

    Input: (n, 28, 28) or (n, 784), scaled to [-1, 1]. Output: logits (n, 10). It was trained with a batch norm behind
    each convolution; the shipped weights have it folded in.
    """

    side, width = 28, 96

    def __init__(self) -> None:
        """Builds the layers; weights come from the file or from training."""
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.PixelUnshuffle(2),
            *(nn.Conv2d(4, 32, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 96, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(96 * 3 * 3, 96), nn.ReLU())
        self.output = nn.Linear(96, 10)

    def features(self, x: Tensor) -> Tensor:
        """The hidden layer (n, 96)."""
        hidden: Tensor = self.hidden(self.convolutions(x.reshape(-1, 1, 28, 28)))
        return hidden

    def logits(self, features: Tensor) -> Tensor:
        """Logits (n, 10) from the hidden layer."""
        logits: Tensor = self.output(features)
        return logits


@dataclass(frozen=True, kw_only=True)
class Row:
    """One shipped classifier and what was given to it; the measured numbers are in its `Card`.

    Attributes:
        name: As in "classifier:NAME".
        subject: What its images show.
        network: Builds it.
        classes: Names of the classes, in the order of the logits.
        data: What it learned from.
        split: Which part trained, chose and measured.
        licence: Of the data; the weights are the project's own.
        limits: What it must not be used for.
    """

    name: str
    subject: str
    network: Callable[[], Classifier]
    classes: tuple[str, ...]
    data: str
    split: str
    licence: str
    limits: tuple[str, ...]

    @property
    def file(self) -> str:
        """Name of its two files in `weights`, without the ending."""
        return f"{self.name}-classifier"


_SAME_LIMITS = (
    "It looks at one grey image: colour images lose their colour, other sizes are resized.",
    "Light ink on a dark ground, as in its data; images of the opposite polarity are not inverted and not recognised.",
    "Images of anything else also get some class; ask the confidence threshold first.",
)
_LAST_5000 = (
    "The first 55,000 images of the training split train, its last 5,000 choose the settings and give the confidence "
    "threshold, and the test split of 10,000 only measures."
)
CLASSIFIERS: Mapping[str, Row] = {
    row.name: row
    for row in (
        Row(
            name="digits",
            subject="8x8 handwritten digits",
            network=DigitsClassifier,
            classes=DIGITS,
            data="Optical recognition of handwritten digits (UCI; Alpaydin and Kaynak 1998), 1,797 images of 8x8, as "
            "scikit-learn ships them.",
            split="Every fourth image of each class is held out and only measures.",
            licence="CC BY 4.0",
            limits=_SAME_LIMITS,
        ),
        Row(
            name="mnist",
            subject="28x28 handwritten digits",
            network=GreyClassifier,
            classes=DIGITS,
            data="MNIST (LeCun, Cortes and Burges 1998), 70,000 images of 28x28.",
            split=_LAST_5000,
            licence="CC BY-SA 3.0",
            limits=_SAME_LIMITS,
        ),
        Row(
            name="fashion-mnist",
            subject="28x28 pictures of clothes",
            network=GreyClassifier,
            classes=CLOTHES,
            data="Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747), 70,000 images of 28x28.",
            split=_LAST_5000,
            licence="MIT",
            limits=(
                *_SAME_LIMITS,
                "Shirts are the hardest: about a quarter of them pass for T-shirts, pullovers or coats, so that shares "
                "of these classes are less sure than the others.",
            ),
        ),
    )
}


def find_row(name: str) -> Row:
    """The shipped classifier of that name.

    Raises:
        UserError: There is none; names the nearest.
    """
    if name not in CLASSIFIERS:
        raise unknown("shipped classifier", name, CLASSIFIERS)
    return CLASSIFIERS[name]


@cache
def load_classifier(name: str) -> Classifier:
    """A shipped classifier, on the CPU, in float32, ready to judge.

    Raises:
        UserError: There is none of that name.
    """
    from safetensors.torch import load

    row = find_row(name)
    with torch.random.fork_rng(devices=[]):
        classifier = row.network()
    classifier.load_state_dict(load((WEIGHTS / f"{row.file}.safetensors").read_bytes()))
    return classifier.requires_grad_(False).eval()


@cache
def load_card(name: str) -> Card:
    """The card that was written when the classifier was trained.

    Raises:
        UserError: There is none of that name.
    """
    return Card(**json.loads((WEIGHTS / f"{find_row(name).file}.json").read_text()))


@cache
def digits_classifier() -> DigitsClassifier:
    """The shipped classifier of 8x8 digits."""
    classifier = load_classifier("digits")
    assert isinstance(classifier, DigitsClassifier)
    return classifier


@cache
def digits_card() -> Card:
    """Its card."""
    return load_card("digits")
