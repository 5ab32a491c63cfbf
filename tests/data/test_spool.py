from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from uncollapse.data.spool import Spool, mapped
from uncollapse.errors import UserError


def test_rows_of_any_shape_and_type_come_back_in_any_order() -> None:
    draw = np.random.default_rng(0)
    rows = [draw.integers(0, 255, (k % 4 + 1, 3), dtype=np.uint8) for k in range(50)] + [
        draw.random(k) for k in range(5)
    ]
    spool = Spool("real")
    for row in rows:
        spool.append(row)
    assert len(spool) == 55
    for number in (54, 0, 20, 21, 50, 20):
        found = spool[number]
        np.testing.assert_array_equal(found, rows[number])
        assert (found.dtype, found.flags.writeable) == (rows[number].dtype, True)


def test_the_temporary_file_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool("real")
    spool.append(np.zeros(10_000))
    array = mapped(io.BytesIO(bytes(80)).read, (10,), np.dtype("f8"), "real")
    assert list(tmp_path.iterdir()) == []
    assert array.tolist() == [0] * 10


def test_bytes_that_do_not_match_the_shape() -> None:
    content = np.arange(6, dtype=">i4").tobytes()
    np.testing.assert_array_equal(
        mapped(io.BytesIO(content).read, (2, 3), np.dtype(">i4"), "real"), [[0, 1, 2], [3, 4, 5]]
    )
    with pytest.raises(UserError, match="announces 24 bytes of numbers and holds more"):
        mapped(io.BytesIO(content + b"x").read, (2, 3), np.dtype(">i4"), "real")
    with pytest.raises(UserError, match="announces 24 bytes of numbers and holds only 20"):
        mapped(io.BytesIO(content[:20]).read, (2, 3), np.dtype(">i4"), "real")


def test_no_room_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    for make in (lambda: Spool("real (x)"), lambda: mapped(io.BytesIO().read, (1,), np.dtype("u1"), "real (x)")):
        with pytest.raises(UserError, match=r"real \(x\) cannot be kept in a temporary file in .*set TMPDIR"):
            make()


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool("real")

    def full(content: bytes) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(
        spool, "_stream", type("Full", (), {"seek": lambda self, at: at, "write": lambda self, b: full(b)})()
    )
    with pytest.raises(UserError, match="no space left on device"):
        spool.append(np.zeros(3))
