"""The arrays of `pictures.npz`: thumbnails, maps and 2-D points, each checked; what is damaged is left out and told.

Below `evaluation_record`. A page must come out whatever the pictures are, so nothing here raises for the user.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uncollapse.data.npz_files import NpzFile
from uncollapse.errors import UserError

Array = np.ndarray[Any, Any]
LARGEST_THUMB = 64
REAL, FAKE, OTHER = 0, 1, 2  # values of `map_side`


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What `pictures.npz` holds; None for what is not there.

    Attributes:
        thumbs: Thumbnails (t, s, s, 3) uint8.
        maps: Title -> places (m, 2) of the same m rows.
        side: (m,) `REAL`, `FAKE` or `OTHER`.
        classes: (m,) index into the names of the classes or -1.
        marked: (m,) whether it is a real row that the generator never comes near, or a repeated fake.
        points_real: (n, 2) the real rows themselves, when they are 2-D.
        points_fake: (n, 2) the fakes likewise.
        damaged: Sentences on what could not be read.
    """

    thumbs: Array | None = None
    maps: dict[str, Array] = field(default_factory=dict)
    side: Array | None = None
    classes: Array | None = None
    marked: Array | None = None
    points_real: Array | None = None
    points_fake: Array | None = None
    damaged: tuple[str, ...] = ()


def read_pictures(path: Path) -> Pictures:
    """The pictures of an evaluation; without the file there are none."""
    if not path.exists():
        return Pictures()
    try:
        file = NpzFile(path, path.name)
        arrays = {name: file.read(name) for name in file.names}
    except (UserError, MemoryError):
        return Pictures(damaged=(f"{path.name} is damaged, so the pictures are left out.",))
    return _checked(arrays, path.name)


class _Taking:
    """Takes arrays that are as an evaluation writes them, and remembers the names of the others."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays
        self.refused: list[str] = []

    def take(self, name: str, kinds: str, shape: tuple[int | None, ...]) -> Array | None:
        """An array of these kinds of type and this shape, None standing for any length; None where it is not so."""
        array = self.arrays.get(name)
        if array is None:
            return None
        fits = array.ndim == len(shape) and all(
            want is None or have == want for have, want in zip(array.shape, shape, strict=True)
        )
        if fits and array.dtype.kind in kinds:
            return array
        self.refused.append(name)
        return None

    def thumbs(self) -> Array | None:
        """The thumbnails, not larger than a page can show."""
        found = self.take("thumbs", "u", (None, None, None, 3))
        if found is None or (found.dtype == np.uint8 and 1 <= max(found.shape[1:3]) <= LARGEST_THUMB):
            return found
        self.refused.append("thumbs")
        return None


def _checked(arrays: dict[str, Array], source: str) -> Pictures:
    taking = _Taking(arrays)
    thumbs, side = taking.thumbs(), taking.take("map_side", "iu", (None,))
    rows = None if side is None else len(side)
    maps = {
        title: places
        for title, name in (("Features", "map_features"), ("PCA", "map_pca"), ("t-SNE", "map_tsne"))
        if side is not None and (places := taking.take(name, "f", (rows, 2))) is not None
    }
    classes, state = taking.take("map_class", "iu", (rows,)), taking.take("map_state", "iub", (rows,))
    points = {name: taking.take(f"points_{name}", "f", (None, 2)) for name in ("real", "fake")}
    return Pictures(
        thumbs=thumbs,
        maps=maps,
        side=side,
        classes=classes,
        marked=None if state is None else state.astype(bool),
        points_real=points["real"],
        points_fake=points["fake"],
        damaged=tuple(
            f"{name} in {source} has a shape or a type that no evaluation writes, so it is left out."
            for name in taking.refused
        ),
    )
