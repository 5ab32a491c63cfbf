"""IDX files, plain or gzipped, as MNIST and Fashion-MNIST are kept; the labels are found in the file beside."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.labels import label_texts
from uncollapse.data.limits import GIGA, MOST_RATIO, reason
from uncollapse.data.numpy_files import Labelled
from uncollapse.data.spool import mapped
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

# MNIST's own names, with a point or a dash before the kind, and the general ending.
NAME = re.compile(r"(idx\d-ubyte|\.idx\d?)(\.gz)?$", re.IGNORECASE)
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 4


def is_idx(name: str) -> bool:
    """Whether a file is IDX by its name."""
    return NAME.search(name) is not None


def open_idx(file: Path, place: str) -> Labelled:
    """The rows of an IDX file and, where the file of its labels lies beside it, the labels.

    A plain file is mapped; a gzipped one is unpacked into a temporary file first.

    Args:
        file: For example ``train-images-idx3-ubyte.gz``; its labels are in ``train-labels-idx1-ubyte.gz``.
        place: How messages call it.

    Raises:
        UserError: No IDX file, damaged, or labels that do not fit.
    """
    rows = read_idx(file, place)
    if rows.ndim == 1:
        raise UserError(f"{place} holds one number a row, as labels are kept; give the file of the images.")
    beside = labels_beside(file)
    if beside is None:
        return Labelled(rows=rows, labels=None)
    return Labelled(rows=rows, labels=label_texts(read_idx(beside, f"{place}: labels"), len(rows), place))


def labels_beside(file: Path) -> Path | None:
    """The file of labels that belongs to a file of images, if it is there."""
    if "images" not in file.name:
        return None
    name = re.sub(r"idx\d", "idx1", file.name.replace("images", "labels"))
    plain = re.sub(r"\.gz$", "", name)
    for candidate in (name, plain, f"{plain}.gz"):
        if (file.parent / candidate).is_file():
            return file.parent / candidate
    return None


def read_idx(file: Path, place: str) -> NDArray[Any]:
    """The array of an IDX file.

    Raises:
        UserError: No IDX file, or more or fewer numbers than it announces.
    """
    packed = file.name.lower().endswith(".gz")
    try:
        length = file.stat().st_size
        with gzip.open(file, "rb") if packed else file.open("rb") as stream:
            shape, dtype, start = _header(stream.read(4 + 4 * MOST_AXES), place)
            announced = start + math.prod(shape) * dtype.itemsize
            if announced > max(GIGA, MOST_RATIO * length) if packed else announced != length:
                raise UserError(
                    f"{place} announces {size_text(announced)} in a file of {size_text(length)}; "
                    "it is damaged or forged."
                )
            if 0 in shape:
                raise UserError(f"{place} has no rows (shape {shape}).")
            stream.seek(start)
            if packed:
                return mapped(stream.read, shape, dtype, place)
        rows: NDArray[Any] = np.memmap(file, dtype, "r", start, shape)
        return rows
    except UserError:
        raise
    except (OSError, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise UserError(f"{place} cannot be read: {reason(error)}.") from error


def _header(start: bytes, place: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type, and bytes before the numbers."""
    try:
        zero, kind, axes = struct.unpack_from(">HBB", start)
        shape = struct.unpack_from(f">{axes}I", start, 4)
    except struct.error as error:
        raise UserError(f"{place} is no IDX file, or cut off in its first bytes.") from error
    if zero or kind not in TYPES or not 1 <= axes <= MOST_AXES:
        raise UserError(f"{place} is no IDX file by its first bytes; give a file as MNIST's, plain or gzipped.")
    return shape, np.dtype(TYPES[kind]), 4 + 4 * axes
