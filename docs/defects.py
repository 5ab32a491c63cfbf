"""Digits with planted defects, and what each metric makes of them.

`docs/defect_pictures.py` draws it; tests/laws/test_planted_defects.py holds the facts of the metrics to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from uncollapse.draws import stream
from uncollapse.features.classifier import digits_classifier
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.metric import Direction, Metric, find_metric
from uncollapse.tasks.digits import split

HEALTHY = "healthy"
SIZE = 500
LOST = (2, 4, 7, 9)
PATHS = 2_000
SHRUNK = 0.5
DISTINCT = 20
BLUR = 0.7
NOISE = 0.02
LEAST_DEVIATION = 0.02
# Bins for few images, and a classifier that sees more than a shift of means; the other metrics at their defaults.
SETTINGS: Mapping[str, dict[str, Any]] = {"ndb": {"bins": 40}, "c2st": {"classifier": "mlp"}}
# Generators whose images change ever faster between four digits, and one that makes one image only.
STEEPNESS = {"smooth": 1.0, "steep": 4.0, "nearly jumping": 16.0, "one image": 0.0}


class Halves(NamedTuple):
    """The digits in two halves of equal make-up.

    Each half holds half of every class, and the same share of the images that the classifier was trained on.

    Attributes:
        real: The reference and training half (n, 64) in [-1, 1].
        real_labels: The digit of each (n,).
        other: The half from which healthy samples and defects are made.
        other_labels: Their digits.
    """

    real: Tensor
    real_labels: Tensor
    other: Tensor
    other_labels: Tensor


@cache
def halves() -> Halves:
    """Every second image of each class, of those that the classifier learned from and of those that it did not."""
    data = split()
    images = torch.cat([data.train, data.held_out]).flatten(1)
    labels = torch.cat([data.train_labels, data.held_out_labels])
    trained = torch.arange(len(labels)) < len(data.train)
    second = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(10):
        for learned in (True, False):
            members = torch.nonzero((labels == digit) & (trained == learned))[:, 0]
            second[members[1::2]] = True
    return Halves(real=images[~second], real_labels=labels[~second], other=images[second], other_labels=labels[second])


@cache
def varying() -> Tensor:
    """Which pixels are features (64,): not the rim that is black in nearly every image."""
    return halves().real.std(0) > LEAST_DEVIATION


@cache
def samples() -> Mapping[str, Tensor]:
    """Healthy samples and every defect of `DEFECTS`, each (SIZE, 64)."""
    data = halves()
    pick = stream(0, "planted").permutation(len(data.other))[:SIZE]
    healthy, labels = data.other[pick], data.other_labels[pick]
    return {
        HEALTHY: healthy,
        "modes lost": _modes_lost(data),
        "variance shrunk": _variance_shrunk(data, healthy, labels),
        "duplicates": _duplicates(healthy, labels),
        "blur": torch.from_numpy(gaussian_filter(healthy.reshape(-1, 8, 8).numpy(), (0, BLUR, BLUR))).flatten(1),
        "memorised": _memorised(data),
    }


def _modes_lost(data: Halves) -> Tensor:
    """Real images of the other half, none of the lost digits."""
    kept = torch.nonzero(~torch.isin(data.other_labels, torch.tensor(LOST)))[:, 0]
    return data.other[kept[stream(0, "modes lost").permutation(len(kept))[:SIZE]]]


def _variance_shrunk(data: Halves, healthy: Tensor, labels: Tensor) -> Tensor:
    """Healthy images drawn half the way to the mean image of their digit."""
    means = torch.stack([data.real[data.real_labels == digit].mean(0) for digit in range(10)])[labels]
    return means + SHRUNK * (healthy - means)


def _duplicates(healthy: Tensor, labels: Tensor) -> Tensor:
    """SIZE draws from a few healthy images, equally many of each digit."""
    few = [torch.nonzero(labels == digit)[: DISTINCT // 10, 0] for digit in range(10)]
    return healthy[torch.cat(few)[stream(0, "duplicates").integers(DISTINCT, SIZE)]]


def _memorised(data: Halves) -> Tensor:
    """Training images with a noise that nobody sees."""
    draw = stream(0, "memorised")
    copied = data.real[draw.permutation(len(data.real))[:SIZE]]
    return copied + NOISE * draw.normal(*copied.shape)


def measure(metric: Metric, fake: Tensor) -> Estimate:
    """The metric of some images, seeded; probabilities and labels are those of the shipped classifier."""
    data, judge, kept = halves(), digits_classifier(), varying()
    given: dict[str, Callable[[], dict[str, Any]]] = {
        "real and fake features": lambda: {"real": data.real[:, kept], "fake": fake[:, kept]},
        "training and fake features": lambda: {"train": data.real[:, kept], "fake": fake[:, kept]},
        "fake features": lambda: {"fake": fake[:, kept]},
        "probabilities": lambda: {"probabilities": judge.probabilities(fake)},
        "labels": lambda: {"real": data.real_labels, "fake": judge.probabilities(fake).argmax(1)},
    }
    return metric.function(**given[metric.takes](), **SETTINGS.get(metric.name, {}))


def morph(steepness: float, latent: Tensor) -> Tensor:
    """Images (n, 64) between four digits, of latents (n, 2).

    Each coordinate of the latent turns one pair of digits into the other, over a range of 1 / steepness; with
    steepness 0 all images are the same.
    """
    data = halves()
    corners = [data.real[data.real_labels == digit][0].double() for digit in (0, 1, 6, 7)]
    across, down = (latent * steepness).sigmoid().T[..., None]
    top = (1 - across) * corners[0] + across * corners[1]
    bottom = (1 - across) * corners[2] + across * corners[3]
    return (1 - down) * top + down * bottom


def measure_path(metric: Metric, steepness: float) -> Estimate:
    """The path length of one of the generators."""
    generator = partial(morph, steepness)
    return metric.function(generator=generator, latent=2, samples=PATHS, dtype=torch.float64)


@cache
def estimates(name: str) -> Mapping[str, Estimate]:
    """Column -> what the metric says of it; the first column is the healthy one."""
    metric = find_metric(name)
    if metric.takes == "a generator":
        return {column: measure_path(metric, steepness) for column, steepness in STEEPNESS.items()}
    return {column: measure(metric, fake) for column, fake in samples().items()}


def seen(direction: Direction, healthy: Estimate, other: Estimate) -> bool:
    """Whether the intervals lie apart, with the other on the bad side; a missing end has no limit.

    A metric that is best near an ideal is moved to either side by a defect.
    """
    above = other.low is not None and healthy.high is not None and other.low > healthy.high
    below = other.high is not None and healthy.low is not None and other.high < healthy.low
    return {"lower": above, "higher": below, "near": above or below}[direction]


def verdicts(name: str) -> dict[str, bool]:
    """Column -> whether the metric sees what is wrong with it; the healthy column is left out."""
    found, direction = estimates(name), find_metric(name).direction
    healthy, *others = found
    return {column: seen(direction, found[healthy], found[column]) for column in others}
