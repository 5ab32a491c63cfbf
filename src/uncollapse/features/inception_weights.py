"""Where the weights of the 2015 Inception-v3 are, and where they lie on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from uncollapse.data.cache import cache_folder
from uncollapse.data.fetch import COLLECTIONS
from uncollapse.files import readable
from uncollapse.text import size


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """A file that can be fetched.

    Attributes:
        name: As in `uncollapse data fetch NAME`.
        path: Where it lies below the data folder and below the cache.
        urls: Mirrors, in the order of trying; all hold the same bytes.
        sha256: Of its content.
        size: Bytes.
        title: What it is.
        licence: Of the weights.
        origin: What they were converted from.
    """

    name: str
    path: str
    urls: tuple[str, ...]
    sha256: str
    size: int
    title: str
    licence: str
    origin: str


_ROW = COLLECTIONS["inception"]
_FILE = _ROW.files[0]
WEIGHTS = WeightsFile(
    name=_ROW.name,
    path=_FILE.path,
    urls=_FILE.urls,
    sha256=_FILE.sha256,
    size=_FILE.most_bytes,
    title=_ROW.title,
    licence=_ROW.licence,
    origin="http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz",
)
HOW_TO_GET = (
    f"`uncollapse data fetch {WEIGHTS.name}` gets its weights ({size(WEIGHTS.size)}), or --weights PATH names a copy "
    f"of {Path(WEIGHTS.path).name}"
)


def cached_weights() -> Path | None:
    """The file in UNCOLLAPSE_DATA or in the cache, as `uncollapse data fetch inception` leaves it; None without one.

    A file of another length, as an interrupted download leaves it, is none; nor is one that may not be read.
    """
    given = os.environ.get("UNCOLLAPSE_DATA")
    folders = [*([Path(given)] if given else []), cache_folder()]
    places = [folder / WEIGHTS.path for folder in folders]
    return next((place for place in places if readable(place) and place.stat().st_size == WEIGHTS.size), None)
