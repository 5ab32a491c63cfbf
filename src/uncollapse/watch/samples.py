"""The kept samples of a run: which snapshots there are, and what is shown of one, without the whole file in memory.

Files are `samples/step-N.npz` with an array `samples` (seeds, n, *shape). Headers are checked against their sizes,
nothing pickled is loaded, and of each seed only as many samples are kept as the page draws and memory allows.
"""

from __future__ import annotations

import io
import math
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.archives import DAMAGE
from uncollapse.data.limits import GIGA, MEGA
from uncollapse.data.numpy_files import HEADER_BYTES, Header, read_header
from uncollapse.errors import UserError
from uncollapse.text import clean
from uncollapse.watch.documents import open_regular

NAME = re.compile(r"step-(\d{1,15})\.npz")
MEMBER = "samples.npy"
MOST_FILES = 2_000
MOST_BYTES, MOST_LANE_BYTES = 16 * GIGA, 512 * MEGA
IMAGES, POINTS = 25, 500
MOST_SHOWN_BYTES = 96 * MEGA  # of one snapshot: a file of constant samples is thousands of times smaller
BLOCK_BYTES = 16 * MEGA

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the page draws of one snapshot.

    Attributes:
        samples: float32 (lanes, m, *shape), evenly picked among the n; NaN and infinity as they are.
    """

    samples: Samples

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.samples.shape[2:]

    @property
    def images(self) -> bool:
        """Whether samples are pictures."""
        return is_image(self.shape)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether samples of this shape are shown as pictures: (h, w), or (channels, h, w) with 1 or 3 channels."""
    return len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))


@dataclass(frozen=True)
class SampleFile:
    """One file, in the state in which it was seen.

    Attributes:
        path: Where it is.
        stamp: When it was written, in nanoseconds; another stamp is another content.
    """

    path: Path
    stamp: int


def list_files(directory: Path) -> dict[int, SampleFile]:
    """The sample files of a run by critic update, in order; links and other names are passed over.

    Args:
        directory: The run's directory.
    """
    found: dict[int, SampleFile] = {}
    try:
        with os.scandir(directory / "samples") as entries:
            for entry in entries:
                name = NAME.fullmatch(entry.name)
                if name and len(found) < MOST_FILES and entry.is_file(follow_symlinks=False):
                    stamp = entry.stat(follow_symlinks=False).st_mtime_ns
                    found[int(name[1])] = SampleFile(Path(entry.path), stamp)
    except (OSError, ValueError):  # the folder is not there yet or cannot be, or a file went while it was listed
        pass
    return dict(sorted(found.items()))


def read_shown(path: Path) -> Shown:
    """What is shown of one sample file.

    Raises:
        UserError: It is missing, damaged, too large, or holds no `samples` of numbers (seeds, n, ...).
    """
    place = clean(path.name)
    stream = open_regular(path)
    if stream is None:
        raise UserError(f"{place} is not there or cannot be read.")
    with stream:
        try:
            return _unpack(stream, place)
        except UserError:
            raise
        except DAMAGE as error:
            raise UserError(f"{place} is damaged or still being written; its samples are left out.") from error


def _unpack(stream: BinaryIO, place: str) -> Shown:
    with zipfile.ZipFile(stream) as archive:
        member = archive.getinfo(MEMBER)
        if member.file_size > MOST_BYTES:
            raise UserError(f"{place} holds more samples than a page can show.")
        with archive.open(member) as content:
            beginning = content.read(HEADER_BYTES)
            header = read_header(beginning, member.file_size, place)
            _check(header, place)
            assert isinstance(content, zipfile.ZipExtFile)
            return Shown(samples=_lanes(header, beginning[header.start :], content))


def _check(header: Header, place: str) -> None:
    lanes = header.shape[0] if header.shape else 0
    if len(header.shape) < 3 or 0 in header.shape or header.fortran or header.dtype.kind not in "fiu":
        raise UserError(f"{place} holds no samples of the form (seeds, n, ...).")
    if (header.length - header.start) // lanes > MOST_LANE_BYTES or not _room(header):
        raise UserError(f"{place} holds more samples than a page can show.")


def _room(header: Header) -> int:
    """How many samples of every lane fit into `MOST_SHOWN_BYTES`."""
    lanes, _, *shape = header.shape
    return MOST_SHOWN_BYTES // (lanes * math.prod(shape) * np.dtype(np.float32).itemsize)


def _lanes(header: Header, start: bytes, content: zipfile.ZipExtFile) -> Samples:
    """The shown samples of every lane, one block of rows in memory at a time."""
    lanes, n, *shape = header.shape
    most = min(IMAGES if is_image(tuple(shape)) else POINTS, n, _room(header))
    picked = np.unique(np.linspace(0, n - 1, most).round().astype(int))
    length = math.prod(shape) * header.dtype.itemsize
    step = min(n, max(1, BLOCK_BYTES // length))
    block, kept = memoryview(bytearray(step * length)), io.BytesIO(start)
    found = np.empty((lanes, len(picked), *shape), np.float32)
    for lane in range(lanes):
        for first in range(0, n, step):
            count = min(step, n - first)
            _fill(block[: count * length], kept, content)
            rows = np.frombuffer(block, header.dtype, count * math.prod(shape)).reshape(count, *shape)
            here = slice(*np.searchsorted(picked, (first, first + count)))
            with np.errstate(over="ignore"):
                found[lane, here] = rows[picked[here] - first]
    return found


def _fill(block: memoryview, kept: io.BytesIO, content: zipfile.ZipExtFile) -> None:
    """Reads the next bytes: those that came with the header first."""
    done = kept.readinto(block)
    while done < len(block):
        part = content.read(min(len(block) - done, MEGA))
        if not part:
            raise EOFError(MEMBER)
        block[done : done + len(part)] = part
        done += len(part)
