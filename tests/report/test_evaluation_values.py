from __future__ import annotations

from typing import Any

import pytest

from uncollapse.report.evaluation_values import Damaged, Node, shortened


def node(**content: Any) -> Node:
    return Node(content=content, place="top")


def test_what_is_missing_or_null_is_empty() -> None:
    empty = node(gone=None)
    for key in ("gone", "absent"):
        assert (empty.text(key), empty.number(key), empty.count(key), empty.yes(key)) == ("", None, None, False)
        assert (empty.node(key), empty.nodes(key), empty.texts(key), empty.tally(key)) == (None, (), (), {})
        assert empty.members(key) == {}


def test_values_keep_their_type() -> None:
    full = node(a="x", b=2.5, c=3, d=True, e=[1, "y"], f={"k": 4}, g=[{"a": 1}, None, {"a": 2}], h=[[{"a": 5}], []])
    assert (full.text("a"), full.text("c"), full.number("b"), full.count("c"), full.yes("d")) == (
        "x",
        "3",
        2.5,
        3,
        True,
    )
    assert full.texts("e") == ("1", "y")
    assert full.tally("f") == {"k": 4}
    assert [inner.count("a") for inner in full.nodes("g")] == [1, 2]
    assert [[inner.count("a") for inner in row] for row in full.lists("h")] == [[5], []]
    pairs = node(k=[["a", 3], []]).pairs("k")
    assert [(pair.text("[0]"), pair.count("[1]")) for pair in pairs] == [("a", 3), ("", None)]
    with pytest.raises(Damaged, match=r"top.k\[1\]\[0\] should be a text"):
        node(k=[["a"], [[]]]).pairs("k")[1].text("[0]")


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("text", True, "top.k should be a text but is 'True'"),
        ("text", [1], "top.k should be a text"),
        ("number", "1", "top.k should be a finite number but is '1'"),
        ("number", float("inf"), "top.k should be a finite number"),
        ("number", False, "top.k should be a finite number"),
        ("count", 1.5, "top.k should be a whole number of at least 0 but is '1.5'"),
        ("count", -1, "top.k should be a whole number"),
        ("yes", 1, "top.k should be true or false"),
        ("node", [], "top.k should be an object"),
        ("nodes", {}, "top.k should be a list"),
        ("nodes", [{}, 3], r"top.k\[1\] should be an object but is '3'"),
        ("texts", ["a", {}], r"top.k\[1\] should be a text"),
        ("counts", [1, "a"], r"top.k\[1\] should be a finite number"),
        ("tally", {"a": "b"}, "top.k.a should be a finite number"),
        ("members", {"a": 1}, "top.k.a should be an object"),
        ("lists", [[1]], r"top.k\[0\]\[0\] should be an object"),
    ],
)
def test_a_wrong_type_is_named_with_its_place(method: str, value: object, message: str) -> None:
    with pytest.raises(Damaged, match=message):
        getattr(node(k=value), method)("k")


def test_texts_lose_control_characters_and_their_middle() -> None:
    text = node(k="a\x1b[31m\u202eb\ud800" + "c" * 500).text("k")
    assert text.startswith("a[31mbccc")
    assert len(text) == 120
    assert "…" in text
    assert node(k={"\x1b" + "n" * 500: 1}).tally("k") == {shortened("n" * 500, 120): 1}


def test_only_long_texts_are_shortened() -> None:
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abcdef…ijk"
