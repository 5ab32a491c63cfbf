from __future__ import annotations

import doctest
import itertools
from collections import Counter

import numpy as np
import pytest

from uncollapse.data.source import Met, Notes
from uncollapse.features import shards
from uncollapse.features.shards import LEAST_ROWS, MOST_ROWS, Shard, pack, split, unpack


def test_the_examples_hold() -> None:
    assert doctest.testmod(shards).failed == 0


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 5_000, 123_457])
@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_parts_cover_all_rows_once_in_order(count: int, size: int) -> None:
    parts = split(count, size)
    assert [row for first, stop in parts for row in (first, stop)] == sorted(
        row for first, stop in parts for row in (first, stop)
    )
    assert sum(stop - first for first, stop in parts) == count
    assert all(one[1] == other[0] for one, other in itertools.pairwise(parts))
    assert all(LEAST_ROWS <= stop - first <= MOST_ROWS for first, stop in parts[:-1])
    assert all(first % LEAST_ROWS == 0 for first, _ in parts)


def test_a_shard_survives_the_way_to_another_process() -> None:
    notes = Notes(
        rows=2, bad=[("\udcff.png", "is empty")], bad_count=1, policies=Counter({"palette": 2}),
        sizes=Counter({(8, 9): 2}), channels=Counter(grey=2),
    )  # fmt: skip
    features = np.array([[1.0, np.pi], [-0.0, 1e-40]], dtype=np.float32)
    shard = Shard(
        features=features, probabilities=features[:, :1], labels=("a", "\x1b[31m"), names=("x/\udcff.png", "y"),
        met=Met(tried=3, notes=notes, bad=(1,)),
    )  # fmt: skip
    found = unpack(pack(shard))
    assert found.features is not None
    assert found.probabilities is not None
    assert found.features.tobytes() == features.tobytes()
    np.testing.assert_array_equal(found.probabilities, features[:, :1])
    assert (found.labels, found.names, found.met) == (shard.labels, shard.names, shard.met)
    bare = unpack(
        pack(Shard(features=None, probabilities=None, labels=None, names=(), met=Met(tried=0, notes=Notes())))
    )
    assert (bare.features, bare.probabilities, bare.labels, bare.names) == (None, None, None, ())
