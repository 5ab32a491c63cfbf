"""Tables in memory: titles, types of columns, labels; a stand-in shows what pandas shows of itself."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.making import Table, features, opened

from uncollapse.data.arrays import MOVED
from uncollapse.data.frames import as_frame, open_frame, without_frame
from uncollapse.data.labels import UNLABELLED
from uncollapse.data.opening import open_source
from uncollapse.data.tables import LEFT_OUT, NUMBERING
from uncollapse.errors import UserError
from uncollapse.evaluation.checks import check_label_column
from uncollapse.evaluation.sides import Reading

NOTHING = type("NAType", (), {})()  # as pandas writes it


def objects(*values: object) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def labels_of(source: Any) -> tuple[str, ...] | None:
    return next(source.chunks(10)).labels


def test_columns_are_matched_by_their_titles(tmp_path: Path) -> None:
    real = opened(Table({"height": [1, 4], "weight": [2, 5]}))
    fake = Reading().open(Table({"Weight": [2, 5], "height ": [1, 4]}), "fake", like=real)
    np.testing.assert_array_equal(features(fake), [[1, 2], [4, 5]])
    assert (fake.form, dict(fake.notes.policies)) == ("table in memory", {MOVED: 2})
    labelled = Reading().open((Table({"weight": [2, 5], "height": [1, 4]}), ["a", "b"]), "fake", like=real)
    np.testing.assert_array_equal(features(labelled), [[1, 2], [4, 5]])
    assert labels_of(labelled) == ("a", "b")
    with pytest.raises(
        UserError, match=r"'age' only in fake .* and 'height' only in real .*; name them alike, or give"
    ):
        Reading().open(Table({"weight": [2], "age": [1]}), "fake", like=real)
    (tmp_path / "fake.csv").write_text("weight,height\n2,1\n")
    np.testing.assert_array_equal(features(Reading().open(tmp_path / "fake.csv", "fake", like=real)), [[1, 2]])


def test_a_column_of_labels_is_no_feature() -> None:
    mixed = Table({"weight": [2, 5], "Label": objects("b", None), "height": [1, 4], "prompt": ["dog", "cat"]})
    with pytest.raises(UserError, match=r"real \(Table.*\) has 'dog' in column 'prompt', where numbers are wanted"):
        opened(mixed)
    source = opened(mixed, label_column="Prompt")
    np.testing.assert_array_equal(features(source), [[2, 1], [5, 4]])
    assert (source.heads, labels_of(source)) == (("weight", "height"), ("dog", "cat"))
    assert dict(source.notes.policies) == {LEFT_OUT.format("label"): 1}
    # Numbers as titles are places, but a column of labels is one.
    numbered = opened(Table({0: [2, 5], 1: [1, 4], "label": [3, 4]}))
    assert (features(numbered).tolist(), numbered.heads, labels_of(numbered)) == ([[2, 1], [5, 4]], None, ("3", "4"))
    with pytest.raises(UserError, match="has no column headed 'kind'; its heads are weight, labels"):
        opened(Table({"weight": [2], "labels": [3]}), label_column="kind")
    with pytest.raises(UserError, match="label_column must be the title of a column, a text, not 0"):
        opened(Table({"weight": [2], "labels": [3]}), label_column=0)
    with pytest.raises(UserError, match="holds no numbers beside its labels"):
        opened(Table({"label": [2]}))


def test_an_index_that_was_read_again_is_no_feature() -> None:
    source = opened(Table({"Unnamed: 0": [0, 1], "weight": [2, 5], "label": ["a", "b"]}))
    assert (features(source).tolist(), source.heads, labels_of(source)) == ([[2], [5]], ("weight",), ("a", "b"))
    assert dict(source.notes.policies) == {NUMBERING.format("unnamed: 0"): 1}
    assert features(opened(Table({"count": [0, 1], "weight": [2, 5]}))).tolist() == [[0, 2], [1, 5]]
    with pytest.raises(UserError, match=r"first column headed 'unnamed: 0', .* which does not number the rows"):
        opened(Table({"Unnamed: 0": [1, 0], "weight": [2, 5]}))
    with pytest.raises(UserError, match="holds no numbers beside its labels"):
        opened(Table({"Unnamed: 0": [0, 1]}))


def test_labels_keep_what_they_are() -> None:
    large = [2**53, 2**53 + 1]
    assert labels_of(opened(Table({"x": [0.5, 1], "label": large}))) == tuple(map(str, large))
    short = np.array([0.1, 2], dtype=np.float32)
    assert labels_of(opened(Table({"x": [0.5, 1], "label": short}))) == ("0.1", "2")
    missing = Table({"x": [1, 2, 3], "label": objects("a", NOTHING, None)})
    assert labels_of(opened(missing)) == ("a", UNLABELLED, UNLABELLED)
    # Labels from outside stand in for a column that holds none.
    lists = Table({"x": [1, 2], "label": objects([1], [2])})
    assert labels_of(opened(lists, labels=["p", "q"])) == ("p", "q")
    with pytest.raises(UserError, match="has a list among its labels"):
        opened(lists)


def test_numbers_of_all_types_come_as_they_are() -> None:
    rows = objects(1, NOTHING, Decimal("2.5"), True, None)
    found = open_frame(as_frame(Table({"a": rows, "b": np.arange(5, dtype=np.float32)})), "real")
    np.testing.assert_array_equal(found.rows, [[1, 0], [np.nan, 1], [2.5, 2], [1, 3], [np.nan, 4]])
    table = Table({"a": np.ones(3, np.float32), "b": np.zeros(3, np.float32), "label": ["x", "y", "z"]})
    assert open_frame(as_frame(table), "real").rows.dtype == np.float32
    twice = open_frame(as_frame(Table([("a", [1, 2]), ("a", [3, 4]), ("label", [5, 6])])), "real")
    assert (twice.rows.tolist(), twice.heads) == ([[1, 3], [2, 4]], ("a", "a"))


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (objects("1", "x"), r"has '1' in column 'b'"),
        (np.ones((2, 3)), "has several numbers a row in column 'b'"),
        (objects([1.0], [2.0]), r"has \[1.0\] in column 'b'"),
        (np.array([1, 2], dtype=complex), "has type complex128 in column 'b'"),
        (np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"), r"has type datetime64\[D\] in column 'b'"),
        (objects(10**400, 1), "has a number beyond computing in column 'b'"),
        (objects(Decimal("sNaN"), 1), "has a number beyond computing in column 'b'"),
    ],
)
def test_what_is_no_number_is_refused_by_its_column(column: np.ndarray, told: str) -> None:
    with pytest.raises(
        UserError, match=f"{told}, where numbers are wanted; turn the column into numbers or leave it out"
    ):
        opened(Table({"a": [1, 2], "b": column}))


def test_a_frame_that_numpy_cannot_read_is_told_in_a_sentence() -> None:
    class Far(Table):
        def __getitem__(self, at: tuple[slice, int]) -> np.ndarray:
            raise TypeError("lies on a GPU")

    with pytest.raises(UserError, match=r"has a column 'a' that NumPy cannot read .*lies on a GPU"):
        opened(Far({"a": [1, 2]}))
    long = Table({f"column \x1b[31m {number}": [1.0] for number in range(2_000)})
    with pytest.raises(UserError) as error:
        opened(long, label_column="kind")
    assert len(str(error.value)) < 500
    assert "\x1b" not in str(error.value)


def test_what_only_looks_like_a_frame_is_read_as_before() -> None:
    class Array(np.ndarray):
        columns: Any = None

    x = np.ones((3, 2)).view(Array)
    for columns in (None, 2, lambda: ["a", "b"], ["a"]):
        x.columns = columns
        assert as_frame(x) is None
        assert opened(x).form == "array"
    assert as_frame([[1, 2]]) is None


class Polars:
    """What a DataFrame of polars shows of itself; a column with nothing in it is floats to NumPy."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._lists = columns
        self.columns, self.shape = list(columns), (len(next(iter(columns.values()))), len(columns))

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.stack([np.array(values, dtype=float) for values in self._lists.values()], axis=1)

    def to_series(self, place: int) -> Any:
        values = list(self._lists.values())[place]

        class Series:
            def to_list(self) -> list[Any]:
                return values

            def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
                return np.array(values, dtype=float)

        return Series()


class Arrow(Polars):
    """What a table of pyarrow shows of itself: `columns` are its columns, not their titles."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        super().__init__(columns)
        self.column_names, self.columns = self.columns, list(columns.values())

    def __getattribute__(self, name: str) -> Any:
        if name == "to_series":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def column(self, place: int) -> Any:
        series = Polars.to_series(self, place)
        series.to_pylist = series.to_list
        return series


@pytest.mark.parametrize("kind", [Polars, Arrow])
def test_labels_of_whole_numbers_beside_nothing_are_not_rounded(kind: type[Polars]) -> None:
    source = opened(kind({"x": [1.5, 2.5, 3.5], "label": [2**53, 2**53 + 1, None]}))
    assert (features(source).tolist(), source.heads) == ([[1.5], [2.5], [3.5]], ("x",))
    assert labels_of(source) == (str(2**53), str(2**53 + 1), UNLABELLED)
    plain = opened(kind({"x": [1.5, 2.5], "y": [1.0, 2.0]}))
    assert (features(plain).tolist(), plain.heads) == ([[1.5, 1.0], [2.5, 2.0]], ("x", "y"))


def test_an_array_with_titles_is_a_frame() -> None:
    class Titled(np.ndarray):
        columns: Any = None

    x = np.array([[1.0, 7.0, 2.0], [4.0, 8.0, 5.0]]).view(Titled)
    x.columns = ["a", "label", "b"]
    source = opened(x)
    assert (features(source).tolist(), source.heads, labels_of(source)) == ([[1, 2], [4, 5]], ("a", "b"), ("7", "8"))


def test_titles_of_several_levels_are_titles() -> None:
    real = opened(Table([(("x", "a"), [1, 2]), (("x", "b"), [3, 4]), (("label", ""), [5, 6])]))
    assert (real.heads, labels_of(real)) == (("x a", "x b"), ("5", "6"))
    fake = Reading().open(Table([(("x", "b"), [3, 4]), (("x", "a"), [1, 2])]), "fake", like=real)
    np.testing.assert_array_equal(features(fake), [[1, 3], [2, 4]])


def test_functions_that_draw_frames_follow_the_rules_of_frames() -> None:
    def draw(n: int) -> Table:
        return Table({"x": np.arange(n), "label": [1] * n, "kind": ["a"] * n})

    source = open_source(draw, side="fake", n=5, label_column="kind")
    assert (source.form, labels_of(source)) == ("generator of tables", ("a",) * 5)
    assert source.notes.policies[LEFT_OUT.format("label")] == 1
    check_label_column("kind", {"real": source, "fake": source})
    lists = open_source(
        lambda n: Table({"x": np.arange(n), "label": objects(*[[1]] * n)}), side="fake", n=5, labels=range(5)
    )
    assert labels_of(lists) == tuple("01234")
    calls = iter([Table({0: np.arange(500)}), np.zeros((100, 1))])
    with pytest.raises(UserError, match="draws other columns than before"):
        features(open_source(lambda n: next(calls), side="fake", n=600))


def test_functions_may_draw_frames() -> None:
    def draw(n: int, turned: bool = False, later: str = "height") -> Table:
        draw.calls += 1
        columns = {
            "height" if draw.calls == 1 else later: draw.calls + np.arange(n),
            "weight": np.ones(n),
            "label": ["a"] * n,
        }
        return Table(dict(reversed(columns.items())) if turned else columns)

    draw.calls = 0
    real = opened(Table({"height": [1, 4], "weight": [2, 5]}))
    source = Reading(n=700).open(lambda n: draw(n), "fake", like=real)
    assert (source.heads, labels_of(source), features(source).shape) == (("height", "weight"), ("a",) * 10, (700, 2))
    assert draw.calls == 2
    with pytest.raises(
        UserError, match=r"draws its columns in another order .* \('height', 'weight'\); draw them in that"
    ):
        Reading(n=5).open(lambda n: draw(n, turned=True), "fake", like=real)
    draw.calls = 0
    with pytest.raises(UserError, match="draws other columns than before"):
        features(Reading(n=700).open(lambda n: draw(n, later="age"), "fake", like=real))


def test_a_frame_is_replaced_by_its_numbers_and_labels() -> None:
    table = Table({"a": [1, 2], "label": ["x", "y"]})
    rows, labels = without_frame(table, None, "reference")
    assert (rows.tolist(), labels) == ([[1], [2]], ["x", "y"])
    assert without_frame(table, [3, 4], "reference")[1] == [3, 4]
    assert without_frame(rows, None, "reference") == (rows, None)
