"""Reads the user's images for `folder`, makes them alike, and keeps them in memory as bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from uncollapse.data.limits import USUAL_BAD, Fixed
from uncollapse.data.opening import open_source
from uncollapse.data.source import Source
from uncollapse.errors import UserError
from uncollapse.features.resizing import looks_grey, prepare
from uncollapse.text import clean

USUAL_SIZE, LARGEST_NATIVE = 32, 64
CHUNK = 256

Stamps = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """The images of a folder, made alike.

    Attributes:
        images: Bytes (n, side, side), or (n, 3, side, side) in colour.
        labels: One text an image; None where there are none, or only one.
    """

    images: Tensor
    labels: tuple[str, ...] | None

    @cached_property
    def sha256(self) -> str:
        """Hash of the images as they are learnt from, and of their labels."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        digest.update(self.images.numpy().data)
        digest.update(repr(self.labels).encode())
        return digest.hexdigest()


def read_folder(path: Path, *, size: int | None, grey: bool | None) -> Content:
    """All readable images of a folder, an archive or a file of images.

    What was read last is kept, and read again when a file's size or time of change is another.

    Args:
        path: What `open_source` reads as images.
        size: Height and width to which images are resized (what is not square is stretched); None means their own where
            all are squares of the same size up to 64, and 32 otherwise.
        grey: Whether colour is left out; None means that it is where all images look grey.

    Raises:
        UserError: Nothing is there, it holds no images, or more than 1 % of them are unreadable.
    """
    return _read(path, size, grey, stamps(path))


def stamps(path: Path) -> Stamps:
    """Name, length and time of change of a file, or of every file in a folder, in order; empty where nothing is."""
    if not path.is_dir():
        files = [path] if path.is_file() else []
    else:
        files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    return tuple(sorted(_stamp(file) for file in files))


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        status = file.stat()
    except OSError:  # a link that leads nowhere
        return str(file), -1, -1
    return str(file), status.st_size, status.st_mtime_ns


@lru_cache(maxsize=2)
def _read(path: Path, size: int | None, grey: bool | None, changed: Stamps) -> Content:
    """`changed` is not looked at; it makes changed files another entry of the cache."""
    if size is None or grey is None:
        usual, colourless = _looks(path)
        size, grey = usual if size is None else size, colourless if grey is None else grey
    parts: list[Tensor] = []
    labels: list[str] = []
    for chunk in _opened(path).chunks(CHUNK):
        alike = prepare(chunk.images, height=size, width=size, colour=not grey)
        parts.append(torch.from_numpy(np.rint(alike).astype(np.uint8)))
        labels += chunk.labels or ()
    return Content(images=torch.cat(parts), labels=tuple(labels) if len(set(labels)) > 1 else None)


def _looks(path: Path) -> tuple[int, bool]:
    """The size that images keep or get, and whether all of them look grey."""
    sizes: set[tuple[int, ...]] = set()
    grey = True
    for chunk in _opened(path).chunks(CHUNK):
        sizes |= {image.shape[:2] for image in chunk.images}
        grey = grey and all(looks_grey(image) for image in chunk.images)
    height, width = next(iter(sizes))
    native = len(sizes) == 1 and height == width <= LARGEST_NATIVE
    return height if native else USUAL_SIZE, grey


def _opened(path: Path) -> Source:
    # A Path and not a text, because a text may name a module, and names of tasks also come from files.
    source = open_source(path, side="folder", max_bad=Fixed(USUAL_BAD))
    if source.kind != "images":
        raise UserError(f"{clean(path)} holds {source.kind} and no images; use array:FILE for rows of numbers.")
    return source


def label_counts(labels: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Each label in order with its number of images."""
    names, counts = np.unique(np.asarray(labels), return_counts=True)
    yield from zip(names.tolist(), counts.tolist(), strict=True)
