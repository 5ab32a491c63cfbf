"""Images in a zip, in their order by name; labels by StyleGAN's `dataset.json`, else by folders."""

from __future__ import annotations

from array import array
from collections import Counter
from pathlib import Path

from uncollapse.data.archives import Archive
from uncollapse.data.encoded import Container
from uncollapse.data.folders import DATASET_JSON, ENDINGS, HIDDEN, OTHER
from uncollapse.data.images import Unreadable
from uncollapse.data.labels import dataset_labels, folder_labels
from uncollapse.data.limits import MOST_IMAGE_BYTES, MOST_JSON_BYTES
from uncollapse.errors import UserError


class Zip(Container):
    """The images of a zip, ordered by the bytes of their names as a folder is."""

    form = "zip archive"

    def __init__(self, file: Path, place: str) -> None:
        """Reads the directory and the labels.

        Args:
            file: The zip.
            place: How messages call it.

        Raises:
            UserError: As `Archive`, or it holds no image, or its dataset.json is broken.
        """
        self.policies = Counter()
        self._archive = Archive(file, place)
        names = self._archive.members.names
        rows = [row for row, name in enumerate(names) if self._wanted(name)]
        if not rows:
            raise UserError(f"{place} holds no image ({', '.join(ENDINGS)}); give an archive that does.")
        rows.sort(key=lambda row: names[row].encode(errors="surrogatepass"))
        self._rows = array("q", rows)
        self._labels = self._read_labels(place)

    def __len__(self) -> int:
        """Images, readable or not."""
        return len(self._rows)

    def name(self, row: int) -> str:
        """The member's name."""
        return self._archive.members.names[self._rows[row]]

    def read(self, row: int) -> bytes:
        """The bytes of one image.

        Raises:
            Unreadable: As `Archive.read`.
        """
        return self._archive.read(self._archive.members[self._rows[row]], MOST_IMAGE_BYTES)

    def _wanted(self, name: str) -> bool:
        wanted = is_image_name(name)
        if not wanted and not name.endswith(DATASET_JSON):
            self.policies[HIDDEN if hidden(name) else OTHER] += 1
        return wanted

    def _read_labels(self, place: str) -> list[str] | None:
        """Labels by the dataset.json that lies highest, else by folders."""
        names = [self.name(row).replace("\\", "/") for row in range(len(self))]
        members = self._archive.members
        described = [row for row, name in enumerate(members.names) if name.rsplit("/", 1)[-1] == DATASET_JSON]
        if described:
            top = members[min(described, key=lambda row: members.names[row].count("/"))]
            try:
                content = self._archive.read(top, MOST_JSON_BYTES)
            except Unreadable as finding:
                raise UserError(f"{place} has a dataset.json that {finding}; repair or remove it.") from finding
            folder = top.name.removesuffix(DATASET_JSON)
            labels = dataset_labels(content, (name.removeprefix(folder) for name in names), place, self.policies)
            if labels is not None:
                return labels
        return folder_labels(names, self.policies)


def hidden(name: str) -> bool:
    """Whether a member lies in a hidden place, as the resource forks that macOS adds."""
    parts = name.replace("\\", "/").split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)


def is_image_name(name: str) -> bool:
    """Whether a member is an image by its name."""
    return name.lower().endswith(ENDINGS) and not hidden(name)
