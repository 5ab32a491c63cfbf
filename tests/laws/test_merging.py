"""What is streamed can be cut anywhere and joined in any grouping and order: states, notes, rows, choices."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.data.making import encoded, opened, pictures, write_folder, write_zip
from tests.laws.chance import search, searched

from uncollapse.data.source import Met, Notes
from uncollapse.features.extraction import extract, read_shard
from uncollapse.features.pixels import Pixels
from uncollapse.features.rows import GrowingRows
from uncollapse.features.sampling import pick_images
from uncollapse.metrics.frechet import frechet_distance
from uncollapse.metrics.moments import Moments

VALUES = st.floats(-100, 100, width=32)
ROWS = arrays.arrays(np.float32, st.tuples(st.integers(3, 30), st.integers(1, 5)), elements=VALUES)
PAIRS = st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 5))
NOTES = st.builds(
    Notes,
    rows=st.integers(0, 99),
    bad=st.lists(st.tuples(st.text(max_size=3), st.just("is empty")), max_size=3),
    bad_count=st.integers(0, 9),
    policies=st.dictionaries(st.sampled_from("xyz"), st.integers(1, 5)).map(Counter),
    sizes=st.dictionaries(st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(1, 5)).map(Counter),
    channels=st.dictionaries(st.sampled_from(["grey", "colour"]), st.integers(1, 5)).map(Counter),
)


def cut(rows: np.ndarray, places: list[float]) -> list[np.ndarray]:
    """Non-empty stretches of the rows."""
    at = sorted({1 + int(place * (len(rows) - 1)) for place in places} & set(range(1, len(rows))))
    return np.split(rows, at)


def close(one: Moments, other: Moments, scale: float) -> None:
    assert one.n == other.n
    torch.testing.assert_close(one.mean, other.mean, rtol=1e-9, atol=1e-9 * scale)
    torch.testing.assert_close(one.scatter, other.scatter, rtol=1e-9, atol=1e-8 * scale**2 * one.n)


@searched(40)
def test_moments_merge_in_any_grouping_and_order(examples: int) -> None:
    @search(examples)
    @given(rows=ROWS, places=st.lists(st.floats(0, 1), max_size=4), order=st.randoms(use_true_random=False))
    def law(rows: np.ndarray, places: list[float], order: object) -> None:
        scale = 1 + float(np.abs(rows).max())
        parts = [Moments.of(part) for part in cut(rows, places)]
        whole = Moments.of(rows)
        left = functools.reduce(Moments.merge, parts)
        right = functools.reduce(lambda late, early: early.merge(late), parts[::-1])
        order.shuffle(parts)  # type: ignore[attr-defined]
        for found in (left, right, functools.reduce(Moments.merge, parts, Moments())):
            close(found, whole, scale)
        torch.testing.assert_close(whole.mean, torch.from_numpy(rows.astype(np.float64).mean(0)), rtol=1e-9, atol=1e-9)
        exact = np.cov(rows.astype(np.float64), rowvar=False).reshape(rows.shape[1], -1)
        torch.testing.assert_close(whole.covariance, torch.from_numpy(exact), rtol=1e-7, atol=1e-7 * scale**2)

    law()


@searched(20)
def test_a_distance_of_merged_moments_is_that_of_the_rows(examples: int) -> None:
    @search(examples)
    @given(seed=st.integers(0, 2**32 - 1), places=st.lists(st.floats(0, 1), max_size=4))
    def law(seed: int, places: list[float]) -> None:
        draws = np.random.default_rng(seed)
        real, fake = draws.normal(size=(60, 4)), draws.normal(0.3, 1.2, size=(50, 4))
        merged = [functools.reduce(Moments.merge, map(Moments.of, cut(side, places))) for side in (real, fake)]
        value = frechet_distance(real=merged[0], fake=merged[1], level=None).value
        assert value == pytest.approx(frechet_distance(real=real, fake=fake, level=None).value, rel=1e-9)

    law()


@searched(40)
def test_notes_join_in_any_grouping(examples: int) -> None:
    @search(examples)
    @given(one=NOTES, two=NOTES, three=NOTES)
    def law(one: Notes, two: Notes, three: Notes) -> None:
        assert one.joined(two).joined(three) == one.joined(two.joined(three))
        assert one.joined(Notes()) == one == Notes().joined(one)
        both, turned = one.joined(two), two.joined(one)
        for name in ("rows", "bad_count", "policies", "sizes", "channels"):  # only the list of bad rows has an order
            assert getattr(both, name) == getattr(turned, name)

    law()


IMAGES = [*pictures(9), *pictures(4, size=8, colour=True)]
FILES = {f"{'ab'[i % 2]}/{i:02d}.png": encoded(image) for i, image in enumerate(IMAGES)}
FILES |= {"a/00-broken.png": b"no image", "b/11-broken.png": b"", "b/z.png": encoded(IMAGES[0])[:-30]}


@searched(15)
@pytest.mark.parametrize("form", ["folder", "x.zip", "x.npz"])
def test_a_source_cut_anywhere_is_the_source(examples: int, form: str, tmp_path: Path) -> None:
    if form == "folder":
        what = write_folder(tmp_path / form, FILES)
    elif form == "x.zip":
        what = write_zip(tmp_path / form, FILES)
    else:
        what = tmp_path / form
        np.savez(what, images=pictures(16), labels=np.arange(16) % 3)
    extractor = Pixels(side=4)
    whole = opened(what, max_bad=0.5)
    expected = extract(whole, extractor)

    @search(examples)
    @given(places=st.lists(st.integers(0, 16), max_size=5))
    def law(places: list[int]) -> None:
        source = opened(what, max_bad=0.5)
        ends = [0, *sorted(places), source.count or 0]
        shards, met = [], []
        for first, stop in itertools.pairwise(ends):
            part = source.part(first, stop)
            assert part is not None
            shards.append(read_shard(part, extractor, first))
            met.append(shards[-1].met)
        source.take(met)
        features = [shard.features for shard in shards if shard.features is not None]
        assert np.concatenate(features).tobytes() == np.asarray(expected.features).tobytes()
        assert sum((shard.names for shard in shards), ()) == expected.names
        assert sum((shard.labels or () for shard in shards), ()) == expected.labels
        assert source.notes == expected.notes
        last = len(expected.names) - 1
        for one, other in zip(source.fetch([last, 0]), whole.fetch([last, 0]), strict=True):
            np.testing.assert_array_equal(one, other)

    law()


def test_parts_do_not_change_their_source(tmp_path: Path) -> None:
    source = opened(write_folder(tmp_path / "x", FILES), max_bad=0.5)
    part = source.part(0, 5)
    assert part is not None
    list(part.chunks(2))
    assert (source.count, source.notes.rows, part.met.tried, part.met.bad) == (16, 0, 5, (0,))
    source.take([Met(tried=16, notes=Notes(rows=13, bad_count=3), bad=(0, 8, 9))])
    with pytest.raises(Exception, match="3 of 16 rows cannot be read"):
        opened(tmp_path / "x").take([Met(tried=16, notes=Notes(rows=13, bad_count=3), bad=(0, 8, 9))])


@searched(25)
def test_growing_rows_are_their_blocks_whatever_is_expected(examples: int) -> None:
    @search(examples)
    @given(rows=ROWS, places=st.lists(st.floats(0, 1), max_size=4), expected=st.none() | st.integers(0, 60),
           limit=st.sampled_from([0, 40, 10**9]))  # fmt: skip
    def law(rows: np.ndarray, places: list[float], expected: int | None, limit: int) -> None:
        growing = GrowingRows(expected, limit=limit)
        for block in cut(rows, places):
            growing.add(block)
        assert growing.finish().tobytes() == rows.tobytes()

    law()


@searched(15)
def test_a_choice_of_images_does_not_depend_on_their_order(examples: int) -> None:
    @search(examples)
    @given(numbers=st.lists(st.integers(0, 8), min_size=1, max_size=20), most=st.integers(1, 6),
           order=st.randoms(use_true_random=False))  # fmt: skip
    def law(numbers: list[int], most: int, order: object) -> None:
        images = [IMAGES[number] for number in numbers]
        chosen = [image.tobytes() for image in pick_images(images, most)]
        order.shuffle(images)  # type: ignore[attr-defined]
        assert [image.tobytes() for image in pick_images(images, most)] == chosen
        assert len(chosen) == min(most, len(images))

    law()
