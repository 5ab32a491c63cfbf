"""Functions over nested tuples and dicts of tensors, in which None stands for what a method does not need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor


def tree_map(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """The tree of `function(leaf, ...)` over trees of one structure; None stays None.

    Written out because it runs several times in every update, and torch's general one costs more than the arithmetic.
    """
    if first is None:
        return None
    if isinstance(first, Tensor):
        return function(first, *others)
    if isinstance(first, dict):
        return {name: tree_map(function, inner, *(other[name] for other in others)) for name, inner in first.items()}
    inner = [tree_map(function, *items) for items in zip(first, *others, strict=True)]
    return type(first)(*inner) if hasattr(first, "_fields") else type(first)(inner)


def tree_leaves(tree: Any) -> list[Tensor]:
    """The tensors of a tree, in order."""
    found: list[Tensor] = []
    tree_map(found.append, tree)
    return found


def rebuilt(like: Any, tensors: Iterable[Tensor]) -> Any:
    """A tree shaped like another, filled in the order of `tree_leaves`."""
    supply = iter(tensors)
    return tree_map(lambda _: next(supply), like)


def flatten(tree: Any, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a tree by dotted path: field names of named tuples, keys of dicts."""
    if isinstance(tree, Tensor):
        return {prefix: tree}
    items = tree.items() if isinstance(tree, dict) else zip(tree._fields, tree, strict=True)
    return {
        path: leaf
        for name, inner in items
        for path, leaf in flatten(inner, f"{prefix}.{name}" if prefix else name).items()
    }


def restored(like: Any, tensors: Mapping[str, Tensor], prefix: str = "") -> Any:
    """A tree shaped like another, filled from dotted paths, on the devices and in the types of the other.

    Raises:
        KeyError: A path is missing.
        ValueError: A tensor has another shape.
    """
    if isinstance(like, Tensor):
        value = tensors[prefix]
        if value.shape != like.shape:
            raise ValueError(f"{prefix} has shape {tuple(value.shape)}, expected {tuple(like.shape)}")
        return value.to(like.device, like.dtype)
    dotted = {
        name: f"{prefix}.{name}" if prefix else name for name in (like if isinstance(like, dict) else like._fields)
    }
    if isinstance(like, dict):
        return {name: restored(inner, tensors, dotted[name]) for name, inner in like.items()}
    return type(like)(*(restored(getattr(like, name), tensors, path) for name, path in dotted.items()))
