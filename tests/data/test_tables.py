from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tests.data.making import features, opened

from uncollapse.data.arrays import MOVED
from uncollapse.data.labels import UNLABELLED
from uncollapse.data.tables import LEFT_OUT, NUMBERING, match_columns
from uncollapse.errors import UserError
from uncollapse.evaluation.sides import Reading
from uncollapse.tasks import array_files


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


def test_a_column_of_other_labels_is_no_feature(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,Prompt,label,LABELS\n1.5,a cat,7,one\n-3,a dog,8,two\n")
    source = opened(tmp_path / "a.csv", label_column="prompt")
    np.testing.assert_array_equal(features(source), [[1.5], [-3]])
    assert next(source.chunks(5)).labels == ("a cat", "a dog")
    assert source.notes.policies == {LEFT_OUT.format("label"): 1, LEFT_OUT.format("labels"): 1}


def test_the_index_that_pandas_writes_is_no_feature_and_is_counted(tmp_path: Path) -> None:
    (tmp_path / "with.csv").write_text(",x,y\n0,1.5,2\n1,-3,4\n")
    (tmp_path / "without.csv").write_text("y,x\n2,1.5\n4,-3\n")
    source = opened(tmp_path / "with.csv")
    np.testing.assert_array_equal(features(source), [[1.5, 2], [-3, 4]])
    assert (source.heads, dict(source.notes.policies)) == (("x", "y"), {NUMBERING.format(""): 1})
    other = Reading().open(tmp_path / "without.csv", "fake", like=source)
    np.testing.assert_array_equal(features(other), features(source))
    assert dict(other.notes.policies) == {MOVED: 2}


def test_one_long_label_gives_the_others_no_room(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,label\n1," + "y" * 130_000 + "\n" + "2,cat\n" * 2000)
    tracemalloc.start()
    labels = next(opened(tmp_path / "a.csv").chunks(9)).labels
    assert np.array(array_files.read_csv(tmp_path / "a.csv").labels).nbytes < 3_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert labels is not None
    assert [len(label) for label in labels[:3]] == [300, 3, 3]
    assert peak < 10_000_000 < 2000 * 130_000


def test_a_lack_of_memory_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object) -> None:
        raise MemoryError

    (tmp_path / "a.csv").write_text("1,2\n")
    monkeypatch.setattr(array_files, "_lines", lacking)
    with pytest.raises(UserError, match=r"real \(.*a.csv\) needs more memory than there is; give fewer rows"):
        opened(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"a.csv needs more memory than there is; save its rows as .npy"):
        array_files.read_csv(tmp_path / "a.csv")


def test_columns_are_matched_by_their_heads(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("height,label,weight,age\n1,a,2,3\n4,b,5,6\n")
    (tmp_path / "fake.csv").write_text("Weight,Height,age,label\n2,1,3,a\n5,4,6,b\n")
    real = opened(tmp_path / "real.csv")
    fake = Reading().open(tmp_path / "fake.csv", "fake", like=real)
    np.testing.assert_array_equal(features(fake), [[1, 2, 3], [4, 5, 6]])
    assert (fake.heads, dict(fake.notes.policies)) == (("height", "weight", "age"), {MOVED: 2})
    assert [next(fake.chunks(1)).labels, fake.count] == [("a",), 2]
    same = opened(tmp_path / "real.csv")
    assert match_columns(same, real, "fake") is same
    np.testing.assert_array_equal(features(opened(tmp_path / "fake.csv"))[0], [2, 1, 3])  # alone it stays as it is


def test_tables_of_other_columns_are_refused_and_without_heads_matched_by_place(tmp_path: Path) -> None:
    for name, heads in (("real", "a,b"), ("fake", "b,c"), ("none", "7,8"), ("twice", "x,x,y"), ("again", "x,y,x")):
        (tmp_path / f"{name}.csv").write_text(f"{heads}\n" + ",".join("1" for _ in heads.split(",")) + "\n")
    real = opened(tmp_path / "real.csv")
    message = (
        r"not have the same columns \('c' only in fake \(.*fake.csv\) and 'a' only in real \(.*\)\); name them alike"
    )
    with pytest.raises(UserError, match=message):
        Reading().open(tmp_path / "fake.csv", "fake", like=real)
    np.testing.assert_array_equal(features(Reading().open(tmp_path / "none.csv", "fake", like=real)), [[7, 8], [1, 1]])
    assert Reading().open(np.ones((3, 2)), "fake", like=real).count == 3
    with pytest.raises(UserError, match="several columns headed 'x' and another order of columns"):
        Reading().open(tmp_path / "twice.csv", "fake", like=opened(tmp_path / "again.csv"))


def test_a_table_without_titles(tmp_path: Path) -> None:
    (tmp_path / "a.CSV").write_text("1,2\n3,4\n")
    source = opened(tmp_path / "a.CSV")
    np.testing.assert_array_equal(features(source), [[1, 2], [3, 4]])
    assert not source.labelled


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; give lines of numbers with commas between them"),
        (b"a;b\n1;2\n", "has ';' between its cells; save it with commas"),
        (b",a\n7,1\n3,2\n", "first column headed '', as pandas heads an index, which does not number the rows"),
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


def test_an_empty_cell_is_no_label(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,label\n1,a\n2,\n3, \n")
    assert next(opened(tmp_path / "t.csv").chunks(3)).labels == ("a", UNLABELLED, UNLABELLED)
