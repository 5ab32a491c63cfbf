"""NumPy's .npy and .npz files: headers are checked against the file's size, and nothing pickled is ever loaded.

An .npz with `mu` and `sigma`, as pytorch-fid and clean-fid write it, holds statistics instead of rows.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.archives import DAMAGE, Archive
from uncollapse.data.directory import Member
from uncollapse.data.images import Unreadable
from uncollapse.data.labels import label_texts
from uncollapse.data.limits import MEGA, MOST_ARRAY_BYTES, RATIO_FREE_ARRAY, reason, short
from uncollapse.data.spool import mapped
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

ROWS = ("images", "features", "x", "samples", "arr_0")
LABELS = {"arr_0": ("labels", "label", "y", "arr_1")}
OTHER_LABELS = ("labels", "label", "y")
MEAN, COVARIANCE, COUNT = "mu", "sigma", ("n", "num", "rows")
HEADER_BYTES = 64 * 1024
MOST_AXES, LONGEST_ARRAY = 32, 2**62  # beyond which NumPy makes no array, an empty one neither
MOST_LABELS_BYTES = 2_000 * MEGA
MOST_STATISTICS_BYTES = 10_000 * MEGA


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a .npy file says of itself.

    Attributes:
        shape: Of the array.
        dtype: Of its numbers.
        fortran: Whether the first axis moves quickest.
        start: Bytes before the numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int

    @property
    def length(self) -> int:
        """Bytes that the whole file must have."""
        count = 1
        for size in self.shape:
            count *= size
        return self.start + count * self.dtype.itemsize


def read_header(beginning: bytes, length: int, place: str) -> Header:
    """The header of a .npy file, checked against the length of the file.

    Args:
        beginning: The file's first bytes, `HEADER_BYTES` of them if it has so many.
        length: Bytes of the whole file.
        place: How messages call it.

    Raises:
        UserError: No .npy file, Python objects inside, or numbers that the file cannot hold.
    """
    stream = io.BytesIO(beginning)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise UserError(f"{place} is of NumPy's format {version[0]}.{version[1]}; save plain numbers.")
        shape, fortran, dtype = read(stream)
    except UserError:
        raise
    except Exception as error:  # the header is a Python literal, on which parsers fail in many ways
        raise UserError(f"{place} is no readable .npy file; save it again with numpy.save.") from error
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None:
        raise UserError(
            f"{place} holds Python objects or records, which are never loaded because they can run code; save plain "
            "numbers."
        )
    if not dtype.itemsize:  # NumPy makes room for one letter all the same, so that an empty file asks for any memory
        raise UserError(f"{place} holds texts or bytes of no length; save it again.")
    longest = math.prod(size or 1 for size in shape) * dtype.itemsize
    if any(size < 0 for size in shape) or len(shape) > MOST_AXES or longest > LONGEST_ARRAY:
        raise UserError(f"{place} announces the shape {short(shape)}; save it again.")
    header = Header(shape=tuple(shape), dtype=dtype, fortran=fortran, start=stream.tell())
    if header.length != length:
        raise UserError(
            f"{place} announces {size_text(header.length)} of numbers in a file of {size_text(length)}; it is damaged "
            "or forged."
        )
    return header


def open_npy(file: Path, place: str) -> NDArray[Any]:
    """The array of a .npy file, mapped and not read.

    Raises:
        UserError: As `read_header`, or the file cannot be opened.
    """
    try:
        with file.open("rb") as stream:
            header = read_header(stream.read(HEADER_BYTES), file.stat().st_size, place)
            if 0 in header.shape:
                return np.zeros(header.shape, header.dtype)
            rows: NDArray[Any] = np.memmap(
                stream, header.dtype, "r", header.start, header.shape, "F" if header.fortran else "C"
            )
            return rows
    except (OSError, ValueError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{place} cannot be read: {reason(error)}.") from error


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Mean and covariance of features, as other tools keep them.

    Attributes:
        mean: float64 (d,).
        covariance: float64 (d, d).
        rows: How many rows they are of; None where the file does not say.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    rows: int | None


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Rows, and perhaps a label of each.

    Attributes:
        rows: The array.
        labels: One text a row, or None.
        heads: Name of each column of a table; None where there are none.
        policies: What was decided when it was opened.
    """

    rows: NDArray[Any]
    labels: list[str] | None
    heads: tuple[str, ...] | None = None
    policies: Counter[str] = field(default_factory=Counter)


def open_npz(file: Path, place: str) -> Labelled | Statistics:
    """The rows and labels of an .npz file, or its statistics.

    Raises:
        UserError: No .npz file, none of the known names in it, pickled objects, or anything that does not fit.
    """
    archive = Archive(file, place, free=RATIO_FREE_ARRAY)
    members = {member.name.removesuffix(".npy"): member for member in archive.members}
    if MEAN in members and COVARIANCE in members:
        return _statistics(archive, members, place)
    key = next((key for key in ROWS if key in members), None)
    if key is None:
        held = ", ".join(short(name) for name in list(members)[:8]) or "nothing"
        raise UserError(f"{place} holds {held}; name the rows one of {', '.join(ROWS)}, or give mu and sigma.")
    rows = _array(archive, members[key], f"{place}: {key}")
    label_key = next((name for name in LABELS.get(key, OTHER_LABELS) if name in members), None)
    if label_key is None:
        return Labelled(rows=rows, labels=None)
    labels = _array(archive, members[label_key], f"{place}: {label_key}", most=MOST_LABELS_BYTES)
    if label_key == "arr_1" and labels.shape != rows.shape[:1]:
        return Labelled(rows=rows, labels=None)  # an array without a name that is something else
    return Labelled(rows=rows, labels=label_texts(labels, rows.shape[0] if rows.ndim else 0, place))


def _statistics(archive: Archive, members: dict[str, Member], place: str) -> Statistics:
    mean = _array(archive, members[MEAN], f"{place}: {MEAN}", most=MOST_STATISTICS_BYTES)
    covariance = _array(archive, members[COVARIANCE], f"{place}: {COVARIANCE}", most=MOST_STATISTICS_BYTES)
    if mean.ndim != 1 or not len(mean) or covariance.shape != (len(mean), len(mean)):
        raise UserError(
            f"{place} has mu of shape {mean.shape} and sigma of shape {covariance.shape}, not (d,) and (d, d)."
        )
    if mean.dtype.kind not in "iuf" or covariance.dtype.kind not in "iuf":
        raise UserError(f"{place} has mu of type {mean.dtype} and sigma of type {covariance.dtype}, not real numbers.")
    mean, covariance = mean.astype(np.float64), covariance.astype(np.float64)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{place} has a mu or sigma that is not finite; compute it again.")
    if not np.allclose(covariance, covariance.T, rtol=1e-4, atol=1e-6 * float(np.abs(covariance).max())):
        raise UserError(f"{place} has a sigma that is not symmetric, so it is no covariance; compute it again.")
    count = next((members[key] for key in COUNT if key in members), None)
    rows = None if count is None else _array(archive, count, f"{place}: number of rows", most=MEGA)
    if rows is not None and (rows.size != 1 or rows.dtype.kind not in "iu" or int(rows.flat[0]) < 1):
        raise UserError(f"{place} has a number of rows that is no whole number above 0.")
    return Statistics(mean=mean, covariance=covariance, rows=None if rows is None else int(rows.flat[0]))


def _array(archive: Archive, member: Member, place: str, most: int = MOST_ARRAY_BYTES) -> NDArray[Any]:
    """One array of an .npz, at most so many bytes, unpacked into a temporary file and mapped."""
    if member.unpacked > most:
        raise UserError(f"{place} has {size_text(member.unpacked)}, more than {size_text(most)}.")
    try:
        read = archive.reader(member)
        beginning = read(HEADER_BYTES)
        header = read_header(beginning, member.unpacked, place)
        rest = _with_start(beginning[header.start :], read)
        if 0 in header.shape:
            return np.zeros(header.shape, header.dtype)
        shape = header.shape[::-1] if header.fortran else header.shape
        rows = mapped(rest, shape, header.dtype, place)
        return rows.T if header.fortran else rows
    except UserError:
        raise
    except Unreadable as finding:
        raise UserError(f"{place} {finding}; save it again.") from finding
    except DAMAGE as error:
        raise UserError(f"{place} is damaged; save it again.") from error


def _with_start(start: bytes, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Reads `start` first and then what follows."""
    kept = io.BytesIO(start)

    def reader(count: int) -> bytes:
        first = kept.read(count)
        return first if len(first) == count else first + read(count - len(first))

    return reader
