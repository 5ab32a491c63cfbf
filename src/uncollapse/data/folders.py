"""A folder of images: flat, in sub-folders that are labels, or with StyleGAN's `dataset.json`.

Images are ordered by the bytes of their path in the folder, so that no file system decides the order. Links that leave
the folder, linked folders, hidden files and other kinds of files are left out, and counted.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from uncollapse.data.encoded import Container
from uncollapse.data.images import Unreadable, too_long
from uncollapse.data.labels import dataset_labels, folder_labels
from uncollapse.data.limits import MOST_IMAGE_BYTES, MOST_JSON_BYTES, reason, short
from uncollapse.errors import UserError
from uncollapse.text import size as size_text

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
DATASET_JSON = "dataset.json"
LINK_OUT = "link out of the folder left out"
LINKED_FOLDER = "linked folder left out"
HIDDEN = "hidden file left out"
OTHER = "file that is no image by its ending left out"
DEEPEST = 64
# Without waiting for the other end of a pipe that took an image's place.
READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Folder(Container):
    """The images of a folder."""

    form = "folder of images"

    def __init__(self, folder: Path, place: str) -> None:
        """Lists the folder.

        Args:
            folder: An existing folder.
            place: How messages call it.

        Raises:
            UserError: It cannot be listed, holds no image, or its dataset.json is broken.
        """
        self.policies = Counter()
        self._folder = str(folder)
        self._endings: Counter[str] = Counter()
        try:
            self._names = sorted(self._listed(folder), key=os.fsencode)
        except OSError as error:
            raise UserError(f"{place} cannot be listed: {reason(error)}.") from error
        if not self._names:
            raise UserError(self._nothing(place))
        self.policies += Counter()  # drops what was counted zero times
        described = folder / DATASET_JSON
        labels = None
        if described.is_file() and _within(str(described), os.path.realpath(folder)):  # else counted as a link out
            labels = dataset_labels(_small_file(described, place), self._names, place, self.policies)
        self._labels = folder_labels(self._names, self.policies) if labels is None else labels

    def __len__(self) -> int:
        """Images, readable or not."""
        return len(self._names)

    def name(self, row: int) -> str:
        """The path in the folder."""
        return self._names[row]

    def read(self, row: int) -> bytes:
        """The bytes of one image.

        Raises:
            Unreadable: Too long, gone, forbidden, or no longer a regular file.
        """
        return read_image_file(f"{self._folder}/{self._names[row]}")

    def _listed(self, folder: Path) -> Iterator[str]:
        """Paths of images in the folder and its sub-folders, in no order."""
        root = os.path.realpath(folder)
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            with os.scandir(f"{self._folder}/{inside}") as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith("."):
                        self.policies[HIDDEN] += 1
                    elif name.lower().endswith(ENDINGS) and entry.is_file(follow_symlinks=False):
                        yield f"{inside}{name}"
                    elif entry.is_dir(follow_symlinks=False):
                        if inside.count("/") < DEEPEST:
                            waiting.append(f"{inside}{name}/")
                    elif self._is_linked_image(entry, root):
                        yield f"{inside}{name}"

    def _is_linked_image(self, entry: os.DirEntry[str], root: str) -> bool:
        """Whether an entry that is neither a folder nor an image itself is a link to one that may be followed."""
        if entry.is_symlink():
            if entry.is_dir():
                self.policies[LINKED_FOLDER] += 1
                return False
            if not _within(entry.path, root):
                self.policies[LINK_OUT] += 1
                return False
        ending = Path(entry.name).suffix.lower()
        if ending in ENDINGS and entry.is_file():
            return True
        if entry.name != DATASET_JSON:
            self.policies[OTHER] += 1
            self._endings[ending or "no ending"] += 1
        return False

    def _nothing(self, place: str) -> str:
        """The sentence for a folder without images, which says what is there instead."""
        kinds = ", ".join(f"{count:,} x {short(ending)}" for ending, count in self._endings.most_common(3))
        links = self.policies[LINK_OUT] + self.policies[LINKED_FOLDER]
        there = "; ".join(
            part
            for part in (
                f"it holds {kinds}" if kinds else "",
                f"{links:,} links leave the folder or lead to folders and are not followed" if links else "",
            )
            if part
        )
        return f"{place} holds no image ({', '.join(ENDINGS)}){f': {there}' if there else ''}; give a folder that does."


def _within(path: str, root: str) -> bool:
    """Whether what a path leads to lies in a folder, whose own path has no links."""
    return os.path.commonpath([root, os.path.realpath(path)]) == root


def read_image_file(path: str) -> bytes:
    """The bytes of one image's file.

    Raises:
        Unreadable: Too long, gone, forbidden, or no regular file.
    """
    try:
        number = os.open(path, READ)
        try:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("is no regular file")
            if status.st_size > MOST_IMAGE_BYTES:
                raise too_long(status.st_size)
            return os.read(number, status.st_size)  # a file that is cut meanwhile is found out by the decoder
        finally:
            os.close(number)
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot be opened ({reason(error)})") from error


def _small_file(file: Path, place: str) -> bytes:
    try:
        length = file.stat().st_size
        if length > MOST_JSON_BYTES:
            raise UserError(
                f"{place} has a dataset.json of {size_text(length)}, more than {size_text(MOST_JSON_BYTES)}."
            )
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{place} has a dataset.json that cannot be opened: {reason(error)}.") from error
