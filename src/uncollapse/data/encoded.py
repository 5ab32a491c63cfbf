"""Encoded images of any container, decoded by several threads in their order and with bounded memory.

A `Container` knows how many rows it has and how to read the bytes of one; `EncodedImages` makes a source of it.
"""

from __future__ import annotations

import bisect
import copy
import functools
import hashlib
import itertools
import os
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import PIL
from numpy.typing import NDArray

from uncollapse.data.images import DARK, Unreadable, check_decoder, decode
from uncollapse.data.limits import CHUNK_BYTES, MEGA, check_bad
from uncollapse.data.scaling import DIM, Brightness
from uncollapse.data.source import Chunk, Kind, Met, Notes, Pixels, Source
from uncollapse.errors import UserError

# Rows that a thread takes at a time: few before anything is known of their size, then as many as `SPAN_BYTES` allow.
FIRST_ROWS, SPAN_ROWS = 4, 64
SPAN_BYTES = 8 * MEGA  # decoded pixels, or bytes read ahead, after which a thread hands over what it has
VERSION = b"uncollapse encoded images 2"  # to be raised when a policy changes what is decoded

Outcome = tuple[Pixels, tuple[str, ...]] | Unreadable
Work = tuple[int, "bytes | Unreadable | None"]


class Container(ABC):
    """Encoded images, each read by its number.

    Attributes:
        form: What it is, in words.
        in_order: Reading is quick only from the first row to the last, so one thread reads and the others decode.
        policies: What was left out or decided when it was opened.
    """

    form: str
    in_order: bool = False
    policies: Counter[str]
    _labels: Sequence[str] | None = None  # one a row, set when it is opened

    @property
    def labelled(self) -> bool:
        """Whether rows have labels."""
        return self._labels is not None

    def label(self, row: int) -> str:
        """The label of a row; asked only of a labelled container."""
        assert self._labels is not None
        return self._labels[row]

    @abstractmethod
    def __len__(self) -> int:
        """Rows, readable or not."""

    @abstractmethod
    def name(self, row: int) -> str:
        """Where a row comes from."""

    @abstractmethod
    def read(self, row: int) -> bytes:
        """The encoded image of a row; safe to call from several threads unless `in_order`.

        Raises:
            Unreadable: That row cannot be read.
        """


class EncodedImages(Source):
    """A container as a source."""

    kind: Kind = "images"

    def __init__(
        self,
        container: Container,
        *,
        name: str,
        place: str,
        max_bad: float,
        picks: NDArray[np.int64] | None = None,
        labels: Sequence[str] | None = None,
        workers: int | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            container: The images.
            name: What the user wrote.
            place: How messages call it.
            max_bad: Largest share of rows that may be unreadable.
            picks: Which rows, ascending; None for all.
            labels: One a row of the container, instead of its own.
            workers: Threads; None for one a core that this process may use.
        """
        self._container, self.place, self._max_bad = container, place, max_bad
        self._picks = np.arange(len(container)) if picks is None else picks
        self._labels = labels
        self._workers = workers or cores()
        self._span_rows = FIRST_ROWS
        self._begins = True  # a later part does not hold the first images, which decide
        self._bad: list[int] = []  # positions among the picks that could not be read, ascending
        self.name, self.form = name, container.form
        self.labelled = labels is not None or container.labelled
        self._opened = Counter(container.policies)
        self.notes = Notes(policies=Counter(self._opened))

    @property
    def count(self) -> int:
        """Rows that reading will try."""
        return len(self._picks)

    def chunks(self, size: int) -> Iterator[Chunk]:
        """All readable images in their order; a chunk ends early at `CHUNK_BYTES` of pixels."""
        check_decoder()
        self.notes = Notes(policies=Counter(self._opened))
        self._bad = []
        images: list[Pixels] = []
        rows: list[int] = []
        held, brightness = 0, Brightness(place=self.place)
        for position, (row, outcome) in enumerate(self._outcomes()):
            if isinstance(outcome, Unreadable):
                self._bad.append(position)
                self.notes.refuse(self._container.name(row), str(outcome))
                check_bad(self.notes, position + 1, self.count, self._max_bad, self.place, finished=False)
                continue
            pixels, policies = outcome
            if policies:
                self.notes.policies.update(policies)
            if self._begins and DARK not in policies:
                brightness.look(pixels)
            images.append(pixels)
            rows.append(row)
            held += pixels.nbytes
            if len(images) >= size or held >= CHUNK_BYTES:
                yield self._chunk(images, rows)
                images, rows, held = [], [], 0
        if images:
            yield self._chunk(images, rows)
        if brightness.end():
            self.notes.policies[DIM] += self.notes.rows
        check_bad(self.notes, self.count, self.count, self._max_bad, self.place, finished=True)

    def fetch(self, rows: Sequence[int]) -> list[Pixels]:
        """Decodes some images again."""
        skipped = [position - before for before, position in enumerate(self._bad)]
        found: dict[int, Pixels] = {}
        for row in sorted(set(rows)):
            position = row + bisect.bisect_right(skipped, row)
            outcome = _outcome(self._read(int(self._picks[position])))
            if isinstance(outcome, Unreadable):
                raise UserError(f"{self.place} has changed while it was read; leave it alone and start again.")
            found[row] = outcome[0]
        return [found[row] for row in rows]

    def content_hash(self) -> str:
        """sha256 over the encoded images, their labels and order, and what decodes them; names do not count."""
        digest = hashlib.sha256(VERSION + f" Pillow {PIL.__version__}".encode())
        for row in self._picks.tolist():
            data = self._read(row)
            content = b"" if isinstance(data, Unreadable) else data
            label = self._label(row).encode(errors="surrogatepass") if self.labelled else b""
            digest.update(f"{len(content)} {len(label)} ".encode())
            digest.update(content)
            digest.update(label)
        return digest.hexdigest()

    def part(self, first: int, stop: int) -> EncodedImages:
        """The same container with fewer picks; it is shared."""
        found = copy.copy(self)
        found._picks, found._max_bad, found._opened = self._picks[first:stop], 1.0, Counter()
        found.notes, found._bad, found._begins = Notes(), [], first == 0
        return found

    @property
    def met(self) -> Met:
        """With the places of unreadable rows, which `fetch` has to know of."""
        return Met(tried=self.count, notes=self.notes, bad=tuple(self._bad))

    def take(self, parts: Sequence[Met]) -> None:
        """Joins the notes and the places of unreadable rows, and refuses too many of these."""
        self.notes = functools.reduce(Notes.joined, (met.notes for met in parts), Notes(policies=Counter(self._opened)))
        starts = itertools.accumulate((met.tried for met in parts), initial=0)
        self._bad = [start + place for start, met in zip(starts, parts, strict=False) for place in met.bad]
        tried = sum(met.tried for met in parts)
        check_bad(self.notes, tried, self.count, self._max_bad, self.place, finished=tried == self.count)

    def _chunk(self, images: list[Pixels], rows: list[int]) -> Chunk:
        self.notes.accept(images)
        return Chunk(
            first=self.notes.rows - len(images),
            images=images,
            labels=tuple(self._label(row) for row in rows) if self.labelled else None,
            names=tuple(self._container.name(row) for row in rows),
        )

    def _label(self, row: int) -> str:
        return self._container.label(row) if self._labels is None else self._labels[row]

    def _read(self, row: int) -> bytes | Unreadable:
        try:
            return self._container.read(row)
        except Unreadable as finding:
            return finding.with_traceback(None)

    def _outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """What became of every row, in order; a few spans are being decoded while one is consumed."""
        if self._workers == 1:
            for row in self._picks.tolist():
                yield row, _outcome(self._read(row))
            return
        self._span_rows = FIRST_ROWS
        spans = self._spans()
        waiting: deque[tuple[list[Work], Future[list[Outcome]]]] = deque()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        try:
            for span in spans:
                waiting.append((span, pool.submit(self._decode_span, span)))
                if len(waiting) > self._workers + 1:
                    break
            while waiting:
                span, future = waiting.popleft()
                outcomes = future.result()
                rest = span[len(outcomes) :]
                held = sum(0 if isinstance(outcome, Unreadable) else outcome[0].nbytes for outcome in outcomes)
                self._span_rows = min(max(1, SPAN_BYTES * len(outcomes) // max(1, held)), SPAN_ROWS)
                yield from zip((row for row, _ in span), outcomes, strict=False)
                if rest:  # large images: the thread stopped at its limit
                    waiting.appendleft((rest, pool.submit(self._decode_span, rest)))
                elif (more := next(spans, None)) is not None:
                    waiting.append((more, pool.submit(self._decode_span, more)))
        finally:  # also when the reader stops half-way
            pool.shutdown(wait=True, cancel_futures=True)

    def _spans(self) -> Iterator[list[Work]]:
        """The rows in order, in stretches; with their bytes where only one thread may read."""
        if not self._container.in_order:
            start = 0
            while start < self.count:
                stop = start + self._span_rows
                yield [(row, None) for row in self._picks[start:stop].tolist()]
                start = stop
            return
        span: list[Work] = []
        ahead = 0
        for row in self._picks.tolist():
            data = self._read(row)
            span.append((row, data))
            ahead += len(data) if isinstance(data, bytes) else 0
            if len(span) >= self._span_rows or ahead >= SPAN_BYTES:
                yield span
                span, ahead = [], 0
        if span:
            yield span

    def _decode_span(self, span: list[Work]) -> list[Outcome]:
        """Decodes from the start of a span until its end or until enough pixels are held."""
        outcomes: list[Outcome] = []
        held = 0
        read = self._container.read
        for row, data in span:
            try:
                outcome: Outcome = decode(read(row)) if data is None else _outcome(data)
            except Unreadable as finding:
                outcome = finding.with_traceback(None)
            outcomes.append(outcome)
            held += 0 if isinstance(outcome, Unreadable) else outcome[0].nbytes
            if held >= SPAN_BYTES:
                break
        return outcomes


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _outcome(data: bytes | Unreadable) -> Outcome:
    if isinstance(data, Unreadable):
        return data
    try:
        return decode(data)
    except Unreadable as finding:
        return finding.with_traceback(None)  # which would keep the bytes alive
