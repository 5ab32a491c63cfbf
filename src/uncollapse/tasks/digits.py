"""The 1,797 real 8x8 handwritten digits of scikit-learn (UCI, Alpaydin and Kaynak 1998), ten classes.

A quarter of each class is held out and never trained on, neither by generators nor by the classifier that judges them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from uncollapse.draws import Draw
from uncollapse.features.classifier import digits_classifier
from uncollapse.networks.mlp import MLP
from uncollapse.tasks.judging import QUALITY_QUANTILE, classified
from uncollapse.tasks.task import Batch, Modes, Source, Task, rows, training_rows

HOLD_OUT_EVERY = 4


@dataclass(frozen=True, kw_only=True)
class Split:
    """The fixed split of the digits.

    Attributes:
        train: Images (n, 8, 8) float32 in [-1, 1].
        train_labels: int64 (n,), the digit shown.
        held_out: Images never trained on.
        held_out_labels: Their digits.
    """

    train: Tensor
    train_labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor


@cache
def split() -> Split:
    """Every fourth image of each class, in scikit-learn's order, is held out; no random number is involved."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.from_numpy(data.images).float() / 8 - 1  # 0 .. 16 -> -1 .. 1
    labels = torch.from_numpy(data.target).long()
    rank_in_class = torch.zeros_like(labels)
    for digit in range(10):
        members = labels == digit
        rank_in_class[members] = torch.arange(int(members.sum()))
    out = rank_in_class % HOLD_OUT_EVERY == HOLD_OUT_EVERY - 1
    return Split(train=images[~out], train_labels=labels[~out], held_out=images[out], held_out_labels=labels[out])


@dataclass(frozen=True, kw_only=True, eq=False)
class Digits(Task):
    """Handwritten digits; the mode of a sample is the digit that the shipped classifier sees.

    High quality means that the classifier's confidence (its largest class probability) reaches the 5 % quantile of its
    confidence on held-out real digits, so 95 % of unseen real digits are of high quality.
    """

    @property
    def real_quality(self) -> float:
        """95 %."""
        return QUALITY_QUANTILE

    @property
    def shape(self) -> tuple[int, ...]:
        """(8, 8)."""
        return (8, 8)

    @property
    def classes(self) -> int:
        """Ten."""
        return 10

    @property
    def available(self) -> int:
        """Rows of the training split."""
        return len(split().train)

    @property
    def modes(self) -> Modes:
        """The ten digits with their shares of the training split."""
        counts = torch.bincount(split().train_labels, minlength=10).double()
        return Modes(names=tuple(f"digit {d}" for d in range(10)), weights=counts / counts.sum())

    def sample(self, n: int, draw: Draw) -> Batch:
        """n training digits with replacement: (n, 8, 8) in [-1, 1] and the digit of each (n,)."""
        data = split()
        return rows(data.train, data.train_labels, device=draw.device, dtype=draw.dtype)(n, draw)

    def held_out(self, n: int, draw: Draw) -> Batch:
        """n held-out digits with replacement."""
        data = split()
        return rows(data.held_out, data.held_out_labels, device=draw.device, dtype=draw.dtype)(n, draw)

    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        """Rows of the training split, or of `train_size` of them chosen for this seed."""
        data = split()
        kept = training_rows(seed, len(data.train), self.train_size)
        return rows(data.train[kept], data.train_labels[kept], device=device, dtype=dtype)

    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The digit the classifier sees in each of (n, 8, 8) or (n, 64), and whether it is confident enough."""
        return classified("digits", x)

    def further_measures(self, x: Tensor, labels: Tensor | None) -> dict[str, float | None]:
        """Distance, quality, variety and agreement on the classifier, against the held-out digits."""
        from uncollapse.metrics.images import image_measures

        data = split()
        return image_measures(
            x.reshape(-1, *self.shape),
            labels,
            classifier=digits_classifier(),
            held_out=data.held_out,
            held_out_labels=data.held_out_labels,
        )


def digits() -> Digits:
    """The digits with a latent of 16 and bounded output."""
    return Digits(
        name="digits",
        networks=MLP(latent=16, bounded=True),
        batch=64,
        measure_size=10_000,
        summary="1,797 real 8x8 handwritten digits in ten classes, a quarter held out; judged by a shipped classifier.",
    )
