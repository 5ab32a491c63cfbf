"""Arrays that took long to compute, kept on disk under a key; and where downloads and these lie.

An entry is one safetensors file whose content is checked by a sha256 when it is read, so that a damaged one is dropped
and computed again. The oldest entries go when all together exceed a limit. A cache that cannot be read or written is
no error. Entries are written in blocks, and large arrays are mapped, so that memory holds no second copy of what is
kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
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
# Below a file that is no folder nothing can lie, while others may fill a folder in the place for temporary files.
NO_CACHE = Path(os.devnull) / "uncollapse"
MOST_HEADER_BYTES, MOST_TENSORS = 1 * MEGA, 64
ENDING = ".safetensors"
# Bytes that are written and hashed at a time, and of an array up to which it is read into memory.
BLOCK, IN_MEMORY = 8 * MEGA, 2 * GIGA
DTYPES: Mapping[str, str] = {
    "<f8": "F64", "<f4": "F32", "<f2": "F16", "<i8": "I64", "<i4": "I32", "<i2": "I16", "|i1": "I8", "<u8": "U64",
    "<u4": "U32", "<u2": "U16", "|u1": "U8", "|b1": "BOOL",
}  # fmt: skip


def cache_folder() -> Path:
    """Where downloads and caches lie: ``$UNCOLLAPSE_CACHE``, else ``uncollapse`` in the user's cache folder.

    A user without a home folder has no cache: `NO_CACHE`, where nothing is found and nothing can be kept.
    """
    own = os.environ.get("UNCOLLAPSE_CACHE")
    if own:
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uncollapse"
    except RuntimeError:  # neither HOME nor an entry among the machine's users
        return NO_CACHE


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
    """The arrays that were saved under a key, large ones mapped; None where there are none or they are damaged.

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
        Whether they were kept: not where they are larger than the limit, of a kind that no entry holds, or where the
            disk does not take them.
    """
    limit = cache_limit()
    plain = {name: array.astype(array.dtype.newbyteorder("<"), copy=False) for name, array in arrays.items()}
    if len(plain) > MOST_TENSORS or sum(array.nbytes for array in plain.values()) > limit:
        return False
    if any(array.dtype.str not in DTYPES for array in plain.values()):
        return False
    file = _file(key)
    try:
        write_atomic(file, _content(plain, file.stem))
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


def _content(arrays: Arrays, key: str) -> Iterator[bytes | memoryview]:
    """A safetensors file in blocks."""
    # Wide numbers first, so that all lie where their width wants them.
    ordered = {name: arrays[name] for name in sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))}
    yield _header(ordered, key)
    for array in ordered.values():
        yield from _blocks(array)


def _header(arrays: Arrays, key: str) -> bytes:
    """What stands before the numbers of a safetensors file."""
    told: dict[str, Any] = {"__metadata__": {"key": key, "sha256": _digest(arrays)}}
    start = 0
    for name, array in arrays.items():
        stop = start + array.nbytes
        told[name] = {"dtype": DTYPES[array.dtype.str], "shape": list(array.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(told).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _read(file: Path) -> dict[str, NDArray[Any]]:
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:  # refuses a header that does not fit the file
        described = opened.metadata() or {}
        names = list(opened.keys())
    if described.get("key") != file.stem or len(names) > MOST_TENSORS:
        raise ValueError("another entry")
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        told = json.loads(stream.read(length))
    arrays = {name: _array(file, 8 + length, told[name]) for name in names}
    if described.get("sha256") != _digest(arrays):
        raise ValueError("damaged content")
    return arrays


def _array(file: Path, begin: int, told: Mapping[str, Any]) -> NDArray[Any]:
    """One array of an entry, in memory or, where it is large, mapped; writing to it never changes the file."""
    dtype = np.dtype({name: code for code, name in DTYPES.items()}[told["dtype"]])
    start, stop = told["data_offsets"]
    shape = tuple(told["shape"])
    if stop - start > IN_MEMORY:
        return np.memmap(file, dtype=dtype, mode="c", offset=begin + start, shape=shape)
    found = np.fromfile(file, dtype=dtype, count=(stop - start) // dtype.itemsize, offset=begin + start)
    return found.reshape(shape)


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        for block in _blocks(array):
            digest.update(block)
    return digest.hexdigest()


def _blocks(array: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """The content of an array in the order of its rows, some rows at a time."""
    if not array.ndim or not array.size:
        yield array.tobytes()
        return
    rows = max(1, BLOCK // array[:1].nbytes)
    for first in range(0, len(array), rows):
        yield np.ascontiguousarray(array[first : first + rows]).reshape(-1).view(np.uint8).data


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
