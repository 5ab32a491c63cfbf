"""From a source of data to rows of features: streamed, checked, and not computed twice.

Between `data.source` (chunks of images or features) and the metrics (rows). Memory holds one chunk and the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.source import Chunk, Notes, Source
from uncollapse.errors import UserError
from uncollapse.features.extractor import Extractor, Rows
from uncollapse.features.identity import Identity
from uncollapse.features.rows import GrowingRows
from uncollapse.text import clean

BATCH = 256
_NONE: NDArray[Any] = np.empty((0, 0), dtype=np.float32)
Progress = Callable[[int, int | None], None]


class Store(Protocol):
    """Where rows of earlier extractions are kept; the module `uncollapse.data.cache` is one."""

    def load(self, key: str) -> Mapping[str, NDArray[Any]] | None:
        """The arrays of a key, or None."""

    def save(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> object:
        """Keeps the arrays under a key."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Extracted:
    """The rows of one source.

    Attributes:
        features: (n, d), float32; of rows that were features already also float64. Beyond 2 GB mapped from a file.
        probabilities: (n, classes) float32 of an extractor that gives them, else None.
        labels: One text a row, or None.
        names: Where each row came from; only to be shown.
        notes: What reading met.
        reused: Whether the rows came from the cache.
    """

    features: NDArray[Any]
    probabilities: Rows | None
    labels: tuple[str, ...] | None
    names: tuple[str, ...]
    notes: Notes
    reused: bool = False


def extract(
    source: Source,
    extractor: Extractor,
    *,
    batch: int = BATCH,
    progress: Progress | None = None,
    keep: Store | None = None,
) -> Extracted:
    """Features of all readable rows of a source, in its order.

    The source is read from first to last also when the rows come from the cache, since labels, names and notes come
    from reading; what is saved is the network.

    Args:
        source: Images, or features, which only `Identity` takes.
        extractor: Fitted, where it has to be.
        batch: Rows read at a time; no number depends on it.
        progress: Called after each chunk with the rows done and the rows there are (None when not known).
        keep: Where rows are kept for the next time; None keeps nothing.

    Raises:
        UserError: The source cannot be read or has no readable row, the extractor does not suit it, or a row of
            features is not finite.
    """
    _check_kind(source, extractor)
    key = _key(source, extractor) if keep is not None else None
    found = keep.load(key) if keep is not None and key is not None else None
    if found is not None:
        read = _read(source, lambda chunk: None, batch, progress)
        # A cache that lost rows is not worth an error; they are computed again.
        if found["features"].shape == (len(read.names), extractor.width):
            return replace(read, features=found["features"], probabilities=found.get("probabilities"), reused=True)
    features, soft = GrowingRows(), GrowingRows()
    read = _read(source, lambda chunk: _compute(chunk, extractor, features, soft), batch, progress)
    fresh = replace(read, features=features.finish(), probabilities=soft.finish() if len(soft) else None)
    if keep is not None and key is not None:
        optional = {} if fresh.probabilities is None else {"probabilities": fresh.probabilities}
        keep.save(key, {"features": fresh.features, **optional})
    return fresh


def _compute(chunk: Chunk, extractor: Extractor, features: GrowingRows, soft: GrowingRows) -> None:
    """Adds the rows of one chunk, checked."""
    if chunk.features is None:
        rows, probabilities = extractor.both(chunk.images)
    else:
        rows, probabilities = chunk.features, None
        rows = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)
    _check_finite(rows, chunk, extractor)
    features.add(rows)
    if probabilities is not None:
        _check_finite(probabilities, chunk, extractor)
        soft.add(probabilities)


def _read(source: Source, take: Callable[[Chunk], None], batch: int, progress: Progress | None) -> Extracted:
    """Reads the source once, gives each chunk away, and keeps names and labels."""
    names: list[str] = []
    labels: list[str] = []
    count = 0
    for chunk in source.chunks(batch):
        take(chunk)
        names += chunk.names or [str(row) for row in range(count, count + len(chunk))]
        labels += chunk.labels or ()
        count += len(chunk)
        if progress is not None:
            progress(count, source.count)
    if not count:
        raise UserError(
            f"{clean(source.name)} has no readable row ({source.notes.bad_count:,} unreadable); "
            f"`uncollapse data inspect {clean(source.name)}` says why."
        )
    complete = tuple(labels) if len(labels) == count else None
    return Extracted(features=_NONE, probabilities=None, labels=complete, names=tuple(names), notes=source.notes)


def _check_kind(source: Source, extractor: Extractor) -> None:
    if source.kind == "statistics":
        raise UserError(f"{clean(source.name)} holds a mean and a covariance and no rows; give images or features.")
    if (source.kind == "features") != isinstance(extractor, Identity):
        what = "rows of features" if source.kind == "features" else "images"
        choice = "choose --features identity" if source.kind == "features" else "choose another than identity"
        raise UserError(f"{clean(source.name)} holds {what}, which {extractor.name} does not take; {choice}.")


def _key(source: Source, extractor: Extractor) -> str | None:
    content = source.content_hash() if extractor.reusable else None
    return None if content is None else hashlib.sha256(f"{content}|{extractor.digest}".encode()).hexdigest()


def _check_finite(rows: NDArray[Any] | None, chunk: Chunk, extractor: Extractor) -> None:
    if rows is None or np.isfinite(rows).all():
        return
    row = int((~np.isfinite(rows).all(1)).argmax())
    name = f" ({clean(chunk.names[row])})" if row < len(chunk.names) else ""
    raise UserError(
        f"Row {chunk.first + row:,}{name} has features of {extractor.name} that are not finite; leave it out or choose "
        "another extractor."
    )
