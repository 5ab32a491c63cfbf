"""`images` or `features`, and perhaps `labels`, of an HDF5 file.

Needs the extra `[hdf5]`. Links to other files, external storage and virtual data sets are refused before anything is
read, because they would show the content of other files of this machine.
"""

from __future__ import annotations

import math
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from uncollapse.data.labels import LabelList, label_texts
from uncollapse.data.limits import GIGA, MEGA, reason, short
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

ROWS = ("images", "features")
LABELS = "labels"
KERAS = ("keras_version", "layer_names", "model_config")
MOST_CHUNK_BYTES = 1 * GIGA
MOST_LABELS = 50_000_000
MOST_TEXT_BYTES, TEXT_BYTES_READ = 1 * GIGA, 64 * MEGA  # of labels as texts: all, and at a time
FEWEST_TEXTS, MOST_TEXTS = 64, 65_536  # that are read at a time
MOST_SHRINKING = 1100  # more than deflate can
MODEL = "{} holds the weights of a model, not samples; give samples that it draws, as .npz or as a folder of images."


class Hdf5Rows:
    """One data set of numbers, read by slices."""

    def __init__(self, file: Any, data: Any) -> None:
        """Keeps the file open.

        Args:
            file: The opened file.
            data: The data set.
        """
        self._data = data
        self.shape: tuple[int, ...] = tuple(data.shape)
        self.dtype: np.dtype[Any] = data.dtype
        weakref.finalize(self, file.close)

    def __getitem__(self, part: slice) -> Any:
        """Consecutive rows."""
        return self._data[part]


def open_hdf5(file: Path, place: str) -> tuple[Hdf5Rows, list[str] | None]:
    """The rows and labels of an HDF5 file.

    Raises:
        UserError: h5py is missing; no HDF5 file; neither `images` nor `features` in it; or anything that leads out of
            the file.
    """
    try:
        import h5py
    except ImportError as error:
        raise UserError("Reading HDF5 needs h5py; install it with pip install 'uncollapse[hdf5]'.") from error
    try:
        opened = h5py.File(file, "r")
    except Exception as error:  # h5py passes on what its C library says, as errors of many types
        raise UserError(f"{place} is no readable HDF5 file ({reason(error)}).") from error
    try:
        names = list(opened)  # of links, none of which is followed
        key = next((key for key in ROWS if key in names), None)
        if key is None:
            raise UserError(_neither(opened, names, place))
        data = _data_set(h5py, opened, key, file, place)
        if data.dtype.hasobject:
            raise UserError(f"{place} has {key!r} of type {data.dtype}; give an array of numbers.")
        labels = _labels(h5py, opened, int(data.shape[0]), file, place) if LABELS in names else None
        return Hdf5Rows(opened, data), labels
    except (UserError, MemoryError):
        opened.close()
        raise
    except Exception as error:  # as above
        opened.close()
        raise UserError(f"{place} is a damaged HDF5 file ({reason(error)}).") from error


def _data_set(h5py: Any, opened: Any, key: str, file: Path, place: str) -> Any:
    """A data set that lies wholly in this file."""
    link = opened.get(key, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise UserError(
            f"{place} has a link in place of {key!r}, which is not followed; copy the numbers into the file."
        )
    data = opened[key]
    if not isinstance(data, h5py.Dataset):
        raise UserError(f"{place} has a group in place of {key!r}; it needs a data set of that name.")
    if data.external or data.is_virtual:
        raise UserError(f"{place} keeps {key!r} in other files, which are not opened; copy the numbers into the file.")
    text = h5py.check_string_dtype(data.dtype) is not None
    if not data.shape or (data.dtype.hasobject and not text):
        raise UserError(f"{place} has {key!r} of type {data.dtype} and shape {data.shape}; give an array.")
    if int(data.size or 0) * data.dtype.itemsize > max(GIGA, MOST_SHRINKING * file.stat().st_size):
        raise UserError(
            f"{place} announces {size_text(data.size * data.dtype.itemsize)} in {key!r} in a file of "
            f"{size_text(file.stat().st_size)}; it is unfinished or forged."
        )
    _check_written(data, key, place)
    if data.chunks and float(np.prod(data.chunks, dtype=np.float64)) * data.dtype.itemsize > MOST_CHUNK_BYTES:
        raise UserError(
            f"{place} keeps {key!r} in pieces of more than {size_text(MOST_CHUNK_BYTES)}; save it in smaller ones."
        )
    return data


def _check_written(data: Any, key: str, place: str) -> None:
    """Refuses a data set of which some was never written, because it would be read as zeros."""
    if data.chunks:
        wanted = math.prod(-(-size // piece) for size, piece in zip(data.shape, data.chunks, strict=True))
        written = int(data.id.get_num_chunks())
    else:
        wanted, written = 1, int(data.size == 0 or data.id.get_storage_size() > 0)
    if written < wanted:
        raise UserError(
            f"{place} has {written:,} of {wanted:,} pieces of {key!r}, the others were never written; finish it, or "
            "save what is there."
        )


def _labels(h5py: Any, opened: Any, count: int, file: Path, place: str) -> list[str]:
    data = _data_set(h5py, opened, LABELS, file, place)
    if int(data.size) > MOST_LABELS:
        raise UserError(f"{place} has {int(data.size):,} labels, more than {MOST_LABELS:,}.")
    if h5py.check_string_dtype(data.dtype) is None:
        return label_texts(data[:], count, place)
    if data.shape not in ((count,), (count, 1)):
        raise UserError(f"{place} has {count:,} rows and labels of shape {data.shape}; give one label a row.")
    return _text_labels(data, file.stat().st_size, place)


def _text_labels(data: Any, length: int, place: str) -> list[str]:
    """Labels as texts, read a few at a time, because in a file of some length many may be one and the same long text.

    Raises:
        UserError: Together they are far longer than such a file's labels are.
    """
    width = length if data.dtype.hasobject else data.dtype.itemsize  # at most, of one text
    step = min(max(TEXT_BYTES_READ // max(1, width), FEWEST_TEXTS if data.dtype.hasobject else 1), MOST_TEXTS)
    found = LabelList(place)
    read = 0
    for start in range(0, data.shape[0], step):
        for value in data[start : start + step].ravel().tolist():
            read += len(value)
            found.add(value)
        if read > max(MOST_TEXT_BYTES, length):
            raise UserError(f"{place} has labels of more than {size_text(read)} together; give shorter ones.")
    return found.texts


def _neither(opened: Any, names: list[str], place: str) -> str:
    if "model_weights" in names or any(name in opened.attrs for name in KERAS):
        return MODEL.format(place)
    held = short(", ".join(names[:8])) or "nothing"
    return f"{place} holds {held}; name the data set {' or '.join(ROWS)}, and {LABELS} beside it."
