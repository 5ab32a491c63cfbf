"""Trees of tensors: None stays None, dotted paths and back."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from uncollapse.trees import flatten, restored, tree_leaves, tree_map


class Inner(NamedTuple):
    weight: Tensor
    counts: dict[str, Tensor]


class Outer(NamedTuple):
    left: Inner
    right: Inner
    step: Tensor


class Wish(NamedTuple):
    wanted: Tensor | None
    other: Tensor | None


def outer(scale: float = 1.0) -> Outer:
    def inner(shift: float) -> Inner:
        return Inner(torch.full((2, 3), scale + shift), {"b.c": torch.tensor([1, 2]), "a": torch.tensor([scale])})

    return Outer(inner(0.0), inner(1.0), torch.tensor(5.0, dtype=torch.float64))


def test_tree_map_keeps_none_and_the_shape_of_the_tree() -> None:
    tree = {"x": Wish(torch.tensor(2.0), None), "y": (torch.tensor(3.0), [torch.tensor(4.0)])}
    found = tree_map(lambda leaf: leaf * 10, tree)
    assert found == {"x": Wish(torch.tensor(20.0), None), "y": (torch.tensor(30.0), [torch.tensor(40.0)])}
    assert tree["y"][0] == 3


def test_tree_map_pairs_trees_by_name() -> None:
    first, second = {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, {"b": torch.tensor(20.0), "a": torch.tensor(10.0)}
    assert tree_map(lambda one, other: one + other, first, second) == {"a": torch.tensor(11.0), "b": torch.tensor(22.0)}
    one, other = Wish(torch.tensor(1.0), None), Wish(torch.tensor(2.0), None)
    assert tree_map(lambda *leaves: sum(leaves), one, other) == Wish(torch.tensor(3.0), None)


def test_tree_map_refuses_other_shapes() -> None:
    one = torch.tensor(1.0)
    with pytest.raises(KeyError, match="a"):
        tree_map(lambda leaf, other: leaf, {"a": one}, {"b": one})
    with pytest.raises(ValueError, match=r"argument 2 is (shorter|longer)"):
        tree_map(lambda leaf, other: leaf, (one, one), (one,))


def test_leaves_come_in_order_without_none() -> None:
    one, two, three, four = torch.arange(4.0)
    found = tree_leaves((one, {"b": two, "a": None}, Wish(three, None), [four]))
    assert [int(leaf) for leaf in found] == [0, 1, 2, 3]
    assert found[0] is one
    assert tree_leaves({"a": None}) == []


def test_flatten_gives_dotted_paths() -> None:
    flat = flatten(outer())
    assert sorted(flat) == [
        "left.counts.a",
        "left.counts.b.c",
        "left.weight",
        "right.counts.a",
        "right.counts.b.c",
        "right.weight",
        "step",
    ]
    assert flat["right.weight"].tolist() == [[2.0, 2.0, 2.0]] * 2
    assert flatten({"a": torch.tensor(1.0)}, "under") == {"under.a": torch.tensor(1.0)}
    assert flatten({}) == {}


def test_restored_is_the_inverse_whatever_the_order() -> None:
    saved = flatten(outer(3.0))
    found = restored(outer(0.0), dict(sorted(saved.items(), reverse=True)))
    assert isinstance(found, Outer)
    assert isinstance(found.left, Inner)
    again = flatten(found)
    assert list(again) == list(saved)
    assert all(torch.equal(again[path], saved[path]) and again[path].dtype == saved[path].dtype for path in saved)


def test_restored_takes_the_type_of_the_tree() -> None:
    found = restored({"a": torch.zeros(2)}, {"a": torch.tensor([1.5, 2.5], dtype=torch.float64)})
    assert found["a"].dtype == torch.float32
    assert found["a"].tolist() == [1.5, 2.5]


def test_restored_refuses_what_is_missing_or_misshapen() -> None:
    with pytest.raises(KeyError, match=r"left\.weight"):
        restored(outer(), {path: leaf for path, leaf in flatten(outer()).items() if path != "left.weight"})
    with pytest.raises(ValueError, match=r"^step has shape \(2,\), expected \(\)$"):
        restored(outer(), {**flatten(outer()), "step": torch.zeros(2)})
