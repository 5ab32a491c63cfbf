from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uncollapse.data import cache
from uncollapse.data.source import Chunk, Notes, Pixels, Source
from uncollapse.errors import UserError
from uncollapse.features import extraction
from uncollapse.features.extraction import extract
from uncollapse.features.extractor import Extractor, Rows
from uncollapse.features.identity import Identity
from uncollapse.features.pixels import Pixels as PixelRows
from uncollapse.features.rows import GrowingRows
from uncollapse.features.sampling import sample_images

IMAGES = list(np.random.default_rng(0).integers(0, 256, (23, 4, 4), dtype=np.uint8))
TABLE = np.random.default_rng(0).normal(size=(23, 3))


class Memory(Source):
    """Rows in memory; the row of number `bad` cannot be read."""

    name, place, form = "memory\x1b[31m", "fake (memory[31m)", "rows in memory"

    def __init__(
        self, images: Sequence[Pixels] = (), table: Any = None, *, labelled: bool = True, bad: int = -1
    ) -> None:
        self.kind = "images" if table is None else "features"
        self.images, self.table, self.labelled, self.bad, self.notes = images, table, labelled, bad, Notes()
        self.decoded = 0

    @property
    def count(self) -> int | None:
        return len(self.images if self.table is None else self.table)

    def chunks(self, size: int) -> Iterator[Chunk]:
        self.notes = Notes()
        rows = [row for row in range(self.count or 0) if row != self.bad]
        if self.bad >= 0:
            self.notes.refuse(f"row {self.bad}", "truncated")
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            self.notes.rows += len(part)
            self.decoded += len(part)
            yield Chunk(
                first=first,
                images=[self.images[row] for row in part] if self.table is None else (),
                features=None if self.table is None else self.table[part],
                labels=tuple(str(row % 10) for row in part) if self.labelled else None,
                names=tuple(f"file-{row}.png" for row in part),
            )

    def fetch(self, rows: Sequence[int]) -> list[Pixels]:
        return [self.images[row] for row in rows]

    def content_hash(self) -> str | None:
        return f"content {self.bad}"


class Counting(Extractor):
    """Mean brightness, and dark or light; counts what it was asked."""

    name, digest, why, classes = "counting", "d" * 64, "Counts.", ("dark", "light")

    def __init__(self) -> None:
        self.asked = 0

    @property
    def width(self) -> int:
        return 1

    def extract(self, images: Sequence[Pixels]) -> Rows:
        return self.both(images)[0]

    def both(self, images: Sequence[Pixels]) -> tuple[Rows, Rows]:
        self.asked += len(images)
        rows = np.array([[image.mean()] for image in images], dtype=np.float32)
        return rows, np.concatenate([1 - rows / 255, rows / 255], 1)


class Drawer:
    """A cache in memory, with the two functions of `uncollapse.data.cache`."""

    def __init__(self) -> None:
        self.kept: dict[str, Mapping[str, Any]] = {}

    def load(self, key: str) -> Mapping[str, Any] | None:
        return self.kept.get(key)

    def save(self, key: str, arrays: Mapping[str, Any]) -> None:
        self.kept[key] = dict(arrays)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_every_readable_row_in_order_with_labels_names_and_notes(batch: int) -> None:
    told: list[tuple[int, int | None]] = []
    found = extract(Memory(IMAGES, bad=5), Counting(), batch=batch, progress=lambda *done: told.append(done))
    kept = [row for row in range(23) if row != 5]
    np.testing.assert_allclose(found.features[:, 0], [IMAGES[row].mean() for row in kept], rtol=1e-6)
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-6)
    assert found.labels == tuple(str(row % 10) for row in kept)
    assert found.names == tuple(f"file-{row}.png" for row in kept)
    assert (found.notes.rows, found.notes.bad_count, found.reused) == (22, 1, False)
    assert told[-1] == (22, 23)
    assert len(told) == -(-22 // batch)


def test_rows_of_features_pass_as_they_are() -> None:
    found = extract(Memory(table=TABLE, labelled=False), Identity(3), batch=5)
    np.testing.assert_array_equal(found.features, TABLE)
    assert found.features.dtype == np.float64
    assert (found.probabilities, found.labels) == (None, None)
    assert extract(Memory(table=TABLE.astype(np.float32)), Identity(3)).features.dtype == np.float32
    assert extract(Memory(table=(9 * TABLE).astype(np.int32)), Identity(3)).features.dtype == np.float64


def test_the_second_time_the_network_is_not_asked() -> None:
    drawer, extractor, source = Drawer(), Counting(), Memory(IMAGES)
    first = extract(source, extractor, keep=drawer)
    assert extractor.asked == 23
    again = extract(source, extractor, keep=drawer)
    assert (extractor.asked, again.reused, first.reused) == (23, True, False)
    np.testing.assert_array_equal(again.features, first.features)
    np.testing.assert_array_equal(again.probabilities, first.probabilities)
    assert (again.labels, again.names, again.notes.rows) == (first.labels, first.names, 23)
    # The source was read all the same, so that its rows can be fetched.
    assert source.decoded == 46
    # Other content, another extractor: other keys.
    extract(Memory(IMAGES, bad=3), extractor, keep=drawer)
    extractor.digest = "e" * 64
    extract(source, extractor, keep=drawer)
    assert len(drawer.kept) == 3


def test_the_cache_on_disk_is_such_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path))
    extractor = Counting()
    first, again = (extract(Memory(IMAGES), extractor, keep=cache) for _ in range(2))
    assert (extractor.asked, first.reused, again.reused) == (23, False, True)
    np.testing.assert_array_equal(again.features, first.features)
    np.testing.assert_array_equal(again.probabilities, first.probabilities)


def test_a_cache_that_lost_rows_is_computed_again() -> None:
    drawer, extractor = Drawer(), Counting()
    extract(Memory(IMAGES), extractor, keep=drawer)
    key = next(iter(drawer.kept))
    drawer.kept[key] = {"features": drawer.kept[key]["features"][:10]}
    found = extract(Memory(IMAGES), extractor, keep=drawer)
    assert (len(found.features), found.reused, extractor.asked) == (23, False, 46)
    assert len(drawer.kept[key]["features"]) == 23


def test_cheap_rows_and_unknown_content_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    drawer = Drawer()
    extract(Memory(IMAGES), PixelRows(side=4), keep=drawer)
    extract(Memory(table=TABLE), Identity(3), keep=drawer)
    monkeypatch.setattr(Memory, "content_hash", Source.content_hash)
    extract(Memory(IMAGES), Counting(), keep=drawer)
    assert drawer.kept == {}


def test_a_row_that_is_not_finite_is_named() -> None:
    broken = TABLE.copy()
    broken[9, 1] = np.inf
    table = Memory(table=broken)
    for heads, head in ((None, ""), (("x", "y", "z"), ", headed 'y',")):
        table.heads = heads
        spot = rf"file-9.png, column 1 \(counted from 0\){head} where finite numbers are needed; drop or fill"
        with pytest.raises(UserError, match=rf"^fake \(memory\[31m\) has inf in {spot}"):
            extract(table, Identity(3), batch=4)
    message = r"has file-3.png, of which broken makes features that are not finite; leave it out or choose another"
    with pytest.raises(UserError, match=rf"^fake \(memory\[31m\) {message}"):
        extract(Memory(IMAGES), Broken(), batch=2)


class Broken(Counting):
    """Makes NaN of one image."""

    name = "broken"

    def both(self, images: Sequence[Pixels]) -> tuple[Rows, Rows | None]:
        rows, soft = super().both(images)
        return np.where([[image is IMAGES[3]] for image in images], np.nan, rows), soft


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UserError, match=r"memory\[31m holds rows of features, .* choose --features identity"):
        extract(Memory(table=TABLE), Counting())
    with pytest.raises(UserError, match="holds images, which identity does not take"):
        extract(Memory(IMAGES), Identity())
    with pytest.raises(UserError, match=r"has no readable row \(1 unreadable\); `uncollapse data inspect"):
        extract(Memory(IMAGES[:1], bad=0), Counting())
    statistics = Memory(IMAGES)
    statistics.kind = "statistics"
    with pytest.raises(UserError, match="a mean and a covariance and no rows"):
        extract(statistics, Counting())


def test_many_rows_are_spilled_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(extraction, "GrowingRows", lambda expected: GrowingRows(expected, limit=100))
    found = extract(Memory(IMAGES), PixelRows(side=4), batch=5)
    assert isinstance(found.features, np.memmap)
    np.testing.assert_array_equal(found.features, PixelRows(side=4).extract(IMAGES))


def test_images_for_a_fit_are_chosen_by_content() -> None:
    forward, backward = (sample_images(Memory(images), 8) for images in (IMAGES, IMAGES[::-1]))
    assert len(forward) == 8
    assert all((one == other).all() for one, other in zip(forward, backward, strict=True))
