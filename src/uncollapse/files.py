"""Writing that survives a pulled plug: whole files appear at once, and lines are appended whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from uncollapse.errors import UserError
from uncollapse.parsing import MOST_LINE_BYTES, check_size, parse_json, regular_size


def to_json(value: Any) -> str:
    """Strict JSON: a number that is not finite is an error here, never NaN in a file."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def write_atomic(path: Path, content: bytes | str | Iterable[bytes | memoryview]) -> None:
    """Writes a file so that readers see the old content or the new, never a part.

    Args:
        path: The file; its folder is made if needed.
        content: Bytes, text as UTF-8 (half characters by their numbers), or the bytes in blocks, so that a large file
            needs no copy of itself in memory.

    Raises:
        OSError: For example when the disk is full; the old file is then untouched and no half file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            # Names of files that are no valid text hold half characters; JSON reads "\udce9" back as what it was.
            content = content.encode(errors="backslashreplace") if isinstance(content, str) else content
            for block in (content,) if isinstance(content, bytes) else content:
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON document atomically, indented for people."""
    write_atomic(path, json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1) + "\n")


def append_line(path: Path, value: Any) -> int:
    """Appends one JSON line and returns the file's length in bytes afterwards."""
    line = (to_json(value) + "\n").encode(errors="backslashreplace")
    with path.open("ab+") as stream:
        length = stream.seek(0, os.SEEK_END)
        stream.seek(max(length - 1, 0))
        if stream.read(1) not in (b"", b"\n"):  # a torn last line would swallow this one
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write(line)
        stream.flush()
        return stream.tell()


def readable(path: Path) -> bool:
    """Whether a file is there that may be read; a folder that may not be entered holds none."""
    # `is_file` alone raises where the folder may not be entered.
    return os.access(path, os.R_OK) and path.is_file()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects in the lines of a file; a torn last line, as a power cut leaves it, is left out.

    Raises:
        UserError: A line before the last is damaged, or any is longer than lines are read.
    """
    if not path.exists():
        return []
    found: list[dict[str, Any]] = []
    number = 1
    try:
        regular_size(path)
        with path.open("rb") as stream:
            while (line := stream.readline(MOST_LINE_BYTES + 1)).endswith(b"\n"):
                found.append(_object(line))
                number += 1
        check_size(len(line), MOST_LINE_BYTES)
    except ValueError as error:
        raise UserError(f"Line {number} of {path} is damaged; run `uncollapse doctor {path.parent}`.") from error
    return found


def _object(line: bytes) -> dict[str, Any]:
    if not isinstance(found := parse_json(line), dict):
        raise ValueError("no object")
    return found
