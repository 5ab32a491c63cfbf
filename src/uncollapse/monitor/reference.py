"""The real data as the monitor sees them, prepared once: features, coordinates, cells, and what is ordinary."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.data import cache as disk
from uncollapse.data.frames import without_frame
from uncollapse.data.items import is_array, is_labelled_array
from uncollapse.data.labels import UNLABELLED, label_texts
from uncollapse.data.limits import USUAL_BAD, Fixed
from uncollapse.data.opening import open_source
from uncollapse.data.scaling import SLACK
from uncollapse.data.source import Pixels, Source
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.evaluation.classes import enough_labels, natural
from uncollapse.evaluation.sides import Reading, make_extractor
from uncollapse.features.extractor import Extractor
from uncollapse.monitor.cells import SETTINGS as CELLS
from uncollapse.monitor.cells import Cells, classes, clusters
from uncollapse.monitor.encoding import Encoded, Encoder, Function, Space, apply, as_samples
from uncollapse.monitor.hosts import plain_numbers
from uncollapse.monitor.statistics import SETTINGS as RANGES
from uncollapse.monitor.statistics import Ordinary, ordinary

FEWEST = 50
# Real rows kept as they came, for the slopes of a critic.
KEPT_RAW = 256
VERSION = "monitor reference 1"
SCARCE = " Too few rows have a label to judge by these, so clusters are watched."

# Distance from the data, in units of their spread, from which a fake lies nowhere.
FARTHEST = 1e9


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Real data, ready to be compared with. One may serve several monitors.

    Attributes:
        encoder: What turns fakes into features.
        space: Coordinates.
        cells: Classes or clusters.
        examples: Numbers of typical real rows of each cell.
        ordinary: Ranges of further numbers.
        digest: sha256 over features and settings.
        why: Why these features.
        names: Where each row came from.
        raw: (r, ...) some rows as given, for a critic; None where the reference was no array.
        source: What was read; None where a function gives the features.
    """

    encoder: Encoder
    space: Space
    cells: Cells
    examples: list[tuple[int, ...]]
    ordinary: Ordinary
    digest: str
    why: str
    names: tuple[str, ...]
    raw: Tensor | None
    source: Source | None

    def __len__(self) -> int:
        """Real rows."""
        return len(self.cells.of_real)

    @property
    def function(self) -> Function | None:
        """The user's function that gives the features; None for a named extractor."""
        return None if isinstance(self.encoder.extractor, Extractor) else self.encoder.extractor

    def encode(self, samples: Tensor, told: set[str] | None = None) -> Encoded:
        """Samples (m, ...) of a loop as rows; `told` as in `Encoder.features`.

        Raises:
            UserError: They are not of the kind of the reference.
        """
        features, found, finite = self.encoder.features(samples, told)
        rows = self.space.project(torch.as_tensor(features))
        # Squares of what lies farther overflow; it lies nowhere, as samples that are not finite do.
        near = (rows.abs() < FARTHEST).all(1)
        finite[finite] = near.numpy()
        return Encoded(rows=rows[near], classes=None if found is None else found[near.numpy()], finite=finite)

    def pictures(self, rows: Sequence[int]) -> list[Pixels]:
        """Some real rows as images.

        Raises:
            UserError: The reference holds no images.
        """
        if self.source is None or self.source.kind != "images":
            raise UserError("The reference holds rows of features, which have no pictures.")
        return self.source.fetch(rows)


def make_reference(
    given: object,
    *,
    labels: object = None,
    features: str | Function = "auto",
    cells: int | None = None,
    samples: int = 500,
    seed: int = 0,
    device: str = "auto",
    cache: bool = True,
) -> Reference:
    """Prepares real data for monitors; what takes long is kept in the cache on disk.

    Args:
        given: Whatever `data.opening.open_source` takes: an array, tensor or DataFrame (n, d) of features, images, a
            data set, a folder, an iterable; or (array, labels).
        labels: One a row, instead of the data's own: then cells are classes, if enough rows have one.
        features: Name of an extractor, "auto", or a function that turns a batch of samples, as the loop makes them,
            into rows (m, d); the latter needs an array as reference.
        cells: Number of clusters where there are no classes; None chooses.
        samples: Fakes of a look.
        seed: Of clusters and of random parts.
        device: Where a named extractor computes.
        cache: Whether results are kept on disk and reused.

    Raises:
        UserError: The data cannot be read, are too few or all alike, or the choices do not fit them.
    """
    if is_labelled_array(given) and labels is None:
        given, labels = given
    given, labels = without_frame(given, labels, "reference")
    if callable(features):  # it runs as the host would run it
        read = _by_function(given, labels, features)
    else:
        with plain_numbers():
            read = _by_name(given, labels, features, seed, device, cache)
    if len(read.rows) < FEWEST:
        raise UserError(f"The reference has {len(read.rows)} rows, but a monitor needs at least {FEWEST}; give more.")
    read.encoder.width = read.rows.shape[1]
    digest = _digest(read, f"{cells} {samples} {seed} {CELLS} {RANGES}")
    with plain_numbers():
        rows = torch.from_numpy(read.rows)
        space = Space.of(rows)
        projected = space.project(rows)
        found, ranges = prepared(projected, read.known, cells, samples, seed, digest if cache else None, features=rows)
        examples, raw = found.examples(projected), _raw(given, seed)
    return Reference(
        encoder=read.encoder, space=space, cells=found, examples=examples, ordinary=ranges, digest=digest,
        why=read.why, names=read.names, raw=raw, source=read.source,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Classes of the real rows.

    Attributes:
        names: Of the classes.
        of: Class of each row.
        judged: Whether a classifier tells them, of fakes too.
    """

    names: tuple[str, ...]
    of: NDArray[np.int64]
    judged: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """What was read: features of the rows, their classes and names, and what made the features."""

    rows: NDArray[Any]
    known: Known | None
    encoder: Encoder
    why: str
    names: tuple[str, ...]
    source: Source | None


def _by_name(given: object, labels: object, features: str, seed: int, device: str, cache: bool) -> _Read:
    """By a named extractor."""
    source = open_source(given, side="reference", labels=labels, seed=seed, max_bad=Fixed(USUAL_BAD))
    if source.kind == "statistics":
        raise UserError("The reference holds a mean and a covariance and no rows; give images or features.")
    reading = Reading(seed=seed, device=device, cache=cache)
    both, sources = dict.fromkeys(("real", "fake"), given), dict.fromkeys(("real", "fake"), source)
    extractor, why = make_extractor(features, both, sources, reading)
    side = reading.rows(source, "reference", extractor)
    assert side is not None  # this process reads alone
    read = side.rows
    known: Known | None = None
    if read.probabilities is not None:
        known = Known(names=extractor.classes, of=read.probabilities.argmax(1).astype(np.int64), judged=True)
    elif read.labels is not None:
        known, remark = _by_labels(read.labels)
        why += remark
    return _Read(
        rows=np.ascontiguousarray(read.features), known=known, why=why, names=read.names, source=source,
        encoder=Encoder(extractor=extractor, shape=_shape(given), negative=_negative(given, extractor)),
    )  # fmt: skip


def _by_function(given: object, labels: object, function: Function) -> _Read:
    """By a function of the user."""
    if not is_array(given):
        raise UserError("features= as a function needs the reference as an array or a tensor of samples.")
    samples = as_samples(given, name="reference")
    rows = apply(function, samples)
    if not np.isfinite(rows).all():
        raise UserError("The function features= gives numbers that are not finite for rows of the reference.")
    why = f"{getattr(function, '__name__', 'a function')}: the features that were given."
    known, remark = (None, "") if labels is None else _by_labels(label_texts(labels, len(rows), "reference"))
    return _Read(
        rows=rows, known=known, encoder=Encoder(extractor=function, shape=_shape(given)), source=None, why=why + remark,
        names=tuple(f"row {number}" for number in range(len(rows))),
    )  # fmt: skip


def _by_labels(labels: Sequence[str]) -> tuple[Known | None, str]:
    """Classes by labels, None where these are too few to stand for the data, and what to say of that."""
    if not enough_labels(labels):
        return None, SCARCE
    names = tuple(sorted(set(labels) - {UNLABELLED}, key=natural))
    if len(names) < 2:
        return None, ""
    place = {name: number for number, name in enumerate(names)} | {UNLABELLED: -1}
    return Known(names=names, of=np.array([place[label] for label in labels], dtype=np.int64), judged=False), ""


def _shape(given: object) -> tuple[int, ...] | None:
    return tuple(given.shape[1:]) if is_array(given) and hasattr(given, "shape") else None


def _negative(given: object, extractor: Extractor) -> float | None:
    """Share of the reference's floats below 0, which tells the range of fakes, too; None where nothing tells."""
    if not is_array(given) or extractor.name == "identity":
        return None
    x = as_samples(given, name="reference")
    return int(torch.count_nonzero(x < -SLACK)) / x.numel() if x.is_floating_point() else None


def _raw(given: object, seed: int) -> Tensor | None:
    if not is_array(given):
        return None
    x = as_samples(given, name="reference")
    chosen = stream(seed, "monitor raw rows").permutation(len(x))[:KEPT_RAW]
    return x[chosen.to(x.device)].clone()


def _digest(read: _Read, settings: str) -> str:
    digest = hashlib.sha256(f"{VERSION} {read.rows.shape} {read.rows.dtype} {settings}".encode())
    digest.update(np.ascontiguousarray(read.rows).tobytes())
    if read.known is not None:
        digest.update(f"{read.known.names} {read.known.judged}".encode())
        digest.update(read.known.of.tobytes())
    return digest.hexdigest()


def prepared(
    rows: Tensor,
    known: Known | None,
    cells: int | None,
    samples: int,
    seed: int,
    key: str | None,
    *,
    features: Tensor | None = None,
) -> tuple[Cells, Ordinary]:
    """Cells and ranges, from the cache where they are there.

    Args:
        rows: (n, q) real rows in their coordinates.
        known: Their classes; None for clusters.
        cells: Number of clusters; None chooses.
        samples: Fakes of a look.
        seed: Of clusters and of random parts.
        key: Of the cache; None without one.
        features: (n, d) what the coordinates were learnt from.
    """
    kept = disk.load(key) if key is not None else None
    found = None if kept is None else Cells.of_arrays(kept)
    ranges = None if kept is None else Ordinary.of_arrays(kept)
    if found is None:
        found = _cells(rows, known, cells, seed)
    if ranges is None:  # also where an older version kept others beside these cells
        generator = stream(seed, "monitor ranges").generator
        ranges = ordinary(rows, size=samples, generator=generator, features=features)
        if key is not None:
            disk.save(key, {**found.arrays(), **ranges.arrays()})
    return found, ranges


def _cells(rows: Tensor, known: Known | None, cells: int | None, seed: int) -> Cells:
    """Classes, else clusters."""
    if known is None:
        return clusters(rows, k=cells, seed=seed)
    if cells is not None:
        raise UserError("cells= is the number of clusters, but this reference has classes; leave it out.")
    return classes(rows, known.of, known.names, judged=known.judged, seed=seed)
