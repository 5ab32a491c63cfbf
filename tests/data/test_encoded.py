from __future__ import annotations

import threading
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from tests.data.making import encoded, everything, pictures

from uncollapse.data import encoded as module
from uncollapse.data.encoded import Container, EncodedImages, cores
from uncollapse.data.images import Unreadable
from uncollapse.errors import UserError


class Made(Container):
    """Encoded images in memory; None for one that cannot be read."""

    form = "test"

    def __init__(self, images: list[bytes | None], *, labelled: bool = False, in_order: bool = False) -> None:
        self.images, self.in_order = images, in_order
        self._labels = [str(row % 3) for row in range(len(images))] if labelled else None
        self.policies = Counter({"decided at opening": 1})
        self.readers: set[str] = set()
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def name(self, row: int) -> str:
        return f"{row}.png"

    def read(self, row: int) -> bytes:
        self.readers.add(threading.current_thread().name)
        self.asked.append(row)
        content = self.images[row]
        if content is None:
            raise Unreadable("is gone")
        return content


def numbered(n: int) -> list[bytes | None]:
    """Images of one pixel row that say their number."""
    return [encoded(np.array([[k % 256, k // 256]], dtype=np.uint8)) for k in range(n)]


def source(container: Container, **options: object) -> EncodedImages:
    return EncodedImages(container, **{"name": "x", "place": "real (x)", "max_bad": 0.01, **options})  # type: ignore[arg-type]


def numbers(images: list[np.ndarray]) -> list[int]:
    return [int(image[0, 0]) + 256 * int(image[0, 1]) for image in images]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 257, 700])
def test_every_row_comes_once_and_in_order(workers: int, in_order: bool, n: int) -> None:
    images, labels, names = everything(
        source(Made(numbered(n), labelled=True, in_order=in_order), workers=workers), 100
    )
    assert numbers(images) == list(range(n))
    assert labels == [str(k % 3) for k in range(n)]
    assert names == [f"{k}.png" for k in range(n)]


def test_order_is_kept_when_threads_overtake_each_other() -> None:
    class Slow(Made):
        def read(self, row: int) -> bytes:
            time.sleep(0.02 if row % 64 == 0 else 0)
            return super().read(row)

    assert numbers(everything(source(Slow(numbered(300)), workers=4), 50)[0]) == list(range(300))


def test_only_one_thread_reads_what_must_be_read_in_order() -> None:
    container = Made(numbered(300), in_order=True)
    everything(source(container, workers=4))
    assert container.readers == {threading.current_thread().name}
    assert container.asked == list(range(300))
    several = Made(numbered(300))
    everything(source(several, workers=4))
    assert all(name.startswith("decode") for name in several.readers)


@pytest.mark.parametrize("workers", [1, 3])
def test_bad_rows_are_skipped_noted_and_do_not_shift_the_others(workers: int) -> None:
    images = numbered(400)
    for row in (0, 7, 8, 399):
        images[row] = None
    images[200] = b"<html>"
    reader = source(Made(images), workers=workers, max_bad=0.02)
    good = [row for row in range(400) if row not in (0, 7, 8, 200, 399)]
    for _ in range(2):  # a second pass finds the same
        assert numbers(everything(reader, 64)[0]) == good
        assert reader.notes.bad_count == 5
        assert [name for name, _ in reader.notes.bad] == ["0.png", "7.png", "8.png", "200.png", "399.png"]
        assert reader.notes.policies == {"decided at opening": 1}
    asked = [394, 0, 5, 6, 194, 195, 0]
    assert numbers(reader.fetch(asked)) == [good[row] for row in asked]


def test_too_many_bad_rows_end_the_reading_early() -> None:
    container = Made([None] * 2000)
    with pytest.raises(UserError, match=r"21 of 2,000 rows or more cannot be read.*0.png is gone"):
        everything(source(container, workers=2))
    assert len(container.asked) < 700


@pytest.mark.parametrize("workers", [1, 3])
def test_images_of_0_and_1_are_refused_and_those_of_one_bit_are_read(workers: int) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (300, 4, 4), dtype=np.uint8)
    dim = Made([encoded(image) for image in bits])
    with pytest.raises(UserError, match=r"real \(x\) has images of whole numbers with no value above 1 among"):
        everything(source(dim, workers=workers))
    with pytest.raises(UserError, match="no value above 1"):
        everything(source(dim, workers=workers).part(0, 256))
    assert len(everything(source(dim, workers=workers).part(256, 300))[0]) == 44  # the first part has decided
    plain = everything(source(Made([encoded(Image.fromarray(image > 0)) for image in bits]), workers=workers))[0]
    np.testing.assert_array_equal(plain, bits * 255)
    wide = everything(source(Made([encoded(image.astype(np.uint16) * 255) for image in bits]), workers=workers))[0]
    np.testing.assert_array_equal(wide, bits)  # whose being dark is counted
    assert not np.any(everything(source(Made([encoded(bits[0] * 0)] * 9), workers=workers))[0])


def test_a_subset_and_labels_from_outside() -> None:
    images, labels, _ = everything(
        source(Made(numbered(50)), picks=np.array([3, 10, 49]), labels=[f"l{k}" for k in range(50)])
    )
    assert (numbers(images), labels) == ([3, 10, 49], ["l3", "l10", "l49"])


def test_memory_is_bounded_by_bytes_and_not_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large images: chunks end early, and threads hold back instead of decoding everything ahead."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 20_000)
    monkeypatch.setattr(module, "SPAN_BYTES", 10_000)
    container = Made([encoded(np.full((50, 80), k, dtype=np.uint8)) for k in range(200)])  # of 4,000 bytes each
    reader = source(container, workers=2)
    seen = 0
    for chunk in reader.chunks(1000):
        assert sum(image.nbytes for image in chunk.images) <= 20_000
        seen += len(chunk)
        # ahead of the reader: at most four spans, of few images once their size is known
        assert len(set(container.asked)) <= seen + 4 * 4
        assert [int(image[0, 0]) for image in chunk.images] == list(range(seen - len(chunk), seen))
    assert seen == 200


def test_a_reader_that_stops_half_way_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    chunks = source(Made(numbered(2000)), workers=3).chunks(10)
    next(chunks)
    chunks.close()
    assert threading.active_count() == before


def test_the_hash_is_of_content_labels_and_order_but_not_of_names() -> None:
    class Renamed(Made):
        def name(self, row: int) -> str:
            return f"other/{row}.png"

    images = numbered(5)
    same = source(Made(images)).content_hash()
    assert source(Renamed(images)).content_hash() == same
    others = [
        source(Made(images[::-1])),
        source(Made(images[:4])),
        source(Made(images, labelled=True)),
        source(Made(images), picks=np.array([0, 1, 2, 3])),
        source(Made([*images[:4], None])),
        source(Made(images), labels=list("abcde")),
    ]
    hashes = {same, *(other.content_hash() for other in others)}
    assert len(hashes) == 6  # four rows are four rows, however they were chosen


def test_a_file_that_changes_under_the_reader_is_noticed() -> None:
    container = Made(numbered(3))
    reader = source(container)
    everything(reader)
    container.images[1] = None
    with pytest.raises(UserError, match="has changed while it was read"):
        reader.fetch([1])


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1


def test_pictures_of_mixed_sizes_and_channels_are_counted() -> None:
    reader = source(Made([encoded(pictures(1, 4)[0]), encoded(pictures(1, 6, colour=True)[0])]))
    everything(reader)
    assert dict(reader.notes.sizes) == {(4, 6): 1, (6, 8): 1}
    assert dict(reader.notes.channels) == {"grey": 1, "colour": 1}
