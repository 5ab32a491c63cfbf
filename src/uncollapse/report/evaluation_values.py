"""Typed access to the values of `evaluation.json`: what is missing is empty, a wrong type is named with its place.

Below `evaluation_load`. Every text leaves here without control characters and short enough not to flood a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uncollapse.text import clean

LONGEST_NAME, LONGEST_SENTENCE = 120, 2000


class Damaged(ValueError):
    """A value that cannot be what its place says; the message names place and value."""


def shortened(text: str, most: int) -> str:
    """The text with its middle left out when it is longer than `most` characters.

    >>> shortened("a-very-long-name.png", 11)
    'a-very….png'
    """
    if len(text) <= most:
        return text
    tail = (most - 1) * 2 // 5
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def named(name: object) -> str:
    """A name from a file as it may be shown."""
    return shortened(clean(name), LONGEST_NAME)


@dataclass(frozen=True, kw_only=True)
class Node:
    """One JSON object and where it stands in the file.

    Attributes:
        content: Its members.
        place: Where it stands, for example ``verdict.lost[2]``; empty for the whole file.
    """

    content: Mapping[str, Any]
    place: str = ""

    def at(self, key: str) -> str:
        """The place of a member, for messages."""
        return f"{self.place}.{key}" if self.place and not key.startswith("[") else f"{self.place}{key}"

    def _wrong(self, key: str, what: str) -> Damaged:
        found = shortened(clean(self.content.get(key)), 60)
        return Damaged(f"{self.at(key)} should be {what} but is {found!r}")

    def text(self, key: str, most: int = LONGEST_NAME) -> str:
        """A text, or a number as text; empty when it is missing or null."""
        value = self.content.get(key)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._wrong(key, "a text")
        return shortened(clean(value), most)

    def sentence(self, key: str) -> str:
        """A text that may be long."""
        return self.text(key, LONGEST_SENTENCE)

    def number(self, key: str) -> float | None:
        """A finite number; None when it is missing or null."""
        value = self.content.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._wrong(key, "a finite number")
        return float(value)

    def count(self, key: str) -> int | None:
        """A whole number of at least 0; None when it is missing or null."""
        value = self.number(key)
        if value is not None and (value < 0 or value != int(value)):
            raise self._wrong(key, "a whole number of at least 0")
        return None if value is None else int(value)

    def yes(self, key: str) -> bool:
        """A truth value; False when it is missing or null."""
        value = self.content.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return bool(value)

    def node(self, key: str) -> Node | None:
        """The object at a key; None when it is missing or null."""
        value = self.content.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return Node(content=value, place=self.at(key))

    def members(self, key: str) -> dict[str, Node]:
        """The objects within the object at a key, under their names; empty when it is missing or null."""
        inner = self.node(key)
        found = {} if inner is None else {name: inner.node(name) for name in inner.content}
        return {named(name): node for name, node in found.items() if node is not None}

    def list(self, key: str) -> list[Any]:
        """The list at a key; empty when it is missing or null."""
        value = self.content.get(key)
        if value is not None and not isinstance(value, list):
            raise self._wrong(key, "a list")
        return value or []

    def _items(self, key: str) -> Node:
        """The list at a key as an object with the members "[0]", "[1]", ..."""
        return Node(content={f"[{i}]": value for i, value in enumerate(self.list(key))}, place=self.at(key))

    def nodes(self, key: str) -> tuple[Node, ...]:
        """The list of objects at a key; null entries are left out."""
        items = self._items(key)
        return tuple(node for name in items.content if (node := items.node(name)) is not None)

    def lists(self, key: str) -> tuple[tuple[Node, ...], ...]:
        """The list of lists of objects at a key."""
        items = self._items(key)
        return tuple(items.nodes(name) for name in items.content)

    def pairs(self, key: str) -> tuple[Node, ...]:
        """The list of lists at a key, each as an object with the members "[0]", "[1]", ..."""
        items = self._items(key)
        return tuple(items._items(name) for name in items.content)

    def texts(self, key: str, most: int = LONGEST_NAME) -> tuple[str, ...]:
        """The list of texts at a key; numbers become texts."""
        items = self._items(key)
        return tuple(items.text(name, most) for name in items.content)

    def counts(self, key: str) -> tuple[int, ...]:
        """The list of whole numbers at a key."""
        items = self._items(key)
        return tuple(items.count(name) or 0 for name in items.content)

    def tally(self, key: str) -> dict[str, int]:
        """The object at a key as text -> count."""
        inner = self.node(key)
        if inner is None:
            return {}
        return {named(name): inner.count(name) or 0 for name in inner.content}
