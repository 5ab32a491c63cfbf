from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.making import encoded, everything, opened, pictures

from uncollapse.data import parquet as module
from uncollapse.data.images import Unreadable
from uncollapse.data.labels import label_text
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


@contextmanager
def most_memory(limit: int) -> Iterator[None]:
    """Within, neither pyarrow nor Python holds more than so many bytes."""
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        yield
        assert (pool.max_memory() < limit, tracemalloc.get_traced_memory()[1] < limit) == (True, True)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


@pytest.mark.parametrize("form", ["texts", "categories", "differences"])
def test_a_long_label_of_many_rows_is_in_memory_once(tmp_path: Path, form: str) -> None:
    text = "x" * 400_000
    labels = pa.array([text] * 100)
    columns = {"image": [encoded(X[0])] * 100, "label": labels.dictionary_encode() if form == "categories" else labels}
    plain: dict[str, Any] = {"use_dictionary": ["image"], "column_encoding": {"label": "DELTA_BYTE_ARRAY"}}
    file = write(tmp_path / "a.parquet", columns, compression="zstd", **(plain if form == "differences" else {}))
    assert file.stat().st_size < 10_000
    with most_memory(8_000_000):
        found = module.Parquet(file, "real")
    assert found.label(0) == found.label(99) == label_text(text)


def test_a_large_image_of_many_rows_is_in_memory_once(tmp_path: Path) -> None:
    image = np.random.default_rng(0).bytes(500_000)
    columns = {"image": [{"bytes": image, "path": "x" * 900_000}] * 100}
    file = write(tmp_path / "a.parquet", columns, compression="zstd")
    assert file.stat().st_size < 600_000
    found = module.Parquet(file, "real")
    with most_memory(4_000_000):
        assert all(found.read(row) == image for row in (0, 1, 99, 98, 5))


def test_an_image_that_is_too_large_is_told_before_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.parquet", {"image": [b"1" * 1_000, b"1" * 1_001]})
    monkeypatch.setattr(module, "MOST_IMAGE_BYTES", 1_000)
    found = module.Parquet(file, "real")
    assert found.read(0) == b"1" * 1_000
    with pytest.raises(Unreadable, match=r"has 1\.0 kB, more than"):
        found.read(1)


@pytest.mark.parametrize("categories", [False, True])
def test_labels_that_unpack_into_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, categories: bool
) -> None:
    monkeypatch.setattr(module, "GIGA", 500_000)
    monkeypatch.setattr(module, "LABEL_BATCH", 1)
    for rows in (400, 600):
        labels = pa.array(["x" * 1_000] * rows)
        columns = {"image": [b"1"] * rows, "label": labels.dictionary_encode() if categories else labels}
        file = write(tmp_path / "a.parquet", columns, compression="zstd", write_statistics=False)
        assert file.stat().st_size < 2_500
        if rows == 400:
            assert module.Parquet(file, "real").label(399) == label_text("x" * 1_000)
            continue
        with pytest.raises(UserError, match=r"has labels of more than 500.0 kB in its column 'label'; give shorter"):
            module.Parquet(file, "real")


def test_of_a_label_beyond_all_measure_the_letters_that_count_are_taken(tmp_path: Path) -> None:
    texts = ["ü" * 3_000_000, "a" * 3_000_000, "ü" * 3_000_000 + "a"]
    columns = {"image": [b"1"] * 3, "label": texts}
    found = module.Parquet(write(tmp_path / "a.parquet", columns), "real")
    assert [found.label(row) for row in range(3)] == [label_text(text) for text in texts]
    assert found.label(0) == found.label(2) != found.label(1)


def test_more_rows_than_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.parquet", {"image": [b"1"] * 5_000, "label": [1] * 5_000})
    module.Parquet(file, "real")  # few rows may repeat
    monkeypatch.setattr(module, "MOST_MEMBERS", 4_999)
    with pytest.raises(UserError, match=r"real has \d+ B and 5,000 rows, more than one a byte"):
        module.Parquet(file, "real")


def test_a_second_column_of_the_same_name_is_refused(tmp_path: Path) -> None:
    images = hugging_face(X[:2])
    write(
        tmp_path / "flat.parquet", {"image.bytes": [encoded(X[0])] * 2, "image.path": ["a", "b"], "image.x": [[1], [2]]}
    )
    assert len(everything(opened(tmp_path / "flat.parquet"))[0]) == 2
    write(tmp_path / "plain.parquet", {"image": [encoded(X[0])] * 2, "image.size": [[1, 1]] * 2, "label": [1, 2]})
    assert everything(opened(tmp_path / "plain.parquet"))[1] == ["1", "2"]
    for name in ("image.bytes", "image.bytes.list"):
        with pytest.raises(UserError, match=r"has 2 columns called 'image\.bytes'; rename or remove all but one"):
            opened(write(tmp_path / "a.parquet", {"image": images, name: [[1], [2]]}))


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
