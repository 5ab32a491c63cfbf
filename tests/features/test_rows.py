from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from uncollapse.errors import UserError
from uncollapse.features.rows import GrowingRows

DATA = np.random.default_rng(0).normal(size=(1000, 5)).astype(np.float32)


@pytest.mark.parametrize("limit", [10**9, 7_000, 0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_come_back_in_order_from_memory_and_from_the_file(limit: int, dtype: type) -> None:
    rows = GrowingRows(limit=limit)
    for block in np.split(DATA.astype(dtype), [1, 10, 300, 301, 800]):
        rows.add(block)
    found = rows.finish()
    assert len(rows) == 1000
    assert found.dtype == dtype
    assert isinstance(found, np.memmap) == (limit < DATA.nbytes)
    np.testing.assert_array_equal(found, DATA.astype(dtype))


def test_what_is_spilled_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows = GrowingRows(limit=100)
    rows.add(DATA)
    found = rows.finish()
    assert isinstance(found, np.memmap)
    assert list(tmp_path.iterdir()) == []
    del rows
    np.testing.assert_array_equal(found, DATA)


def test_nothing_is_an_empty_matrix() -> None:
    assert GrowingRows().finish().shape == (0, 0)


def test_another_width_is_refused() -> None:
    rows = GrowingRows()
    rows.add(DATA)
    with pytest.raises(UserError, match="Rows of 3 numbers follow rows of 5"):
        rows.add(DATA[:, :3])


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, content: object) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **settings: Full())
    with pytest.raises(UserError, match=r"no room for the rows .No space left on device.; set TMPDIR"):
        GrowingRows(limit=100).add(DATA)
