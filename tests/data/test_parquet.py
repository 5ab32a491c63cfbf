from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.making import encoded, everything, opened, pictures

from uncollapse.data import parquet as module
from uncollapse.data.images import Unreadable
from uncollapse.errors import UserError

pa = pytest.importorskip("pyarrow", reason="pyarrow (the extra [parquet]) is not installed here")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow (the extra [parquet]) is not installed here")

X = pictures(300, 3)


def write(file: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None, **options: Any) -> Path:
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, file, **options)
    return file


def hugging_face(images: np.ndarray) -> list[dict[str, object]]:
    return [{"bytes": encoded(image), "path": f"{k}.png"} for k, image in enumerate(images)]


@pytest.mark.parametrize("group", [7, 1000])
def test_hugging_faces_layout(tmp_path: Path, group: int) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    columns = {"image": hugging_face(X), "label": [k % 3 for k in range(300)], "other": ["x"] * 300}
    file = write(tmp_path / "a.parquet", columns, {"huggingface": json.dumps(features)}, row_group_size=group)
    source = opened(file)
    images, labels, names = everything(source, 50)
    np.testing.assert_array_equal(np.stack(images), X)
    assert labels == [["cat", "dog", "2"][k % 3] for k in range(300)]
    assert names[7] == "row 7"
    for row, image in zip([250, 3, 100], source.fetch([250, 3, 100]), strict=True):
        np.testing.assert_array_equal(image, X[row])
    assert (source.count, source.form) == (300, "parquet file")


def test_a_plain_column_of_bytes_and_labels_as_texts(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", {"label": ["a", "b", None], "png": [encoded(image) for image in X[:3]]})
    images, labels, _ = everything(opened(file))
    np.testing.assert_array_equal(np.stack(images), X[:3])
    assert labels == ["a", "b", "(no label)"]


def test_any_column_of_texts_may_hold_the_labels(tmp_path: Path) -> None:
    columns = {
        "image": hugging_face(X[:3]),
        "label": [0, 0, 1],
        "prompt": ["a cat", "a dog", "a cat"],
        "size": [[1]] * 3,
    }
    file = write(tmp_path / "a.parquet", columns)
    assert everything(opened(file, label_column="prompt"))[1] == ["a cat", "a dog", "a cat"]
    assert everything(opened(file))[1] == ["0", "0", "1"]
    with pytest.raises(UserError, match=r"has no column 'size' of numbers or texts; there are label, prompt"):
        opened(file, label_column="size")


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b", "(no label)"]),
        (pa.array([0.0, None, 1.0]), ["0", "(no label)", "1"]),
        (pa.array([0.0, float("nan"), 2.5]), ["0", "(no label)", "2.5"]),
        (pa.array([True, False, None]), ["1", "0", "(no label)"]),
        (pa.array(["a", "b", "a"], pa.large_string()), ["a", "b", "a"]),
        (pa.array(["a", "b", "a"], pa.string_view() if hasattr(pa, "string_view") else pa.string()), ["a", "b", "a"]),
    ],
    ids=["categories", "whole numbers with gaps", "floats", "truth values", "large texts", "views"],
)
@pytest.mark.parametrize("chosen", [None, "label"])
def test_labels_of_every_ordinary_type(tmp_path: Path, given: Any, labels: list[str], chosen: str | None) -> None:
    file = write(tmp_path / "a.parquet", {"image": hugging_face(X[:3]), "label": given})
    source = opened(file, label_column=chosen)
    assert everything(source)[1] == labels
    assert not source.notes.policies


def test_class_names_of_whole_numbers_with_gaps(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    columns = {"image": hugging_face(X[:3]), "label": pa.array([1.0, None, 0.0])}
    file = write(tmp_path / "a.parquet", columns, {"huggingface": json.dumps(features)})
    assert everything(opened(file))[1] == ["dog", "(no label)", "cat"]


def test_a_column_that_is_only_named_as_labels_are_is_counted(tmp_path: Path) -> None:
    columns = {"image": hugging_face(X[:2]), "label": [[1], [2]], "class": ["a", "b"]}
    source = opened(write(tmp_path / "a.parquet", columns))
    assert everything(source)[1] == ["a", "b"]
    (policy,) = source.notes.policies
    assert policy.startswith("column 'label' of type list<")
    del columns["class"]
    source = opened(write(tmp_path / "a.parquet", columns))
    assert everything(source)[1] is None
    assert list(source.notes.policies) == [policy]


def test_a_damaged_page_ends_its_group_of_rows_and_no_other(tmp_path: Path) -> None:
    options = {"row_group_size": 100, "compression": "none", "use_dictionary": False}
    file = write(tmp_path / "a.parquet", {"image": hugging_face(X)}, **options)
    content = bytearray(file.read_bytes())
    place = pq.ParquetFile(file).metadata.row_group(1).column(0).data_page_offset
    content[place : place + 40] = b"\xff" * 40
    file.write_bytes(content)
    source = opened(file, max_bad=1)
    images, _, names = everything(source, 50)
    np.testing.assert_array_equal(np.stack(images), np.concatenate([X[:100], X[200:]]))
    assert (names[100], source.notes.bad_count) == ("row 200", 100)
    assert source.notes.bad[0][1].startswith("lies in a damaged part of the file (")
    np.testing.assert_array_equal(source.fetch([199])[0], X[299])


def test_a_damaged_group_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = module.Parquet(write(tmp_path / "a.parquet", {"image": hugging_face(X)}, row_group_size=150), "real")
    tried: list[list[int]] = []

    class Damaged:
        def iter_batches(self, *, row_groups: list[int], **_: object) -> Iterator[object]:
            tried.append(row_groups)
            raise OSError("bad page")

    monkeypatch.setattr(found, "_file", Damaged())
    for row in (0, 1, 149, 150, 299, 3):
        with pytest.raises(Unreadable, match=r"damaged part of the file \(OSError: bad page\)"):
            found.read(row)
    assert tried == [[0], [1]]


def test_a_path_in_a_row_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(X[0]))
    rows = [*hugging_face(X[:9]), {"bytes": None, "path": str(tmp_path / "secret.png")}, None]
    source = opened(write(tmp_path / "a.parquet", {"image": rows}), max_bad=0.5)
    assert len(everything(source)[0]) == 9
    assert source.notes.bad == [
        (f"row {row}", "holds no bytes (a path in a parquet file is never opened)") for row in (9, 10)
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0, 2.0]}, "has the columns x, none of image bytes"),
        ({"image": ["a.png", "b.png"]}, "none of image bytes"),
        ({"image": pa.array([], pa.binary())}, "has no rows"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened(write(tmp_path / "a.parquet", columns))


def test_damaged_files(tmp_path: Path) -> None:
    content = write(tmp_path / "a.parquet", {"image": hugging_face(X[:5])}).read_bytes()
    for broken in (b"", b"PAR1", content[:-30], b"x" * 1000):
        (tmp_path / "a.parquet").write_bytes(broken)
        with pytest.raises(UserError, match="no readable parquet file"):
            opened(tmp_path / "a.parquet")


def test_names_of_classes_that_are_none() -> None:
    for content in (b"", b"{", b"[]", b'{"info": {"features": {"label": {"names": 3}}}}', b"[" * 100_000):
        assert module.class_names({b"huggingface": content}, "label") == []


def test_without_pyarrow_the_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.parquet", {"image": hugging_face(X[:2])})
    monkeypatch.setattr(pa, "__version__", "14.0.0")
    with pytest.raises(UserError, match=r"pyarrow 14.0.0 can be made to run code .* install 14.0.1 or newer"):
        opened(file)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"needs pyarrow; install it with pip install 'uncollapse\[parquet\]'"):
        opened(file)
