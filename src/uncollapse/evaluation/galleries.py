"""Pictures of chosen rows: galleries of tiles with thumbnails, each with a title and a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from uncollapse.data.labels import UNLABELLED
from uncollapse.data.limits import MEGA
from uncollapse.data.source import Pixels
from uncollapse.evaluation.classes import Known
from uncollapse.evaluation.sides import Side

# Largest side of a thumbnail, and bytes of whole images that are held while thumbnails are made.
MOST, HELD = 64, 64 * MEGA
# Labels of a whole group that are counted one by one.
MOST_LABELS = 20


class Album:
    """Collects tiles and fetches each row's picture once.

    Attributes:
        galleries: What was added, as JSON values.
    """

    def __init__(self, sides: Mapping[str, Side], known: Known | None) -> None:
        """For these sides; `known` gives the classes that tiles are labelled with."""
        self.sides, self.known = sides, known
        self.galleries: list[dict[str, Any]] = []
        self._places: dict[tuple[str, int], int] = {}

    def tile(self, role: str, row: int, note: str = "") -> dict[str, Any]:
        """One row of a side as a tile; its thumbnail is fetched with all others at the end."""
        side = self.sides[role]
        thumb = None
        if side.source.kind == "images":
            thumb = self._places.setdefault((role, row), len(self._places))
        return {
            "side": role, "row": row, "name": side.rows.names[row], "thumb": thumb, "label": self._label(role, row),
            "note": note,
        }  # fmt: skip

    def _label(self, role: str, row: int) -> str | None:
        if self.known is not None and role in self.known.of:
            number = int(self.known.of[role][row])
            return None if number < 0 else self.known.names[number]
        labels = self.sides[role].rows.labels
        return None if labels is None else labels[row]

    def add(
        self,
        key: str,
        kind: str,
        title: str,
        sentence: str,
        tiles: Sequence[Sequence[dict[str, Any]]],
        wholes: Sequence[tuple[str, Sequence[int]]] = (),
    ) -> None:
        """Adds a gallery, unless it would be empty.

        Args:
            key: Its own name.
            kind: What kind of gallery it is.
            title: What stands above it.
            sentence: What it shows.
            tiles: Its rows of tiles.
            wholes: For each row of tiles the side and the numbers of all rows of which the tiles are a part.
        """
        kept = [place for place, row in enumerate(tiles) if row]
        if not kept:
            return
        found = {"key": key, "kind": kind, "title": title, "sentence": sentence}
        self.galleries.append({**found, "tiles": [list(tiles[place]) for place in kept]})
        if wholes:
            self.galleries[-1]["wholes"] = [self._whole(*wholes[place]) for place in kept]

    def _whole(self, role: str, rows: Sequence[int]) -> dict[str, Any]:
        """How many rows there are, and how many have each label, the most frequent ones first; none without labels."""
        counts = Counter(label for row in rows if (label := self._label(role, row)) is not None)
        counts.pop(UNLABELLED, None)
        labels = [[label, count] for label, count in counts.most_common(MOST_LABELS)]
        return {"rows": len(rows), "labels": labels, "kinds": len(counts)}

    def thumbs(self) -> NDArray[np.uint8]:
        """All thumbnails (t, s, s, 3), s <= `MOST`, in the order in which the tiles name them."""
        sizes = [size for side in self.sides.values() for size in side.rows.notes.sizes]
        side = common_side([max(size) for size in sizes])
        found = np.zeros((len(self._places), side, side, 3), dtype=np.uint8)
        at_once = max(1, HELD // max(3 * height * width for height, width in sizes))
        for role in {role for role, _ in self._places}:
            rows = [(row, place) for (owner, row), place in self._places.items() if owner == role]
            for first in range(0, len(rows), at_once):
                part = rows[first : first + at_once]
                images = self.sides[role].source.fetch([row for row, _ in part])
                for (_, place), image in zip(part, images, strict=True):
                    found[place] = thumbnail(image, side)
        return found


def common_side(longest: Sequence[int]) -> int:
    """The side of all thumbnails: the largest multiple of the longest side that is at most `MOST`, or `MOST`."""
    most = max(longest)
    return MOST if most > MOST else MOST // most * most


def thumbnail(image: Pixels, side: int) -> NDArray[np.uint8]:
    """An image as a square of `side` pixels in colour: enlarged by a whole factor, or reduced, on mid-grey."""
    picture = Image.fromarray(image).convert("RGB")
    longest = max(picture.size)
    if longest <= side:
        factor = side // longest
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    else:
        size = tuple(max(1, round(length * side / longest)) for length in picture.size)
        picture = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), (128, 128, 128))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.asarray(square)
