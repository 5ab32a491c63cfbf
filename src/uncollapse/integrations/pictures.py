"""The samples of a snapshot as small pictures for a logger, drawn as the live page draws them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

from uncollapse.errors import UserError

# A logger shows the first seeds only: a picture a seed would be most of what it writes.
SEEDS = 8
INK = "#1f5fa8"


def snapshot_pictures(directory: Path, update: int) -> Iterator[tuple[int, bytes]]:
    """The place of each of the first seeds and a PNG of its samples; nothing where there is no readable snapshot.

    Args:
        directory: The run's directory.
        update: The critic update of the snapshot.
    """
    from uncollapse.report.raster import Frame, scatter
    from uncollapse.watch.pictures import Plane, sheet, tones, window
    from uncollapse.watch.samples import read_shown

    try:
        shown = read_shown(directory / "samples" / f"step-{update:08d}.npz")
    except UserError:
        return
    lanes = shown.samples[:SEEDS]
    if shown.images:
        low, high = tones(shown.samples)
        for place, images in enumerate(lanes):
            yield place, sheet(images, low, high)
        return
    plane = Plane.of(shown.samples)
    clouds = [plane.points(lane) for lane in lanes]
    left, bottom, side = window(clouds)
    for place, cloud in enumerate(clouds):
        address = scatter(cloud, Frame(left=left, bottom=bottom, side=side), INK)
        yield place, base64.b64decode(address.partition(",")[2])
