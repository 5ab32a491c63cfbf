"""Names of places on a page, so that every section, method and row has an address: same key, same name, never twice.

A name is made of letters, digits and hyphens whatever the key holds, because keys come from files.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 80


class Anchors:
    """The names that one page has given so far."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], str] = {}
        self._taken: set[str] = set()

    def __call__(self, *key: str) -> str:
        """The name of a place.

        >>> anchors = Anchors()
        >>> anchors("row", "WGAN <b>"), anchors("row", "wgan b"), anchors("row", "WGAN <b>")
        ('row-wgan-b', 'row-wgan-b-2', 'row-wgan-b')
        """
        if key not in self._names:
            plain = slug("-".join(key))
            name, count = plain, 1
            while name in self._taken:
                count += 1
                name = f"{plain}-{count}"
            self._taken.add(name)
            self._names[key] = name
        return self._names[key]


def slug(text: str) -> str:
    """Small letters, digits and single hyphens of a text; "x" where nothing is left.

    >>> slug("Fréchet Distance [pixels]"), slug("...")
    ('frechet-distance-pixels', 'x')
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST].strip("-") or "x"
