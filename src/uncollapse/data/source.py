"""What every reader of data is: numbered rows, images or features, in chunks, with notes on what was found and skipped.

A source is opened by `open_source` and read once from the first row to the last; pictures of single rows can be
fetched again afterwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["images", "features", "statistics"]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some consecutive rows.

    Attributes:
        first: Number of the first row, counting the readable rows of the source from 0.
        images: One uint8 array a row, (h, w) for grey or (h, w, 3) for colour; sizes may differ. Empty for features.
        features: (n, d) float32 or float64; None for images.
        labels: One text a row; None where the source has no labels.
        names: Where each row came from: a file's name, an archive's member, a row number. Never trusted, only shown.
    """

    first: int
    images: Sequence[Pixels] = ()
    features: NDArray[Any] | None = None
    labels: tuple[str, ...] | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images) if self.features is None else len(self.features)


@dataclass(kw_only=True)
class Notes:
    """What reading a source has met so far; complete after its last chunk.

    Attributes:
        rows: Readable rows.
        bad: Name and reason of each row that could not be read, in reading order, at most `MOST_LISTED`.
        bad_count: Number of rows that could not be read.
        policies: How often each stated policy was applied, for example "palette turned into colour".
        sizes: How many images have which (height, width).
        channels: How many images are "grey" and "colour".
    """

    MOST_LISTED = 100

    rows: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)
    bad_count: int = 0
    policies: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)

    def refuse(self, name: str, reason: str) -> None:
        """Counts a row that cannot be read, and lists the first ones."""
        self.bad_count += 1
        if len(self.bad) < self.MOST_LISTED:
            self.bad.append((name, reason))

    def accept(self, images: Iterable[Pixels]) -> None:
        """Counts readable images, their sizes and channels."""
        for shape, count in Counter(image.shape for image in images).items():
            self.rows += count
            self.sizes[shape[0], shape[1]] += count
            self.channels["grey" if len(shape) == 2 else "colour"] += count

    def joined(self, later: Notes) -> Notes:
        """What was met by reading these rows and then others, a new object; neither is changed."""
        return Notes(
            rows=self.rows + later.rows,
            bad=[*self.bad, *later.bad][: self.MOST_LISTED],
            bad_count=self.bad_count + later.bad_count,
            policies=self.policies + later.policies,
            sizes=self.sizes + later.sizes,
            channels=self.channels + later.channels,
        )

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "rows": self.rows,
            "bad": [{"name": name, "reason": reason} for name, reason in self.bad],
            "bad_count": self.bad_count,
            "policies": dict(self.policies),
            "sizes": {f"{height} x {width}": count for (height, width), count in self.sizes.most_common(20)},
            "channels": dict(self.channels),
        }


@dataclass(frozen=True, kw_only=True)
class Met:
    """What reading one part of a source has met, for the process that joins the parts.

    Attributes:
        tried: Rows tried, readable or not.
        notes: What was met among them.
        bad: Which of them could not be read, counting from 0, ascending.
    """

    tried: int
    notes: Notes
    bad: tuple[int, ...] = ()


class Source(ABC):
    """Rows of one data set.

    Attributes:
        name: What the user wrote, or a description of an object in memory.
        place: How messages call it: its side and its name.
        form: What it is, in words: "folder of images", "zip archive", "NumPy file", ...
        kind: "images", "features", or "statistics" (mean and covariance of features only: no rows).
        labelled: Whether rows have labels.
        notes: What was met; filled while reading.
        heads: Name of each column of a table of features; None where columns have none.
    """

    name: str
    place: str
    form: str
    kind: Kind
    labelled: bool
    notes: Notes
    heads: tuple[str, ...] | None = None

    @property
    @abstractmethod
    def count(self) -> int | None:
        """Rows that reading will try (readable or not); None when it is not known beforehand."""

    @abstractmethod
    def chunks(self, size: int) -> Iterator[Chunk]:
        """All readable rows in their fixed order, at most `size` at a time; memory does not grow with the count.

        Raises:
            UserError: The source as a whole cannot be read. Rows that cannot be read are noted and skipped.
        """

    @abstractmethod
    def fetch(self, rows: Sequence[int]) -> list[Pixels]:
        """The images of some rows again, in the order asked for, after `chunks` has passed them."""

    def content_hash(self) -> str | None:
        """A sha256 over the rows' content and order, for the cache of features; None where that cannot be known.

        It reads the bytes but decodes nothing; two sources of equal hash give equal chunks.
        """
        return None

    def part(self, first: int, stop: int) -> Source | None:
        """The same source with only the rows from `first` to before `stop` of those that reading tries.

        Its unreadable rows are only noted: how many are too many is decided by `take`. None where rows can be had only
        one after the other.
        """
        del first, stop
        return None

    @property
    def met(self) -> Met:
        """What reading this part has met; complete after its last chunk."""
        return Met(tried=self.count or 0, notes=self.notes)

    def take(self, parts: Sequence[Met]) -> None:
        """Knows what reading its parts has met, in their order, as if it had read them itself.

        Raises:
            UserError: More rows are unreadable than may be.
        """
        raise NotImplementedError(f"{self.form} has no parts")
