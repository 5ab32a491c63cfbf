from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data.making import features, opened

from uncollapse.errors import UserError


def test_numbers_and_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,Label,y\n1.5,cat,2\n-3,dog,4e2\n")
    source = opened(tmp_path / "a.csv")
    np.testing.assert_array_equal(features(source), [[1.5, 2], [-3, 400]])
    assert next(source.chunks(5)).labels == ("cat", "dog")
    assert (source.form, source.kind, source.count) == ("CSV table", "features", 2)


def test_a_named_column_holds_the_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,Prompt,y\n1.5,a cat,2\n-3,a dog,4\n")
    source = opened(tmp_path / "a.csv", label_column="prompt")
    np.testing.assert_array_equal(features(source), [[1.5, 2], [-3, 4]])
    assert next(source.chunks(5)).labels == ("a cat", "a dog")
    with pytest.raises(UserError, match=r"no column headed 'title'; its heads are x, prompt, y"):
        opened(tmp_path / "a.csv", label_column="title")


def test_a_table_without_titles(tmp_path: Path) -> None:
    (tmp_path / "a.CSV").write_text("1,2\n3,4\n")
    source = opened(tmp_path / "a.CSV")
    np.testing.assert_array_equal(features(source), [[1, 2], [3, 4]])
    assert not source.labelled


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "equally many cells"),
        (b"a,b\n1,2\n3\n", "equally many cells"),
        (b"1,2\n3,x\n", "has 'x' in line 2, column 2"),
        (b"label\ncat\ndog\n", "holds no numbers beside its labels"),
        (b"\xff\xfe1,2", "not text in UTF-8"),
    ],
)
def test_other_tables_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a\n.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        opened(tmp_path / "a\n.csv")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 400


def test_a_table_that_does_not_fit_into_memory_is_not_tried(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(1_100_000_000)  # a hole, not a byte on the disk
    with pytest.raises(UserError, match=r"has 1.1 GB, more than 1.0 GB; save it as .npy"):
        opened(tmp_path / "a.csv")
