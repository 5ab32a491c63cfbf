"""Images in a tar or tar.gz, read in place and never extracted; with webdataset's `key.cls` or `key.json` beside.

Only regular members count: links, devices and directories are never looked at. Rows keep the archive's order, because
a packed tar can only be read forwards.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import threading
import weakref
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from uncollapse.data.encoded import Container
from uncollapse.data.folders import DATASET_JSON, HIDDEN, OTHER
from uncollapse.data.images import Unreadable, too_long
from uncollapse.data.labels import UNLABELLED, dataset_labels, folder_labels, label_text
from uncollapse.data.limits import (
    GIGA,
    MEGA,
    MOST_IMAGE_BYTES,
    MOST_JSON_BYTES,
    MOST_LABEL_BYTES,
    MOST_MEMBERS,
    MOST_RATIO,
    reason,
    short,
)
from uncollapse.data.zips import hidden, is_image_name
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

NOT_REGULAR = "link, device or other special member left out"
NO_END = "archive without a mark at its end: it may have been cut off"
NO_LABEL = "image without a .cls or .json beside it"
MOST_HEADER_BYTES = 1 * MEGA  # a member's long name or list of attributes, which may claim any length
BLOCK = 512
LABEL_KEYS = ("cls", "label", "class")
DAMAGED = (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError, gzip.BadGzipFile, RecursionError)


class Tar(Container):
    """The images of a tar, in its order."""

    form = "tar archive"

    def __init__(self, file: Path, place: str, *, packed: bool) -> None:
        """Walks over all headers once, for names, places and labels.

        Args:
            file: The tar.
            place: How messages call it.
            packed: Whether it is gzipped.

        Raises:
            UserError: No tar, damaged, built to exhaust its reader, or without an image.
        """
        self.policies = Counter()
        self.in_order = packed
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._spans: list[tuple[int, int]] = []  # offset and length of each image
        self._beside: dict[str, str] = {}  # webdataset's key -> label
        self._described: tuple[str, bytes] | None = None
        try:
            self._stream = _Capped(file, packed=packed, place=place)
        except OSError as error:
            raise UserError(f"{place} cannot be opened: {reason(error)}.") from error
        weakref.finalize(self, self._stream.close)
        try:
            self._walk()
        except UserError:
            raise
        except OSError as error:
            raise UserError(f"{place} cannot be read: {reason(error)}.") from error
        except DAMAGED as error:
            raise UserError(f"{place} is no readable tar ({short(error) or type(error).__name__}).") from error
        if not self._names:
            raise UserError(f"{place} holds no image by the endings of its members; give an archive that does.")
        self._labels = self._read_labels(place)

    def __len__(self) -> int:
        """Images, readable or not."""
        return len(self._names)

    def name(self, row: int) -> str:
        """The member's name."""
        return self._names[row]

    def read(self, row: int) -> bytes:
        """The bytes of one image.

        Raises:
            Unreadable: Too long, or the archive ends before it does.
        """
        offset, length = self._spans[row]
        if length > MOST_IMAGE_BYTES:
            raise too_long(length)
        try:
            with self._lock:
                self._stream.seek(offset)
                content = self._stream.content(length)
        except (OSError, *DAMAGED) as error:
            raise Unreadable("is damaged in the archive") from error
        if len(content) != length:
            raise Unreadable("is cut off in the archive")
        return content

    def _walk(self) -> None:
        """Looks at every header; reads the content of labels only."""
        for count, member in enumerate(self._members(), start=1):
            if count > MOST_MEMBERS:
                raise tarfile.TarError(f"it has more than {MOST_MEMBERS:,} members")
            name = member.name
            if not member.isreg() or member.issparse():
                self.policies[NOT_REGULAR] += not member.isdir()
            elif hidden(name):
                self.policies[HIDDEN] += 1
            elif is_image_name(name):
                self._names.append(name)
                self._spans.append((member.offset_data, member.size))
            elif not self._take_label(member):
                self.policies[OTHER] += 1
        self.policies += Counter()

    def _members(self) -> Iterator[tarfile.TarInfo]:
        with tarfile.open(fileobj=self._stream, mode="r:") as opened:
            while (member := opened.next()) is not None:
                yield member
                opened.members.clear()  # type: ignore[attr-defined] # tarfile would keep them all
            # The end is a block of zeros; tarfile takes a damaged header for the end without a word.
            self._stream.seek(opened.offset)
            block = self._stream.read(BLOCK)
            if block.strip(b"\0"):
                raise tarfile.TarError(f"it is damaged at byte {opened.offset:,}")
            self.policies[NO_END] += not block

    def _take_label(self, member: tarfile.TarInfo) -> bool:
        """Whether a member is a label or a dataset.json, which is then kept."""
        base = member.name.rsplit("/", 1)[-1]
        if base == DATASET_JSON and self._described is None:
            if member.size > MOST_JSON_BYTES:
                raise tarfile.TarError(f"its dataset.json has {size_text(member.size)}")
            self._described = (member.name.removesuffix(DATASET_JSON), self._content(member))
            return True
        ending = base.rpartition(".")[2].lower()
        if ending not in ("cls", "json") or member.size > MOST_LABEL_BYTES:
            return False
        label = _label_beside(self._content(member), ending)
        if label is not None and not (ending == "json" and _key(member.name) in self._beside):
            self._beside[_key(member.name)] = label
        return True

    def _content(self, member: tarfile.TarInfo) -> bytes:
        self._stream.seek(member.offset_data)
        return self._stream.content(member.size)

    def _read_labels(self, place: str) -> list[str] | None:
        """Labels by dataset.json, else by the files beside the images, else by folders."""
        if self._described is not None:
            folder, content = self._described
            names = (name.removeprefix(folder) for name in self._names)
            labels = dataset_labels(content, names, place, self.policies)
            if labels is not None:
                return labels
        keys = [_key(name) for name in self._names]
        without = sum(key not in self._beside for key in keys)
        if without == len(keys):
            return folder_labels(self._names, self.policies)
        if without:
            self.policies[NO_LABEL] += without
        return [self._beside.get(key, UNLABELLED) for key in keys]


class _Capped(io.BufferedIOBase):
    """A file, unpacked on the way where it is gzipped, that refuses absurd reads and absurd totals."""

    def __init__(self, file: Path, *, packed: bool, place: str) -> None:
        self._raw = file.open("rb")
        self._stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=self._raw) if packed else self._raw
        self._place = place
        self._most = max(GIGA, MOST_RATIO * file.stat().st_size) if packed else None

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, of headers."""
        if size is None or size < 0 or size > MOST_HEADER_BYTES:
            asked = "all" if size is None else size_text(size)
            raise tarfile.TarError(f"a member has a header of {asked}, more than {size_text(MOST_HEADER_BYTES)}")
        return self.content(size)

    def content(self, size: int) -> bytes:
        """At most `size` bytes of a member, a number that was judged before."""
        content = self._stream.read(size)
        self._check()
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """To a place from the start."""
        if whence == 0 and self._most is not None and offset > self._most:
            self._refuse(offset)
        place = self._stream.seek(offset, whence)
        self._check()
        return place

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._stream.tell()

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()
        self._raw.close()
        super().close()

    def _check(self) -> None:
        if self._most is not None and self._stream.tell() > self._most:
            self._refuse(self._stream.tell())

    def _refuse(self, place: int) -> None:
        raise UserError(
            f"{self._place} unpacks into more than {size_text(place)}, over {MOST_RATIO} times its size, as only an "
            "archive made to exhaust its reader does; give the unpacked folder."
        )


def _key(name: str) -> str:
    """Webdataset's key: the path up to the first point of the last part."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.split('.', 1)[0]}"


def _label_beside(content: bytes, ending: str) -> str | None:
    """The label that a .cls or .json member holds; None where it holds none."""
    if ending == "cls":
        return label_text(content)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict):
        document = next((document[key] for key in LABEL_KEYS if key in document), None)
    return label_text(document) if isinstance(document, int | float | str) else None
