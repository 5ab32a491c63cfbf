"""The numbers of a part by dotted path: which there are, and a part with one of them replaced."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

from uncollapse.errors import UserError
from uncollapse.parts.kinds import annotated
from uncollapse.parts.registry import from_json
from uncollapse.parts.scene import Part


class NoSetting(Exception):
    """There is nothing at a path; who knows all paths says which there are."""


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every number below a part or a tuple of parts."""
    inner: Sequence[tuple[str, Any]]
    if isinstance(value, Part):
        inner = [(item.name, getattr(value, item.name)) for item in fields(value)]  # type: ignore[arg-type]
    elif isinstance(value, tuple) and all(isinstance(item, Part) for item in value):
        inner = [(str(position), item) for position, item in enumerate(value)]
    else:
        yield prefix, value
        return
    for name, item in inner:
        yield from leaves(item, f"{prefix}.{name}" if prefix else name)


def changed(value: Any, path: list[str], new: Any, whole: str) -> Any:
    """`value` with what stands at `path` replaced.

    Args:
        value: A part or a tuple of parts.
        path: What is left of the dotted path.
        new: What is to stand there.
        whole: The whole path, for errors.

    Raises:
        NoSetting: There is nothing.
        UserError: `new` is not of the kind that stands there.
    """
    head, *rest = path
    if isinstance(value, tuple) and head.isdigit() and int(head) < len(value):
        items = list(value)
        if not rest and isinstance(items[int(head)], Part):
            raise UserError(f"{whole} is a part, not a number; set one of its own numbers, or use .but() in Python.")
        items[int(head)] = changed(items[int(head)], rest, new, whole) if rest else new
        return tuple(items)
    names = [item.name for item in fields(value)] if isinstance(value, Part) else []  # type: ignore[arg-type]
    if head not in names:
        raise NoSetting
    old, made = getattr(value, head), cast(type, type(value))
    there = changed(old, rest, new, whole) if rest else _checked(new, annotated(made).get(head), old, whole)
    return replace(value, **{head: there})


def _checked(new: Any, hint: Any, old: Any, path: str) -> Any:
    """A new value of the kind that stood there: numbers for numbers, lists for tuples."""
    if isinstance(old, Part):
        return _other_part(new, hint, path)
    if hint is float and isinstance(new, int) and not isinstance(new, bool):
        return float(new)
    if isinstance(old, tuple) and isinstance(new, list):
        new = tuple(new)
    if isinstance(old, int) and not isinstance(old, bool) and isinstance(new, float) and new.is_integer():
        new = int(new)
    if type(new) is not type(old):
        kind = {"int": "a whole number", "float": "a number", "tuple": "a list of numbers", "bool": "true or false"}
        wanted = kind.get(type(old).__name__, "text")
        raise UserError(f"{path} = {new!r} is not of the right kind; give {wanted}, as {_plain(old)!r} is now.")
    if isinstance(new, float) and not math.isfinite(new):
        raise UserError(f"{path} = {new} is not a finite number; choose one, as {old!r} is now.")
    return new


def _other_part(new: Any, contract: Any, path: str) -> Part:
    """A part, or the one that ``{"part": "Cosine", "final": 0.1}`` describes, of the kind that stood there."""
    if not isinstance(new, Mapping | Part):
        raise UserError(
            f"{path} is a part, not a number; set one of its own numbers, or give a part as"
            ' {part = "Cosine", final = 0.1}.'
        )
    made: Part = from_json(new) if isinstance(new, Mapping) else new
    fits: bool = isinstance(made, contract)
    if not fits:
        raise UserError(f"{path} takes a {contract.__name__}, and {type(made).__name__} is none.")
    return made


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
