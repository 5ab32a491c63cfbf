"""The files of a run that grow by lines, written whole lines at a time; and what a killed writer leaves, tidied up.

`history.jsonl` knows no clock, `timing.jsonl` holds all of them. `sitting.py` decides what is written and when.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uncollapse.checkpoint import TEMPORARY
from uncollapse.files import append_line

# A report may be built beside a run that is being trained, so its half-written file is left alone for a while.
ABANDONED_SECONDS = 3600.0


def append(path: Path, value: Any) -> None:
    """Appends one JSON line, or nothing.

    Raises:
        OSError: For example when the disk is full; the file then ends with its last whole line.
    """
    try:
        append_line(path, value)
    except OSError:
        with contextlib.suppress(OSError):  # readers leave a torn line out anyway
            _cut_to_whole_lines(path)
        raise


def settled_length(path: Path) -> int:
    """Length in bytes of a file, which is then on the disk and not only on its way.

    Raises:
        OSError: It cannot be brought there.
    """
    with path.open("ab") as stream:
        os.fsync(stream.fileno())
        return stream.tell()


def cut(path: Path, length: int) -> None:
    """Cuts a file back to a length, where there is one."""
    if path.exists():
        with path.open("rb+") as stream:
            stream.truncate(length)


def leftovers(directory: Path) -> Iterator[Path]:
    """Temporary files and folders that a killed writer left in a run's or comparison's directory.

    Only for whoever holds the directory as its only writer; everybody else would find those of a living one. Folders
    that are links lead to other places, whose files are not ours.
    """
    own = [name for name in ("checkpoints", "samples") if not (directory / name).is_symlink()]
    if "checkpoints" in own:
        yield from sorted(directory.glob(f"checkpoints/{TEMPORARY}*"))
    found = [*directory.glob(".*.tmp"), *(directory.glob("samples/.*.tmp") if "samples" in own else ())]
    for path in sorted(found):
        report = path.name.startswith(".report.html.")
        old = time.time() - path.lstat().st_mtime > ABANDONED_SECONDS
        if re.fullmatch(r"\..+\.\d+\.tmp", path.name) and (old or not report):  # as `write_atomic` calls them
            yield path


def tidy(directory: Path) -> None:
    """Removes what `leftovers` names."""
    for path in list(leftovers(directory)):
        throw_away(path)


def throw_away(path: Path) -> None:
    """Removes a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _cut_to_whole_lines(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        cut(path, whole)
