from __future__ import annotations

import numpy as np
import pytest

from uncollapse.data.numpy_files import Statistics
from uncollapse.data.statistics import StatisticsOnly
from uncollapse.errors import UserError


def made(shift: float = 0.0, rows: int | None = 7) -> StatisticsOnly:
    found = Statistics(mean=np.full(3, shift), covariance=np.eye(3), rows=rows)
    return StatisticsOnly(found, name="s.npz", place="real (s.npz)")


def test_there_are_no_rows_to_read() -> None:
    source = made()
    assert list(source.chunks(10)) == []
    assert (source.kind, source.count, source.rows, source.labelled) == ("statistics", 0, 7, False)
    assert source.fetch([]) == []
    with pytest.raises(UserError, match=r"s.npz holds mean and covariance only"):
        source.fetch([0])


def test_the_hash_follows_the_numbers() -> None:
    assert made().content_hash() == made().content_hash()
    assert len({made().content_hash(), made(1.0).content_hash(), made(rows=8).content_hash()}) == 3
