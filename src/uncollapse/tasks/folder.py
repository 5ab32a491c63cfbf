"""The user's own images as a task: a folder, a zip or any other set of images that `data` reads.

Modes are its labels, or k-means clusters where there are none; samples are judged by their nearest training image. The
rules are those of `arrays`, on principal components instead of columns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.data.limits import short
from uncollapse.draws import Draw
from uncollapse.errors import UserError
from uncollapse.networks.network import Networks
from uncollapse.tasks.folder_files import Content, label_counts, read_folder
from uncollapse.tasks.images import BATCH, NETWORKS, Pool
from uncollapse.tasks.judging import QUALITY_QUANTILE, Components, Nearest, held_out_fifth, k_means
from uncollapse.tasks.task import Batch, Modes, Source, Task, training_rows

PREFIX = "folder:"
SUMMARY = (
    "Your own images from a folder, a zip or another file of images; modes are its labels, or k-means clusters without "
    "labels."
)
FEWEST_IMAGES = 50
MOST_CLUSTERS, IMAGES_PER_CLUSTER = 10, 10
SIZES = (8, 256)
COMPARED = 5_000


class Groups:
    """A content with its modes, its split and the judge of samples.

    Attributes:
        names: Of the modes.
        modes: The mode of each image (n,).
        out: Which images are held out (n,).
    """

    def __init__(self, content: Content, clusters: int | None, name: str) -> None:
        """Finds the modes.

        Args:
            content: The images.
            clusters: Number of k-means clusters; None for the labels.
            name: Of the task, for messages.
        """
        self._components = Components(content.images)
        self._rows = self._components.of(content.images)
        if clusters is None:
            values, modes = np.unique(np.asarray(content.labels), return_inverse=True)
            self.names = tuple(f"label {value}" for value in values)
            self.modes: NDArray[np.int64] = modes.astype(np.int64)
        else:
            self.names = tuple(f"cluster {k}" for k in range(clusters))
            self.modes = k_means(self._rows, clusters, name)
        self.out = held_out_fifth(self.modes)

    @cached_property
    def nearest(self) -> Nearest:
        """Looks up the nearest training image."""
        return Nearest(self._rows, self.modes, self.out)

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The mode and the quality of images (n, ...) in [-1, 1]."""
        return self.nearest.judge(self._components.of(images))


# Specs are read back often, and neither clusters nor components change between two tasks on the same content.
_grouped = lru_cache(maxsize=4)(Groups)


@lru_cache(maxsize=4)
def _placed(content: Content, device: str) -> Tensor:
    return content.images.to(device)


@dataclass(frozen=True, kw_only=True, eq=False)
class Folder(Task):
    """The user's own images as a task.

    Images are made grey or colour alike, resized to squares (which stretches what is not square) and kept as bytes. A
    fifth of each label's images, chosen once by a fixed seed, is held out. The mode of a sample is the label of its
    nearest training image in 64 principal components of the pixels and the distance from them; high quality means that
    this image is no farther than for 95 % of the held-out real images. Nearness of pixels is a coarse judge: blurred
    images pass, and `accuracy` says how often it finds the label of held-out images.

    Attributes:
        name: ``"folder:PATH"``.
        size: Height and width of the images; None means their own where all are squares of the same size up to 64, and
            32 otherwise.
        grey: Whether colour is left out; None means that it is where all images look grey.
        clusters: Number of k-means clusters that are the modes instead of labels; None means the labels, or 10 clusters
            (n // 10 below 100 images) where there are none.
    """

    options: ClassVar[tuple[str, ...]] = ("train_size", "size", "grey", "clusters")

    size: int | None = None
    grey: bool | None = None
    clusters: int | None = None
    batch: int = BATCH
    networks: Networks = NETWORKS
    summary: str = SUMMARY

    def __post_init__(self) -> None:
        """Reads the images and checks the options."""
        if self.size is not None and not (type(self.size) is int and SIZES[0] <= self.size <= SIZES[1]):
            raise UserError(f"size must be a whole number from {SIZES[0]} to {SIZES[1]}, not {self.size!r}.")
        if self.grey is not None and not isinstance(self.grey, bool):
            raise UserError(f"grey must be true or false, not {self.grey!r}.")
        _check(self._content, self.clusters, self.name)
        super().__post_init__()

    @cached_property
    def _content(self) -> Content:
        return read_folder(Path(self.name.removeprefix(PREFIX)).expanduser(), size=self.size, grey=self.grey)

    @cached_property
    def _groups(self) -> Groups:
        clusters = self.clusters
        if clusters is None and self._content.labels is None:
            clusters = min(MOST_CLUSTERS, len(self._content.images) // IMAGES_PER_CLUSTER)
        return _grouped(self._content, clusters, self.name)

    @property
    def real_quality(self) -> float:
        """95 %."""
        return QUALITY_QUANTILE

    @property
    def shape(self) -> tuple[int, ...]:
        """(side, side), or (3, side, side) in colour."""
        return tuple(self._content.images.shape[1:])

    @property
    def classes(self) -> int:
        """Number of labels; 0 when modes are clusters."""
        return 0 if self.clusters is not None or self._content.labels is None else len(self.label_values)

    @property
    def label_values(self) -> NDArray[Any]:
        """The labels, sorted (classes,)."""
        if self.clusters is not None or self._content.labels is None:
            return super().label_values
        return np.unique(np.asarray(self._content.labels))

    @property
    def slug(self) -> str:
        """The name of the folder or file without what lies above it."""
        path = Path(self.name.removeprefix(PREFIX))
        return re.sub(r"[^A-Za-z0-9.]+", "-", f"folder-{path.stem if path.suffix else path.name}").strip("-.")

    @property
    def available(self) -> int:
        """Images of the training split."""
        return int((~self._groups.out).sum())

    @property
    def modes(self) -> Modes:
        """Labels or clusters with their shares of the training split."""
        found = self._groups
        counts = np.bincount(found.modes[~found.out], minlength=len(found.names))
        return Modes(names=found.names, weights=torch.from_numpy(counts / counts.sum()))

    def sample(self, n: int, draw: Draw) -> Batch:
        """n training images with replacement, and their labels when modes are labels."""
        return self._source(self._rows(held_out=False), draw.device, draw.dtype)(n, draw)

    def held_out(self, n: int, draw: Draw) -> Batch:
        """n held-out images with replacement."""
        return self._source(self._rows(held_out=True), draw.device, draw.dtype)(n, draw)

    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        """Training images, or `train_size` of them chosen for this seed."""
        kept = self._rows(held_out=False)[training_rows(seed, self.available, self.train_size)]
        return self._source(kept, device, dtype)

    def _source(self, rows: Tensor, device: torch.device | str, dtype: torch.dtype) -> Source:
        return self._pool(str(device)).source(rows, dtype)

    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mode of the nearest training image of each sample, and whether that image is near enough."""
        return self._groups.judge(x.detach().reshape(len(x), -1).float().cpu())

    def further_measures(self, x: Tensor, labels: Tensor | None) -> dict[str, float | None]:
        """How varied the images of each mode are, against the held-out ones, and whether labels asked for are seen."""
        from uncollapse.metrics.images import chosen, within_class_diversity

        x = x.reshape(-1, *self.shape).float().cpu()
        modes = self.assign(x)[0]
        finite = modes >= 0
        rows = self._rows(held_out=True)
        rows = rows[chosen(len(rows), COMPARED)]
        return {
            "within_class_diversity": within_class_diversity(
                x[finite],
                modes[finite],
                real=self._pool("cpu").pick(rows, torch.float32),
                real_labels=torch.from_numpy(self._groups.modes)[rows],
            ),
            "label_agreement": None if labels is None else float((modes == labels.cpu()).double().mean()),
        }

    @property
    def sha256(self) -> str:
        """Hash of the images and labels, so that a run's identity includes its data."""
        return self._content.sha256

    def spec(self) -> dict[str, Any]:
        """The name, the changed options and the hash of the data."""
        return {**super().spec(), "sha256": self.sha256}

    @property
    def accuracy(self) -> float:
        """Share of held-out images whose nearest training image has their label, 0 .. 1."""
        return self._groups.nearest.accuracy

    def _pool(self, device: str) -> Pool:
        labels = torch.from_numpy(self._groups.modes).to(device) if self.classes else None
        return Pool(images=_placed(self._content, device), labels=labels)

    def _rows(self, *, held_out: bool) -> Tensor:
        return torch.from_numpy(np.flatnonzero(self._groups.out == held_out))


def is_there(name: str) -> bool:
    """Whether a text names a folder or a file that exists."""
    try:
        return bool(name) and Path(name).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, a home folder of nobody
        return False


def _check(content: Content, clusters: int | None, name: str) -> None:
    """Refuses content from which nothing can be learnt, and clusters that it cannot have."""
    count = len(content.images)
    if count < FEWEST_IMAGES:
        raise UserError(f"{name} has {count} images, too few to learn from; give at least {FEWEST_IMAGES}.")
    most = count // IMAGES_PER_CLUSTER
    if clusters is not None:
        if isinstance(clusters, bool) or not isinstance(clusters, int) or not 2 <= clusters <= most:
            raise UserError(
                f"clusters must be a whole number from 2 to {most} ({IMAGES_PER_CLUSTER} images each), "
                f"not {clusters!r}."
            )
    elif content.labels is not None:
        label, fewest = min(label_counts(content.labels), key=lambda pair: pair[1])
        if fewest < 2:
            raise UserError(
                f"{name} has only one image of label {short(label)!r}; add another, leave it out, or set clusters, "
                "which groups the images without their labels."
            )
