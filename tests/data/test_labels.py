from __future__ import annotations

import json
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch

from uncollapse.data import labels as module
from uncollapse.data.labels import LOOSE, UNLABELLED, dataset_labels, folder_labels, label_text, label_texts
from uncollapse.errors import UserError


def by_json(document: object, names: list[str], policies: Counter[str] | None = None) -> list[str] | None:
    return dataset_labels(json.dumps(document).encode(), names, "real (x)", Counter() if policies is None else policies)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (3.0, "3"),
        (2.5, "2.5"),
        (np.float32(7), "7"),
        (np.int64(-1), "-1"),
        (True, "1"),
        (np.bool_(False), "0"),
        (b" cat\n", "cat"),
        ("\x1b[31mred", "[31mred"),
        (None, UNLABELLED),
        (float("nan"), UNLABELLED),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 285 + "...e4c11e4fa542"),
        (b" " + b"x" * 301, "x" * 285 + "...e4c11e4fa542"),
    ],
)
def test_a_label_is_one_text(value: object, text: str) -> None:
    assert label_text(value) == text


@pytest.mark.parametrize("length", [280, 297, 300, 3_000, 100_000])
def test_long_labels_that_differ_at_their_end_only_stay_apart(length: int) -> None:
    start = "".join(np.random.default_rng(length).choice(list("abc"), length))
    one, other = label_text(f"{start}1"), label_text(f"{start}2")
    assert one != other
    assert one == label_text(f"{start}1 ".encode()) == label_text(one)
    assert max(len(one), len(other)) <= 300


def test_labels_of_arrays_lists_and_tensors_agree() -> None:
    wanted = ["0", "1", "2"]
    for given in (
        [0, 1, 2],
        np.arange(3.0),
        np.arange(3)[:, None],
        torch.arange(3),
        ["0", "1", "2"],
        np.array([b"0", b"1", b"2"]),
    ):
        assert label_texts(given, 3, "real") == wanted


def test_one_long_label_gives_the_others_no_room() -> None:
    tracemalloc.start()
    assert label_texts(["x" * 130_000] + ["cat", "dog"] * 5000, 10_001, "real")[1:3] == ["cat", "dog"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000 < 10_001 * 130_000


def test_labels_of_too_many_letters_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LETTERS", 10)
    assert len(label_texts(["cat", "dog", "lion"] * 99, 297, "real")) == 297  # equal labels count once
    with pytest.raises(UserError, match=r"real has different labels of more than 10 B together; give shorter or fewer"):
        label_texts(["cat", "dog", "horse"], 3, "real")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], "has 3 rows and 2 labels"),
        (np.eye(3), r"labels of shape \(3, 3\).*take argmax"),
        ([[1], [2, 3], [4]], "unequal lengths"),
        ([{}, {}, {}], "a dict among its labels"),
        (np.zeros(3, dtype=complex), "type complex128"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(given: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        label_texts(given, 3, "real")


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a.png", "b.png"], None),
        (["cat/a.png", "b.png"], None),
        (["cat/a.png", "dog/x/b.png"], ["cat", "dog"]),
        (["cat/a.png", "cat/b.png"], ["cat", "cat"]),
        (["data/train/cat/a.png", "data/train/dog/b.png"], ["cat", "dog"]),
        (["data/a.png", "data/dog/b.png"], ["data", "data"]),
        (["../../cat/a.png", "/dog/b.png", "./dog/c.png"], ["cat", "dog", "dog"]),
        ([], None),
    ],
)
def test_labels_of_folders(names: list[str], labels: list[str] | None) -> None:
    policies: Counter[str] = Counter()
    assert folder_labels(names, policies) == labels
    assert policies == ({LOOSE: 1} if names == ["cat/a.png", "b.png"] else {})


def test_dataset_json_of_stylegan() -> None:
    assert by_json({"labels": [["b.png", 1], ["a.png", 0]]}, ["a.png", "b.png"]) == ["0", "1"]
    assert by_json({"labels": {"a.png": 4}}, ["a.png"]) == ["4"]
    assert by_json([["d\\a.png", 4]], ["d/a.png"]) == ["4"]
    assert by_json({"labels": None}, ["a.png"]) is None
    assert by_json({"labels": [["a.png", 1]], "classes": ["cat", "dog"]}, ["a.png"]) == ["dog"]
    assert by_json({"labels": [["a.png", [0, 1, 0]]]}, ["a.png"]) == ["1"]


def test_the_name_of_a_class_is_made_once_however_many_images_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(module, "label_text", lambda value: (made.append(value), label_text(value))[1])
    names = [f"{place}.png" for place in range(100)]
    labels = [[name, place % 2] for place, name in enumerate(names)]
    long = "a" * 1_000
    assert by_json({"labels": labels, "classes": [long, "dog", "unused"]}, names) == [label_text(long), "dog"] * 50
    assert made == [long, "dog"]
    assert by_json({"labels": [["a.png", True]], "classes": ["cat", "dog"]}, ["a.png"]) == ["dog"]
    assert by_json({"labels": [["a.png", 2], ["b.png", -1]], "classes": ["cat"]}, ["a.png", "b.png"]) == ["2", "-1"]
    assert by_json({"labels": [["a.png", 0]], "classes": {"0": "cat"}}, ["a.png"]) == ["0"]


def test_images_that_dataset_json_does_not_name_are_counted() -> None:
    policies: Counter[str] = Counter()
    assert by_json({"labels": [["a.png", 1]]}, ["a.png", "b.png"], policies) == ["1", UNLABELLED]
    assert policies == {"image without a label in dataset.json": 1}


def test_labels_that_cannot_be_used_are_left_out_and_counted() -> None:
    for document in (
        {"labels": [["a.png", [0.2, 0.8]]]},
        {"labels": [["a.png", {"x": 1}]]},
        {"labels": [["z.png", 1]]},
    ):
        policies: Counter[str] = Counter()
        assert by_json(document, ["a.png"], policies) is None
        assert sum(policies.values()) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"3",
        b'{"x": 1}',
        b'{"labels": 3}',
        b'{"labels": [1, 2]}',
        b'{"labels": [["a"]]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_broken_dataset_json_is_one_sentence(content: bytes) -> None:
    with pytest.raises(UserError, match=r"dataset.json that is not of the form"):
        dataset_labels(content, ["a.png"], "real (x)", Counter())
