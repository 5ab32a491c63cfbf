"""Files in a directory that somebody else is writing: regular ones only, links are not followed, sizes are capped.

The lowest layer of the live page; `Document` is a small JSON file that is read again only when it has changed.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from uncollapse.data.limits import MEGA
from uncollapse.text import clean

MOST_BYTES = 64 * MEGA  # of one JSON document: a thousand modes of a thousand seeds stay far below
LONGEST_TEXT = 400
# Our files never hold NaN or Infinity; those of others become None, because a browser knows neither.
DECODER = json.JSONDecoder(parse_constant=lambda _: None)


def open_regular(path: Path) -> BinaryIO | None:
    """The file opened for reading; None when it is missing, unreadable, a link, a folder or a pipe."""
    try:
        # Without O_NONBLOCK the mere opening of a named pipe would wait for its writer.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # the latter for a name that no file can have
        return None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        return None
    return os.fdopen(number, "rb")


def parse(text: bytes) -> dict[str, Any] | None:
    """A JSON object, None where there is none; what JSON does not know (NaN, Infinity) becomes None."""
    try:
        found = DECODER.decode(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def modified(path: Path) -> float | None:
    """When a file or folder was last written, in seconds of the file system's clock; None when it is not there."""
    try:
        return path.lstat().st_mtime
    except (OSError, ValueError):  # as above
        return None


def whole(value: object) -> int | None:
    """A count from a file: a whole number from 0 that JavaScript can hold, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**53 and value == int(value) else None


def number(value: object) -> float | None:
    """A number from a file to four digits, None for what is not finite or no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or value != value:
        return None
    return float(f"{float(value):.4g}")


def text(value: object, most: int = LONGEST_TEXT) -> str:
    """A text from a file: one line, without control characters, not endless."""
    shown = clean(" ".join(str(value)[: 4 * most].split()))
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def at(document: object, *path: str) -> Any:
    """What lies at a path of keys in a JSON value, None where there is no such place."""
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def items(document: object, *path: str) -> list[Any]:
    """The list at a path of keys, empty where there is none."""
    found = at(document, *path)
    return found if isinstance(found, list) else []


class Document:
    """A JSON object in a file, read again when the file has changed; atomic writers make half ones impossible.

    Attributes:
        content: The object, None while the file is missing, damaged or too large.
    """

    def __init__(self, path: Path) -> None:
        """Reads nothing yet."""
        self.path = path
        self.content: dict[str, Any] | None = None
        self._stamp: tuple[int, int, int] | None = None

    def refresh(self) -> bool:
        """Looks at the file; returns whether the content may have changed."""
        stream = open_regular(self.path)
        if stream is None:
            changed = self.content is not None
            self.content, self._stamp = None, None
            return changed
        with stream:
            status = os.fstat(stream.fileno())
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            self.content = parse(stream.read()) if status.st_size <= MOST_BYTES else None
        return True
