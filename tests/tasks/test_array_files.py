from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test

from uncollapse.data.labels import UNLABELLED
from uncollapse.data.opening import open_source
from uncollapse.errors import UserError
from uncollapse.tasks import find
from uncollapse.tasks.array_files import read_numpy, read_table

X = np.random.default_rng(0).normal(size=(60, 2)).round(6)


def write_csv(file: Path, lines: list[str]) -> str:
    file.write_text("\n".join(lines) + "\n")
    return f"array:{file}"


@pytest.mark.parametrize("key", ["features", "x", "images", "samples"])
def test_npz_keys(tmp_path: Path, key: str) -> None:
    np.savez(tmp_path / "a.npz", **{key: X, "labels": np.arange(60) % 3})
    task = find(f"array:{tmp_path / 'a.npz'}")
    np.testing.assert_allclose(task.x, X, atol=1e-6)
    assert task.classes == 3


def test_rows_under_an_older_key_come_before_samples(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", samples=X + 9, x=X)
    np.testing.assert_allclose(find(f"array:{tmp_path / 'a.npz'}").x, X, atol=1e-6)
    chunk = next(open_source(tmp_path / "a.npz", side="real").chunks(60))
    assert chunk.features is not None
    np.testing.assert_array_equal(chunk.features, X)


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    task = find(f"array:{tmp_path / 'a.npy'}", clusters=2)
    np.testing.assert_allclose(task.x, X, atol=1e-6)
    assert (task.classes, task.clusters) == (0, 2)


def test_csv_with_and_without_a_header(tmp_path: Path) -> None:
    numbers = [f"{a},{b}" for a, b in X]
    plain = find(write_csv(tmp_path / "plain.csv", numbers))
    headed = find(
        write_csv(tmp_path / "headed.csv", ["a,b,Label", *(f"{line},k{i % 2}" for i, line in enumerate(numbers))])
    )
    np.testing.assert_allclose(plain.x, X, atol=1e-6)
    np.testing.assert_allclose(headed.x, X, atol=1e-6)
    assert headed.modes.names == ("label k0", "label k1")


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_label_is_no_mode_and_evaluate_takes_it_as_no_class(tmp_path: Path, blank: str) -> None:
    lines = [f"{a},{b},{blank if i < 3 else f'k{i % 2}'}" for i, (a, b) in enumerate(X)]
    task = write_csv(tmp_path / "a.csv", ["a,b,label", *lines])
    with pytest.raises(
        UserError, match=r"missing in 3 of 60 rows \(first in row 0, counted from 0\); give every row a"
    ):
        find(task)
    labels = next(open_source(tmp_path / "a.csv", side="real").chunks(60)).labels
    assert labels is not None
    assert list(labels[:4]) == [UNLABELLED, UNLABELLED, UNLABELLED, "k1"]
    assert find(write_csv(tmp_path / "b.csv", ["a,b,label", *lines[3:]])).classes == 2


def test_long_labels_stay_apart(tmp_path: Path) -> None:
    lines = [f"{a},{b},{'k' * 400}{i % 2}" for i, (a, b) in enumerate(X)]
    assert find(write_csv(tmp_path / "a.csv", ["a,b,label", *lines])).classes == 2


def test_a_missing_file_and_a_wrong_ending(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file .*gone.npz.*check the path after array:"):
        find(f"array:{tmp_path / 'gone.npz'}")
    with pytest.raises(UserError, match=r"array:a.txt must name a .npy, .npz or .csv file"):
        find("array:a.txt")


def test_pickled_objects_and_broken_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * 60, dtype=object), allow_pickle=True)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 this is no archive")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.npz").write_bytes(b"text")
    for name, message in (
        ("objects.npy", "holds Python objects or records, which are never loaded"),
        ("broken.npz", "is no zip, or its end is missing; copy or make it again"),
        ("empty.npy", "is no readable .npy file; save it again"),
        ("text.npz", "is no zip, or its end is missing"),
    ):
        with pytest.raises(UserError, match=rf"{name} {message}"):
            find(f"array:{tmp_path / name}")


def test_no_changed_byte_of_an_npz_escapes_as_another_error(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=X)
    content, read = (tmp_path / "a.npz").read_bytes(), 0
    for at in range(0, len(content), 5):
        (tmp_path / "b.npz").write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            rows, labels = read_numpy(tmp_path / "b.npz")
        except UserError:
            continue
        np.testing.assert_array_equal(rows, X)
        assert labels is None
        read += 1
    assert 0 < read < len(content) / 20  # bytes of dates and the like, which nobody reads


def test_files_are_read_by_their_content(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, labels=np.arange(60))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", X)
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    rows, labels = read_numpy(tmp_path / "a.npy")
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(labels, np.arange(60))
    rows, labels = read_numpy(tmp_path / "b.npz")
    np.testing.assert_array_equal(rows, X)
    assert labels is None
    assert rows.flags.writeable


def test_more_than_memory_takes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "a.npz", x=X)
    monkeypatch.setattr("uncollapse.data.npz_files.MOST_BYTES", 100)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UserError, match=rf"{name} has .* of numbers, more than the 100 B that are read"):
            read_numpy(tmp_path / name)


def test_an_npz_without_rows(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=X)
    with pytest.raises(UserError, match="holds data; name the rows one of features, x, images, samples"):
        find(f"array:{tmp_path / 'a.npz'}")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1,2", "1,2,3"], r"equally many cells, not \[2, 3\]"),
        (["a,b"], "holds titles and no rows; give at least one line of numbers below them"),
        ([""], "a.csv is empty; give lines of numbers with commas between them"),
        (["a;b", "1;2"], "has ';' between its cells; save it with commas between them, and with decimal points"),
        (["1;2"] * 60, "has ';' between its cells"),
        (["a;b", "1,5;2,5"], "has ';' between its cells"),
        (["a\tb", "1\t2"], "has tabs between its cells"),
        (["a,b", "1,2", "1,two"], "has 'two' in line 3, column 2, where a number is wanted"),
        (["1,2"] * 10, "has 10 rows, too few"),
        (["1,2"] * 59 + ["1,nan"], "NaN or infinity in 1 of 60 rows"),
    ],
)
def test_csv_refusals(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find(write_csv(tmp_path / "a.csv", lines))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("head", ["", "Unnamed: 0", "Unnamed: 0.1"])
def test_a_column_that_only_numbers_the_rows_is_no_feature(tmp_path: Path, head: str, first: int) -> None:
    lines = [f"{number},{a},{b}" for number, (a, b) in enumerate(X, start=first)]
    task = find(write_csv(tmp_path / "a.csv", [f"{head},a,b", *lines]))
    np.testing.assert_allclose(task.x, X, atol=1e-6)
    titled = find(write_csv(tmp_path / "titled.csv", ["age,a,b", *lines]))
    np.testing.assert_allclose(np.asarray(titled.x)[:, 0], np.arange(first, 60 + first))


def test_an_index_of_an_index_and_an_untitled_column_of_something_else(tmp_path: Path) -> None:
    twice = [f"{number},{number}.0,{a},{b}" for number, (a, b) in enumerate(X)]
    table = read_table(Path(write_csv(tmp_path / "a.csv", [",Unnamed: 0,a,b", *twice]).removeprefix("array:")))
    np.testing.assert_array_equal(table.rows, X)
    assert (table.heads, table.numbering) == (("a", "b"), ("", "unnamed: 0"))
    message = r"has a first column headed '', as pandas heads an index, which does not number the rows 0, 1, 2"
    for values in (range(60, 0, -1), range(2, 62), [f"row {number}" for number in range(60)], [""] * 60):
        rows = [f"{value},{a},{b}" for value, (a, b) in zip(values, X, strict=True)]
        with pytest.raises(UserError, match=message):
            find(write_csv(tmp_path / "a.csv", [",a,b", *rows]))
    labelled = read_table(Path(write_csv(tmp_path / "b.csv", [",a", "y,1", "z,2"]).removeprefix("array:")), "")
    assert (labelled.labels, labelled.rows.tolist()) == (["y", "z"], [[1], [2]])


def test_an_unknown_option_is_refused_before_reading() -> None:
    with pytest.raises(UserError, match="no task option 'cluster'; did you mean 'clusters'"):
        find("array:gone.npz", cluster=3)


def test_other_encodings_and_broken_tables_are_one_sentence(tmp_path: Path) -> None:
    rows = [f"{a},{b},café" for a, b in X]
    text = "\n".join(["a,b,name", *rows])
    for encoding in ("utf-8", "latin-1"):
        (tmp_path / f"{encoding}.csv").write_text(text.replace("name", "label"), encoding=encoding)
    with pytest.raises(UserError, match=r"latin-1\.csv is not text in UTF-8; save it again as CSV in UTF-8\."):
        find(f"array:{tmp_path / 'latin-1.csv'}")
    with pytest.raises(UserError, match="need at least 2 values"):  # read as text, and judged by its content
        find(f"array:{tmp_path / 'utf-8.csv'}")
    with pytest.raises(UserError, match=r"cannot be read as a table \(field larger than field limit"):
        find(write_csv(tmp_path / "wide.csv", ["1," + "2" * 200_000]))
