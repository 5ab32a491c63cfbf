"""Arrays that took long to compute, kept on disk under a key; and where downloads and these lie.

An entry is one safetensors file whose content is checked by a sha256 when it is read, so that a damaged one is dropped
and computed again. The oldest entries go when all together exceed a limit. A cache that cannot be written is no error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.limits import GIGA, MEGA
from uncollapse.errors import UserError
from uncollapse.files import write_atomic
from uncollapse.text import clean

Arrays = Mapping[str, NDArray[Any]]

FOLDER = "arrays"
DEFAULT_LIMIT = 10 * GIGA
LIMIT_NAME = "UNCOLLAPSE_CACHE_GB"
MOST_HEADER_BYTES, MOST_TENSORS = 1 * MEGA, 64
ENDING = ".safetensors"


def cache_folder() -> Path:
    """Where downloads and caches lie: ``$UNCOLLAPSE_CACHE``, else ``uncollapse`` in the user's cache folder."""
    own = os.environ.get("UNCOLLAPSE_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uncollapse"


def cache_limit() -> float:
    """Bytes that all entries together may have: ``$UNCOLLAPSE_CACHE_GB`` gigabytes, by default 10; 0 turns it off.

    Raises:
        UserError: The variable holds no number.
    """
    own = os.environ.get(LIMIT_NAME)
    if not own:
        return DEFAULT_LIMIT
    try:
        limit = float(own) * GIGA
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise UserError(f"{LIMIT_NAME}={clean(own)} is no number of gigabytes; set it to 0 or more, or unset it.")
    return limit


def load(key: str) -> dict[str, NDArray[Any]] | None:
    """The arrays that were saved under a key; None where there are none or they are damaged.

    Args:
        key: Any text that says all that the arrays depend on.
    """
    file = _file(key)
    try:
        with file.open("rb") as stream:
            if not _sane(stream.read(8), file.stat().st_size):
                raise ValueError("forged header")
        arrays = _read(file)
    except FileNotFoundError:
        return None
    except Exception:  # whatever a damaged file makes its reader raise
        with contextlib.suppress(OSError):
            file.unlink()
        return None
    with contextlib.suppress(OSError):  # the time of its last use
        os.utime(file)
    return arrays


def save(key: str, arrays: Arrays) -> bool:
    """Keeps arrays under a key, and drops the entries that were not used for longest where there are too many.

    Args:
        key: Any text that says all that the arrays depend on.
        arrays: Numbers by name, at most `MOST_TENSORS` of them.

    Returns:
        Whether they were kept: not where they are larger than the limit or the disk does not take them.
    """
    from safetensors.numpy import save as pack

    limit = cache_limit()
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    if len(plain) > MOST_TENSORS or sum(array.nbytes for array in plain.values()) > limit:
        return False
    file = _file(key)
    try:
        write_atomic(file, pack(plain, metadata={"key": file.stem, "sha256": _digest(plain)}))
        _evict(file, limit)
    except OSError:
        return False
    return True


def _file(key: str) -> Path:
    return cache_folder() / FOLDER / f"{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()}{ENDING}"


def _sane(start: bytes, length: int) -> bool:
    """Whether the header that a file announces is short and inside of it."""
    if len(start) != 8:
        return False
    (header,) = struct.unpack("<Q", start)
    return bool(header <= min(MOST_HEADER_BYTES, length - 8))


def _read(file: Path) -> dict[str, NDArray[Any]]:
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:
        described = opened.metadata() or {}
        names = list(opened.keys())
        if described.get("key") != file.stem or len(names) > MOST_TENSORS:
            raise ValueError("another entry")
        arrays = {name: opened.get_tensor(name) for name in names}
    if described.get("sha256") != _digest(arrays):
        raise ValueError("damaged content")
    return arrays


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.data if array.flags.c_contiguous and array.size else array.tobytes())
    return digest.hexdigest()


def _evict(kept: Path, limit: float) -> None:
    """Removes entries, the longest unused first, until the others fit; never the one just written."""
    entries = []
    for entry in kept.parent.glob(f"*{ENDING}"):
        with contextlib.suppress(OSError):
            status = entry.stat()
            entries.append((status.st_mtime_ns, status.st_size, entry))
    total = sum(length for _, length, _ in entries)
    for _, length, entry in sorted(entries):
        if total <= limit:
            return
        if entry != kept:
            with contextlib.suppress(OSError):
                entry.unlink()
            total -= length
