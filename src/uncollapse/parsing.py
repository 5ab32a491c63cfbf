"""JSON and TOML whoever wrote them: up to a size and a depth, and whatever is wrong with them is a `ValueError`.

Below `documents.py`, `files.py`, `checkpoint.py` and the plans, so that none of their files can exhaust memory, time,
or the stack of whoever parses or prints what is nested without end.
"""

from __future__ import annotations

import json
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uncollapse.text import size

MOST_BYTES = 256 * 10**6  # 256 seeds with 10,000 modes take half of it
MOST_LINE_BYTES = 64 * 10**6  # of a file of lines, which may itself be of any length
MOST_PLAN_BYTES = 4 * 10**6  # five cells with 100,000 seeds each, every one written out
MOST_DEPTH = 100  # ours have ten levels
# The parser of TOML takes the square of the parts of a dotted key, and those of a title again for each key below it.
MOST_DOTS, MOST_DOTS_SQUARED = 100, 10**6  # in a title, and of all lines together, in which texts have some, too


class Beyond(ValueError):
    """A document is larger or deeper than is read; the message follows its name."""


def read_json(path: Path, *, most: int = MOST_BYTES, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """What a JSON file holds.

    Args:
        path: The file.
        most: Bytes that it may have.
        parse_constant: As for `parse_json`.

    Raises:
        Beyond: It is too large or too deep, or no regular file.
        ValueError: It is no JSON in UTF-8.
        OSError: It cannot be read.
    """
    return parse_json(read_bytes(path, most), parse_constant=parse_constant)


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        Beyond: It has more, or is a pipe or a device.
        OSError: It cannot be read.
    """
    check_size(regular_size(path), most)
    return path.read_bytes()


def regular_size(path: Path) -> int:
    """The bytes of a file, which is looked at before it is opened, as opening a named pipe would wait for its writer.

    Raises:
        Beyond: It is a pipe or a device.
        OSError: It is not there, or may not be looked at.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise Beyond("is no regular file")
    return status.st_size


def check_size(count: int, most: int) -> None:
    """Refuses a document of more bytes than are read.

    Raises:
        Beyond: It has more.
    """
    if count > most:
        raise Beyond(f"has {size(count)}, more than the {size(most)} that are read")


def parse_json(content: bytes, *, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """What JSON in UTF-8 says.

    Args:
        content: The document.
        parse_constant: What NaN, Infinity and -Infinity stand for; None: the numbers.

    Raises:
        Beyond: It is too deep.
        ValueError: It is none.
    """
    text = content.decode("utf-8")
    try:
        found = json.loads(text, parse_constant=parse_constant)
    except RecursionError as error:
        raise _too_deep() from error
    if text.count("[") + text.count("{") > MOST_DEPTH:  # without so many there is no need to look
        _check_depth(found)
    return found


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML document says.

    Raises:
        Beyond: It is too large or too deep.
        ValueError: It is none, or holds whole numbers that TOML does not know.
    """
    check_size(len(text), MOST_PLAN_BYTES)
    lines = text.splitlines()
    titles = max((line.count(".") for line in lines if line.lstrip().startswith("[")), default=0)
    if titles > MOST_DOTS or sum(line.count(".") ** 2 for line in lines) > MOST_DOTS_SQUARED:
        raise Beyond("has too many dotted keys")
    try:
        found = tomllib.loads(text)
    except RecursionError as error:
        raise _too_deep() from error
    _check_depth(found)
    _check_integers(found)
    return found


def _check_integers(found: dict[str, Any]) -> None:
    """Refuses whole numbers of more than 64 bits, which TOML does not know, and which may fit no float and no text."""
    waiting: list[Any] = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("a whole number has more than 64 bits")
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _check_depth(found: object) -> None:
    """Refuses what whoever goes through it level by level, or prints it, cannot hold on its stack."""
    level = [found] if isinstance(found, dict | list) else []
    for _ in range(MOST_DEPTH):
        inner = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Beyond:
    return Beyond(f"is nested more than {MOST_DEPTH} levels deep")
