"""The user's own vectors as a task: arrays in memory or a .npy, .npz or .csv file.

Modes are the user's labels, or k-means clusters where there are none; samples are judged by their nearest training row.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from uncollapse.data.labels import UNLABELLED, label_text
from uncollapse.data.layout import image_layout
from uncollapse.data.tables import policies_of
from uncollapse.dense import check_dense
from uncollapse.draws import Draw
from uncollapse.errors import UserError
from uncollapse.networks.mlp import MLP
from uncollapse.networks.network import Networks
from uncollapse.tasks.array_files import read_csv, read_numpy
from uncollapse.tasks.judging import QUALITY_QUANTILE, Nearest, held_out_fifth, k_means
from uncollapse.tasks.task import Batch, Modes, Source, Task, rows, training_rows
from uncollapse.tasks.units import Units

SUMMARY = "Your own vectors from a .npy, .npz or .csv file; modes are its labels, or k-means clusters without labels."
FEWEST_ROWS = 50
SUFFIXES = (".npy", ".npz", ".csv")
MOST_CLUSTERS, ROWS_PER_CLUSTER = 10, 10
UNSET = MLP()


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays(Task):
    """A finite data set as a task.

    Training sees every feature standardised by the training rows (mean 0, standard deviation 1; a constant feature is
    only centred), so generated samples are standardised too: `to_original` brings them back to the user's units.

    A fifth of each label's rows, chosen once by a fixed seed, is held out. The mode of a sample is the label of its
    nearest training row (1-nearest-neighbour, which follows modes of any shape, where centroids assume round ones).
    High quality means that this row is no farther than for 95 % of the held-out real rows.

    Colour images, (n, h, w, c) or (n, c, h, w) with 1, 3 or 4 channels, are learned with the channels first, as all
    networks take them; `to_original` gives them back as they came.

    Attributes:
        x: Rows (n, *shape), at least 50, finite.
        labels: n labels of any kind, or None: then modes are `clusters` k-means clusters, and classes is 0.
        clusters: Number of k-means clusters when there are no labels; None means 10, or n // 10 below 100 rows.
    """

    options: ClassVar[tuple[str, ...]] = ("train_size", "clusters")

    x: ArrayLike = field(kw_only=False, repr=False)
    labels: ArrayLike | None = field(default=None, kw_only=False, repr=False)
    clusters: int | None = None
    name: str = "arrays"
    networks: Networks = UNSET
    summary: str = SUMMARY
    channels_last: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        """Copies and checks the arrays."""
        tensor = isinstance(self.x, Tensor)
        x = _checked_rows(self.x, self.name)
        found = image_layout(x.shape[1:], tensor=tensor)
        if found != image_layout(x.shape[1:]):
            raise UserError(
                f"Rows of shape {x.shape[1:]} may have their channels first or last, and a file would not say which; "
                "give a NumPy array with the channels last."
            )
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "channels_last", found is not None and found.channels > 0 and not found.first)
        if self.labels is None:
            object.__setattr__(self, "clusters", _checked_clusters(self.clusters, len(x)))
        else:
            if self.clusters is not None:
                raise UserError(f"clusters={self.clusters!r} is for rows without labels; leave out one of the two.")
            object.__setattr__(self, "labels", _checked_labels(self.labels, len(x), self.name))
        if self.networks is UNSET:
            object.__setattr__(self, "networks", MLP(latent=2 if self._rows.shape[1] <= 2 else 16))
        super().__post_init__()

    @property
    def _first(self) -> NDArray[np.float32]:
        """The rows with channels first, a view."""
        x = np.asarray(self.x)
        return np.moveaxis(x, -1, 1) if self.channels_last else x

    @property
    def _rows(self) -> NDArray[np.float32]:
        x = self._first
        return x.reshape(len(x), -1)

    @property
    def real_quality(self) -> float:
        """95 %."""
        return QUALITY_QUANTILE

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row as it is learned: of colour images (channels, height, width)."""
        return tuple(self._first.shape[1:])

    @property
    def classes(self) -> int:
        """Number of labels; 0 when none were given."""
        return 0 if self.labels is None else len(self.modes)

    @property
    def label_values(self) -> NDArray[Any]:
        """The user's own labels, sorted (classes,); text where they are objects, which no file may hold."""
        if self.labels is None:
            return super().label_values
        values: NDArray[Any] = np.unique(np.asarray(self.labels))
        return values.astype(str) if values.dtype.kind == "O" else values

    @property
    def slug(self) -> str:
        """The file's name without its folder and ending, or the name of arrays in memory."""
        if not self.name.startswith("array:"):
            return super().slug
        return re.sub(r"[^A-Za-z0-9.]+", "-", f"array-{Path(self.name.removeprefix('array:')).stem}").strip("-.")

    @property
    def available(self) -> int:
        """Rows of the training split."""
        return len(self._split[0])

    @cached_property
    def _groups(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Mode names and the mode of every row."""
        if self.labels is not None:
            names, inverse = np.unique(np.asarray(self.labels), return_inverse=True)
            return tuple(f"label {name}" for name in names), inverse.astype(np.int64)
        count = self.clusters or MOST_CLUSTERS
        spread = self._rows.std(0)
        standard = (self._rows - self._rows.mean(0)) / np.where(spread > 0, spread, 1)
        return tuple(f"cluster {k}" for k in range(count)), k_means(standard, count, self.name)

    @cached_property
    def _split(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row numbers of the training and the held-out split: a fifth of each mode, at least one row, is held out."""
        out = held_out_fifth(self._groups[1])
        return np.flatnonzero(~out), np.flatnonzero(out)

    @cached_property
    def _scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        train = self._rows[self._split[0]].astype(np.float64)
        spread = train.std(0)
        return train.mean(0).astype(np.float32), np.where(spread > 0, spread, 1).astype(np.float32)

    @cached_property
    def _standard(self) -> Tensor:
        centre, spread = self._scale
        return torch.from_numpy((self._rows - centre) / spread).reshape(-1, *self.shape)

    @cached_property
    def _nearest(self) -> Nearest:
        flat = self._standard.reshape(len(self._standard), -1).numpy()
        return Nearest(flat, self._groups[1], held_out_fifth(self._groups[1]))

    @cached_property
    def modes(self) -> Modes:
        """Labels or clusters with their shares of the training split."""
        names, modes = self._groups
        counts = np.bincount(modes[self._split[0]], minlength=len(names))
        return Modes(names=names, weights=torch.from_numpy(counts / counts.sum()))

    def sample(self, n: int, draw: Draw) -> Batch:
        """n standardised training rows with replacement, and their labels when there are labels."""
        return self._source(torch.from_numpy(self._split[0]), draw.device, draw.dtype)(n, draw)

    def held_out(self, n: int, draw: Draw) -> Batch:
        """n standardised held-out rows with replacement."""
        return self._source(torch.from_numpy(self._split[1]), draw.device, draw.dtype)(n, draw)

    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        """Training rows, or `train_size` of them chosen for this seed."""
        kept = training_rows(seed, self.available, self.train_size).numpy()
        return self._source(torch.from_numpy(self._split[0][kept]), device, dtype)

    def _source(self, picked: Tensor, device: torch.device | str, dtype: torch.dtype) -> Source:
        labels = None if self.labels is None else torch.from_numpy(self._groups[1])[picked]
        return rows(self._standard[picked], labels, device=device, dtype=dtype)

    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mode of the nearest training row of each standardised sample, and whether that row is near enough."""
        return self._nearest.judge(x.detach().reshape(len(x), -1).float().cpu().numpy())

    @cached_property
    def units(self) -> Units:
        """What brings samples back into the user's units."""
        centre, spread = (torch.from_numpy(part).reshape(self.shape) for part in self._scale)
        return Units(centre=centre, spread=spread, channels_last=self.channels_last)

    def to_original(self, x: Tensor) -> Tensor:
        """Standardised samples (n, *shape) in the user's own units and, of colour images, the user's own layout."""
        return self.units.restore(x)

    def save(self, path: Path | str) -> None:
        """Writes the arrays as an .npz that task ``array:FILE`` reads."""
        with Path(path).open("wb") as file:
            if self.labels is None:
                np.savez(file, features=np.asarray(self.x))
            else:
                np.savez(file, features=np.asarray(self.x), labels=np.asarray(self.labels))

    @cached_property
    def sha256(self) -> str:
        """Hash of the rows and labels, so that a run's identity includes its data."""
        digest = hashlib.sha256(repr(np.shape(self.x)).encode() + np.ascontiguousarray(self._rows).tobytes())
        if self.labels is not None:
            digest.update("\n".join(str(label) for label in np.asarray(self.labels)).encode())
        return digest.hexdigest()

    def spec(self) -> dict[str, Any]:
        """The name, the changed options and the hash of the data."""
        return {**super().spec(), "sha256": self.sha256}


def _checked_rows(given: ArrayLike, name: str) -> NDArray[np.float32]:
    check_dense(given, f"x of {name}")
    try:
        values = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    except ValueError as error:
        raise UserError(f"The rows of {name} are not equally long; give an array (n, features...).") from error
    if values.dtype.kind not in "fiub":
        raise UserError(f"The rows of {name} must be real numbers, not {values.dtype}; give a numeric array.")
    if values.ndim < 2 or 0 in values.shape[1:]:
        raise UserError(f"The rows of {name} must be an array (n, features...), not of shape {values.shape}.")
    if len(values) < FEWEST_ROWS:
        raise UserError(f"{name} has {len(values)} rows, too few to learn from; give at least {FEWEST_ROWS}.")
    x = np.array(values, dtype=np.float32)
    bad = ~np.isfinite(x.reshape(len(x), -1)).all(1)
    if bad.any():
        raise UserError(
            f"{name} holds NaN or infinity in {bad.sum()} of {len(x)} rows (first in row {bad.argmax()}, "
            "counted from 0); drop or fill these rows."
        )
    return x


def _checked_labels(given: ArrayLike, count: int, name: str) -> NDArray[Any]:
    labels = np.array(given)
    if labels.shape != (count,):
        raise UserError(f"labels of {name} must have shape ({count},), one a row, not {labels.shape}.")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise UserError(f"labels of {name} hold NaN or infinity; give every row a label or leave the labels out.")
    if labels.dtype.kind in "OUS":
        _check_none_missing(given, name)
    try:
        names, counts = np.unique(labels, return_counts=True)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in labels.tolist()})
        raise UserError(f"labels of {name} mix {' and '.join(kinds)}; make all of them texts, or numbers.") from error
    if len(names) < 2 or counts.min() < 2:
        raise UserError(
            f"labels of {name} need at least 2 values with 2 rows each, but {str(names[counts.argmin()])!r} has "
            f"{counts.min()} of {count} rows; merge rare labels or leave the labels out."
        )
    return labels


def _check_none_missing(given: ArrayLike, name: str) -> None:
    """Refuses texts or objects of which some are empty, None or NaN: `evaluate` sees rows without a class there."""
    # As objects, because NaN beside texts would become the text "nan".
    listed = np.array(given, dtype=object).tolist()
    missing = [row for row, label in enumerate(listed) if label_text(label) == UNLABELLED]
    if missing:
        raise UserError(
            f"labels of {name} are missing in {len(missing)} of {len(listed)} rows (first in row {missing[0]}, counted "
            "from 0); give every row a label or leave the labels out."
        )


def _checked_clusters(given: int | None, count: int) -> int:
    most = count // ROWS_PER_CLUSTER
    if given is None:
        return min(MOST_CLUSTERS, most)
    if isinstance(given, bool) or not isinstance(given, int) or not 2 <= given <= most:
        raise UserError(
            f"clusters must be a whole number from 2 to {most} ({ROWS_PER_CLUSTER} rows each), not {given!r}."
        )
    return given


def load(path: Path | str, **options: Any) -> Arrays:
    """The task `array:FILE`.

    Args:
        path: A .npy (rows only), an .npz with key `features`, `x`, `images` or `samples` and perhaps `labels`, or a
            .csv of numbers, with or without a header line; a column headed `label` or `labels` holds the labels, and
            one at the beginning without a title of its own that numbers the rows is no feature, as the summary says.
        **options: `train_size`, `clusters`.

    Raises:
        UserError: The file is missing or unreadable, or its contents are no rows to learn from.
    """
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise UserError(f"array:{path} must name a {', '.join(SUFFIXES[:2])} or {SUFFIXES[2]} file.")
    if not file.is_file():
        raise UserError(f"There is no file {str(path)!r} (looked in {Path.cwd()}); check the path after array:.")
    if file.suffix.lower() != ".csv":
        return Arrays(*read_numpy(file), name=f"array:{path}", **options)
    table = read_csv(file)
    labels = None if table.labels is None else np.array(table.labels)
    told = [f"{policy[0].upper()}{policy[1:]}." for policy in policies_of(table.left_out, table.numbering)]
    return Arrays(table.rows, labels, name=f"array:{path}", summary=" ".join([SUMMARY, *told]), **options)
