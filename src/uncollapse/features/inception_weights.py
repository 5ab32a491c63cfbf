"""Where the weights of the 2015 Inception-v3 are, and where they lie on this machine; imports nothing heavy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

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


WEIGHTS = WeightsFile(
    name="inception",
    path="inception/pt_inception-2015-12-05-6726825d.pth",
    urls=(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ),
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size=95_628_359,
    title="weights of the Inception-v3 of the published FID and KID, converted from TensorFlow (Szegedy et al. 2015)",
    licence="Apache-2.0",
    origin="http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz",
)
HOW_TO_GET = (
    f"`uncollapse data fetch {WEIGHTS.name}` gets its weights ({size(WEIGHTS.size)}), or --weights PATH names a copy "
    f"of {Path(WEIGHTS.path).name}"
)


def cached_weights() -> Path | None:
    """The file in UNCOLLAPSE_DATA or in the cache, as `uncollapse data fetch inception` leaves it; None without one.

    A file of another length, as an interrupted download leaves it, is none.
    """
    from uncollapse.data.cache import cache_folder

    given = os.environ.get("UNCOLLAPSE_DATA")
    folders = [*([Path(given)] if given else []), cache_folder()]
    places = [folder / WEIGHTS.path for folder in folders]
    return next((place for place in places if place.is_file() and place.stat().st_size == WEIGHTS.size), None)
