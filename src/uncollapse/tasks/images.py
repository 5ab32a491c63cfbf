"""MNIST and Fashion-MNIST: 28x28 grey images in ten classes, judged by a shipped classifier.

The training split alone is learnt from; the test split is `held_out`. Images lie once in memory as bytes, shared by all
seeds, and become floats batch by batch; nothing is read before a task needs it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from uncollapse.data.cache import cache_folder
from uncollapse.data.fetch import COLLECTIONS, dataset
from uncollapse.draws import Draw
from uncollapse.errors import UserError
from uncollapse.features.classifier import find_row, load_classifier
from uncollapse.files import readable
from uncollapse.networks.dcgan import DCGAN
from uncollapse.tasks.judging import QUALITY_QUANTILE, as_floats, classified
from uncollapse.tasks.task import Batch, Modes, Source, Task, training_rows

# Images of each class, so that tasks can be listed and described without their data.
LABEL_COUNTS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "mnist": {
        "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    },
    "fashion-mnist": {"train": (6000,) * 10, "test": (1000,) * 10},
}
SIDE = 28
# Of image tasks, unless a run says otherwise.
BATCH = 64
NETWORKS = DCGAN(latent=64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Labelled images in memory, from which batches are picked.

    Attributes:
        images: (n, *shape), bytes or floats in [-1, 1].
        labels: int64 (n,); None where there are none.
    """

    images: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def to(self, device: torch.device | str) -> Pool:
        """The same images on a device; on their own one they are not copied."""
        return Pool(images=self.images.to(device), labels=None if self.labels is None else self.labels.to(device))

    def pick(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Some images as floats in [-1, 1], (*rows.shape, *shape)."""
        return as_floats(self.images[rows], dtype)

    def source(self, kept: Tensor | None, dtype: torch.dtype) -> Source:
        """A source that picks with replacement among all images, or among the rows `kept`."""
        among = None if kept is None else kept.to(self.images.device)

        def draw_rows(n: int, draw: Draw) -> Batch:
            picked = draw.integers(len(self) if among is None else len(among), n).to(self.images.device)
            picked = picked if among is None else among[picked]
            return self.pick(picked, dtype), None if self.labels is None else self.labels[picked]

        return draw_rows


@cache
def pool(name: str, split: str, device: str = "cpu") -> Pool:
    """The images of a split, read once in the life of this process and copied once to each other device.

    Args:
        name: ``"mnist"`` or ``"fashion-mnist"``.
        split: ``"train"`` or ``"test"``.
        device: Where they are wanted.

    Raises:
        UserError: The data are not on this machine, or are not the published ones.
    """
    if device != "cpu":
        return pool(name, split).to(device)
    _check_there(name)
    images, labels = dataset(name, split)
    return Pool(images=torch.from_numpy(images), labels=torch.from_numpy(labels))


@cache
def held_out_floats(name: str) -> Pool:
    """The test split as floats in [-1, 1], always the same tensor, so that what is computed from it can be kept."""
    data = pool(name, "test")
    return Pool(images=as_floats(data.images, torch.float32), labels=data.labels)


def _check_there(name: str) -> None:
    """Refuses to train on what is not here: a download of this size is the user's decision."""
    given = os.environ.get("UNCOLLAPSE_DATA")
    folders = [*([Path(given)] if given else []), cache_folder()]
    for download in COLLECTIONS[name].files:
        if not any(readable(folder / download.path) for folder in folders):
            raise UserError(
                f"{download.path} is not on this machine; run `uncollapse data fetch {name}`, or set UNCOLLAPSE_DATA "
                "to a folder that holds it."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Images(Task):
    """Grey images of 28x28; the mode of a sample is the class that the shipped classifier sees.

    High quality means that the classifier's confidence (its largest class probability) reaches the threshold of its
    card, which 95 % of unseen real images do.

    Attributes:
        name: ``"mnist"`` or ``"fashion-mnist"``, which names data and classifier alike.
    """

    batch: int = BATCH

    @property
    def real_quality(self) -> float:
        """95 %."""
        return QUALITY_QUANTILE

    @property
    def shape(self) -> tuple[int, ...]:
        """(28, 28)."""
        return (SIDE, SIDE)

    @property
    def classes(self) -> int:
        """Ten."""
        return 10

    @property
    def available(self) -> int:
        """Rows of the training split."""
        return sum(LABEL_COUNTS[self.name]["train"])

    @property
    def modes(self) -> Modes:
        """The ten classes with their shares of the training split."""
        counts = torch.tensor(LABEL_COUNTS[self.name]["train"], dtype=torch.float64)
        names = find_row(self.name).classes
        digits = self.name == "mnist"
        return Modes(names=tuple(f"digit {d}" if digits else d for d in names), weights=counts / counts.sum())

    def sample(self, n: int, draw: Draw) -> Batch:
        """n training images with replacement: (n, 28, 28) in [-1, 1] and the class of each (n,)."""
        return pool(self.name, "train", str(draw.device)).source(None, draw.dtype)(n, draw)

    def held_out(self, n: int, draw: Draw) -> Batch:
        """n images of the test split with replacement."""
        return pool(self.name, "test", str(draw.device)).source(None, draw.dtype)(n, draw)

    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        """Rows of the training split, or of `train_size` of them chosen for this seed."""
        kept = None if self.train_size is None else training_rows(seed, self.available, self.train_size)
        return pool(self.name, "train", str(device)).source(kept, dtype)

    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The class the classifier sees in each of (n, 28, 28) or (n, 784), and whether it is confident enough."""
        return classified(self.name, x)

    def further_measures(self, x: Tensor, labels: Tensor | None) -> dict[str, float | None]:
        """Distance, quality, variety and agreement on the classifier, against the test split."""
        from uncollapse.metrics.images import image_measures

        real = held_out_floats(self.name)
        assert real.labels is not None
        return image_measures(
            x.reshape(-1, *self.shape),
            labels,
            classifier=load_classifier(self.name),
            held_out=real.images,
            held_out_labels=real.labels,
        )


def mnist() -> Images:
    """Handwritten digits."""
    return Images(
        name="mnist",
        networks=NETWORKS,
        summary="70,000 handwritten digits of 28x28 in ten classes, 10,000 held out; judged by a shipped classifier.",
    )


def fashion_mnist() -> Images:
    """Articles of clothing."""
    return Images(
        name="fashion-mnist",
        networks=NETWORKS,
        summary="70,000 grey pictures of clothes of 28x28 in ten classes, 10,000 held out; judged by a shipped "
        "classifier.",
    )
