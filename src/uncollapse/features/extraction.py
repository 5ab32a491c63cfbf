"""From a source of data to rows of features: streamed, checked, and not computed twice.

Between `data.source` (chunks of images or features) and the metrics (rows). Memory holds one chunk and the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.limits import short
from uncollapse.data.source import Chunk, Met, Notes, Source
from uncollapse.errors import UserError
from uncollapse.features.extractor import Extractor, Rows
from uncollapse.features.identity import Identity
from uncollapse.features.rows import GrowingRows
from uncollapse.features.shards import Crew, Shard, split
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
    features, soft = GrowingRows(source.count), GrowingRows(source.count)
    read = _read(source, lambda chunk: _compute(chunk, source, extractor, features, soft), batch, progress)
    return _kept(
        replace(read, features=features.finish(), probabilities=soft.finish() if len(soft) else None), keep, key
    )


def extract_together(
    source: Source,
    extractor: Extractor,
    crew: Crew,
    *,
    reopen: Callable[[], Source],
    progress: Progress | None = None,
    keep: Store | None = None,
) -> Extracted | None:
    """As `extract`, by several processes; the one that leads gets the rows, the others None.

    Args:
        source: With parts, the same in all processes.
        extractor: The same in all processes.
        crew: The processes.
        reopen: Opens the source in another process.
        progress: As in `extract`; called in the leading process.
        keep: As in `extract`; only the leading process looks there.

    Raises:
        UserError: As `extract`.
        ConnectionError: A process is gone.
    """
    _check_kind(source, extractor)
    count = source.count or 0
    crew.same(source.form, count, extractor.name, extractor.digest)
    store = keep if crew.leads else None
    key = _key(source, extractor) if store is not None else None
    found = store.load(key) if store is not None and key is not None else None

    def read(wanted: Extractor | None) -> Extracted | None:
        with closing(crew.shards(source, wanted, split(count, crew.size), reopen=reopen)) as shards:
            if crew.leads:
                return _joined(source, shards, progress)
            for _ in shards:
                raise AssertionError("only the leading process gets shards")
            return None

    if crew.told(found is not None):
        whole = read(None)
        lost = whole is None or found is None or found["features"].shape != (len(whole.names), extractor.width)
        if not crew.told(lost):
            if whole is None or found is None:
                return None
            soft = found.get("probabilities")
            return replace(whole, features=found["features"], probabilities=soft, reused=True)
    fresh = read(extractor)
    return None if fresh is None else _kept(fresh, store, key)


def read_shard(part: Source, extractor: Extractor | None, first: int) -> Shard:
    """Reads one part of a source from its first row to its last.

    Args:
        part: Of `Source.part`.
        extractor: What makes features; None where only names and labels are wanted.
        first: Number of the part's first row in the source, for messages.

    Raises:
        UserError: It cannot be read, or a row of features is not finite.
    """
    features, soft = GrowingRows(part.count), GrowingRows(part.count)
    names: list[str] = []
    labels: list[str] = []
    for chunk in part.chunks(BATCH):
        if extractor is not None:
            _compute(replace(chunk, first=first + chunk.first), part, extractor, features, soft)
        names += chunk.names
        labels += chunk.labels or ()
    return Shard(
        features=features.finish() if len(features) else None,
        probabilities=soft.finish() if len(soft) else None,
        labels=tuple(labels) if part.labelled else None,
        names=tuple(names),
        met=part.met,
    )


def _joined(source: Source, shards: Iterator[Shard], progress: Progress | None) -> Extracted:
    """All rows in the order of one reading."""
    features, soft = GrowingRows(source.count), GrowingRows(source.count)
    names: list[str] = []
    labels: list[str] = []
    met: list[Met] = []
    for shard in shards:
        met.append(shard.met)
        names += shard.names
        labels += shard.labels or ()
        last = sum(one.tried for one in met) == source.count
        # What is refused is refused before the next part is asked for, so that every process hears of it.
        if shard.met.bad or last:
            source.take(met)
        if last:
            check_any(source, len(names))
        if shard.features is not None:
            features.add(shard.features)
        if shard.probabilities is not None:
            soft.add(shard.probabilities)
        if progress is not None:
            progress(len(names), source.count)
    complete = tuple(labels) if len(labels) == len(names) else None
    return Extracted(
        features=features.finish(), probabilities=soft.finish() if len(soft) else None, labels=complete,
        names=tuple(names), notes=source.notes,
    )  # fmt: skip


def _kept(fresh: Extracted, keep: Store | None, key: str | None) -> Extracted:
    if keep is not None and key is not None:
        optional = {} if fresh.probabilities is None else {"probabilities": fresh.probabilities}
        keep.save(key, {"features": fresh.features, **optional})
    return fresh


def _compute(chunk: Chunk, source: Source, extractor: Extractor, features: GrowingRows, soft: GrowingRows) -> None:
    """Adds the rows of one chunk of a source, checked."""
    if chunk.features is None:
        rows, probabilities = extractor.both(chunk.images)
    else:
        rows, probabilities = chunk.features, None
        rows = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)
    _check_finite(rows, chunk, source, extractor)
    features.add(rows)
    if probabilities is not None:
        _check_finite(probabilities, chunk, source, extractor)
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
    check_any(source, count)
    complete = tuple(labels) if len(labels) == count else None
    return Extracted(features=_NONE, probabilities=None, labels=complete, names=tuple(names), notes=source.notes)


def check_any(source: Source, count: int) -> None:
    """Refuses a source of which no row could be read.

    Raises:
        UserError: `count`, its readable rows, is 0.
    """
    if not count:
        raise UserError(
            f"{clean(source.name)} has no readable row ({source.notes.bad_count:,} unreadable); "
            f"`uncollapse data inspect {clean(source.name)}` says why."
        )


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


def _check_finite(rows: NDArray[Any], chunk: Chunk, source: Source, extractor: Extractor) -> None:
    """Refuses rows that hold NaN or infinity, naming the first one."""
    wrong = ~np.isfinite(rows)
    if not wrong.any():
        return
    row, column = (int(place) for place in np.unravel_index(int(wrong.argmax()), wrong.shape))
    name = clean(chunk.names[row]) if row < len(chunk.names) else f"row {chunk.first + row}"
    if chunk.features is None:
        raise UserError(
            f"{source.place} has {name}, of which {extractor.name} makes features that are not finite; leave it out or "
            "choose another extractor."
        )
    head = "" if source.heads is None else f", headed {short(source.heads[column])!r},"
    raise UserError(
        f"{source.place} has {rows[row, column]:g} in {name}, column {column} (counted from 0){head} where finite "
        "numbers are needed; drop or fill such rows."
    )
