"""Names of places on a page, so that every section, method and row has an address: same key, same name, never twice.

A name is made of letters, digits and hyphens whatever the key holds, because keys come from files.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

LONGEST = 80
# Places whose names stand in the templates; no key may get one of them.
PLACES = frozenset({
    "answer", "table", "tuning", "sensitivity", "coverage", "claims", "density", "strip", "curves", "alarms",
    "classes", "methods", "cost", "outcomes", "warnings", "cost-of-each", "repeat", "glossary", "next", "evidence",
    "lost", "repeated", "map", "neighbours", "versus", "metrics", "inputs", "main", "numbers",
})  # fmt: skip


class Anchors:
    """The names that one page has given so far.

    Args:
        reserved: Names that are taken already.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._names: dict[tuple[str, ...], str] = {}
        self._taken = set(reserved)

    def __call__(self, *key: str) -> str:
        """The name of a place.

        >>> anchors = Anchors()
        >>> anchors("row", "WGAN <b>"), anchors("row", "wgan b"), anchors("row", "WGAN <b>")
        ('row-wgan-b', 'row-wgan-b-2', 'row-wgan-b')
        """
        if key not in self._names:
            plain = slug("-".join(slug(part) for part in key if part))
            name, count = plain, 1
            while name in self._taken:
                count += 1
                name = f"{plain}-{count}"
            self._taken.add(name)
            self._names[key] = name
        return self._names[key]


def slug(text: str) -> str:
    """Small letters, digits and single hyphens of a text; digits of its hash where none of it is left.

    >>> slug("Fréchet Distance [pixels]"), slug("データ"), slug("")
    ('frechet-distance-pixels', 'x-16773842', 'x')
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    found = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST].strip("-")
    if found or not text:
        return found or "x"
    return f"x-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"
