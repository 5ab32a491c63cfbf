"""Pictures of samples: densities and clouds of 2-D tasks, and the strip of snapshots over training of any task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from uncollapse.report import raster
from uncollapse.report.palette import REAL_TONE, Style
from uncollapse.report.raster import Frame
from uncollapse.report.real import Real, final_samples, finite, typical
from uncollapse.report.records import Array, Cell

# Pictures of a row in print, and of a scrubber.
COLUMNS, MOST_FRAMES = 11, 44

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One raster picture with its words.

    Attributes:
        uri: PNG as a data URI; empty when there is nothing to show.
        alt: What it shows.
        caption: The line under it.
        over: A second picture laid over it (the true centres), empty when there is none.
        update: The critic update of a snapshot, None for other pictures.
        between: Whether the row has no room for it: the scrubber shows it, and without a script it is folded.
    """

    uri: str
    alt: str
    caption: str
    over: str = ""
    update: int | None = None
    between: bool = False


@dataclass(frozen=True, kw_only=True)
class PictureRow:
    """The pictures of one method.

    Attributes:
        method: Name of the method.
        note: Which seed is shown and what the pictures leave out.
        pictures: In reading order.
    """

    method: str
    note: str
    pictures: tuple[Picture, ...]


def densities(
    cells: tuple[Cell, ...], real: Real, looks: dict[str, Style], weights: str, pixels: int
) -> list[PictureRow]:
    """Real and generated samples side by side, one row a method: both densities, then both clouds."""
    lanes = {cell.method: lane for cell in cells if (lane := typical(cell)) is not None}
    clouds = {method: final_samples(lane, weights) for method, lane in lanes.items()}
    shown = [cloud for cloud in clouds.values() if len(cloud)]
    if not shown:
        return []
    frame = real.frame(np.concatenate(shown))
    reference = shown[0] if real.samples is None else real.samples
    top = float(raster.density(reference, frame, pixels=pixels).max())
    left = (
        () if real.samples is None else _pair("real samples", "Real", real, real.samples, REAL_TONE, frame, top, pixels)
    )
    rows = []
    for method, cloud in clouds.items():
        note = f"seed {lanes[method].seed}{_outside(frame, cloud)}"
        if not len(cloud):
            rows.append(PictureRow(method=method, note=f"{note}: no finite sample to show", pictures=()))
            continue
        what, tone = f"samples of {method}", looks[method].tone
        right = _pair(what, "Generated", real, cloud, tone, frame, top, pixels)
        order = (left[0], right[0], left[1], right[1]) if left else right
        rows.append(PictureRow(method=method, note=note, pictures=order))
    return rows


def _pair(
    what: str, caption: str, real: Real, cloud: Array, tone: str, frame: Frame, top: float, pixels: int
) -> tuple[Picture, ...]:
    """The density and the points of one cloud."""
    dense = raster.filled(raster.density(cloud, frame, pixels=pixels), top, tone)
    points = raster.scatter(cloud, frame, tone, pixels=pixels, radius=pixels / 145, ink=110)
    count = len(cloud)
    return (
        Picture(uri=dense, alt=f"Density of {what} on {real.name}", caption=caption),
        Picture(uri=points, alt=f"{count} {what} on {real.name} as points", caption=f"{caption}, {count:,} points"),
    )


def _outside(frame: Frame, cloud: Array) -> str:
    """A note when the window cuts samples off."""
    share = frame.outside(cloud)
    return f"; {max(100 * share, 0.1):.1f} % of the samples lie outside the picture" if share > 0 else ""


def strips(cells: tuple[Cell, ...], real: Real, looks: dict[str, Style], columns: int, pixels: int) -> list[PictureRow]:
    """Snapshots over training, one row a method, of the seed that stands for the method.

    A row shows as many columns, the first and the last snapshot among them; the scrubber has the others, too.
    """
    rows = []
    for cell in cells:
        lane = typical(cell)
        if lane is None:
            continue
        files = lane.run.sample_files()
        chosen = evenly(list(files), MOST_FRAMES * columns // COLUMNS)
        shots = [(update, lane.run.arrays(files[update]).get("samples")) for update in chosen]
        clouds = [(update, finite(every[lane.index])) for update, every in shots if every is not None]
        if clouds:
            pictures = (
                _points(clouds, cell.method, real, looks, pixels) if real.planar else _images(clouds, cell.method, real)
            )
            shown = evenly([picture.update for picture in pictures], columns)
            pictures = tuple(_thinned(picture, shown) for picture in pictures)
            lost = [f"{update:,}" for update, every in shots if every is None]
            left_out = f"; left out, as the file is damaged: update {', '.join(lost)}" if lost else ""
            rows.append(PictureRow(method=cell.method, note=f"seed {lane.seed}{left_out}", pictures=pictures))
    return rows


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, the first and the last among them, the others at about even distances.

    >>> evenly(range(10), 4), evenly([1, 2], 4)
    ([0, 3, 6, 9], [1, 2])
    """
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in places]


def _thinned(picture: Picture, shown: list[int | None]) -> Picture:
    """A picture that is not shown in the row needs no second copy of the rings."""
    return picture if picture.update in shown else replace(picture, between=True, over="")


def spread(items: list[int], most: int) -> list[int]:
    """At most `most` items at even distances, the last among them (and the first, where the distance allows it)."""
    stride = max(1, -(-(len(items) - 1) // max(most - 1, 1)))
    return items[::-1][::stride][::-1]


def _points(
    clouds: list[tuple[int, Array]], method: str, real: Real, looks: dict[str, Style], pixels: int
) -> tuple[Picture, ...]:
    frame = real.frame(clouds[-1][1] if len(clouds[-1][1]) else np.zeros((1, 2)))
    over = "" if real.centres is None else raster.centres(real.centres, frame, pixels=pixels)
    return tuple(
        Picture(
            uri=raster.scatter(cloud, frame, looks[method].tone, pixels=pixels, radius=pixels / 90, ink=150),
            alt=f"Samples of {method} on {real.name} after {update} updates",
            caption=f"{update:,}",
            over=over,
            update=update,
        )
        for update, cloud in clouds
    )


def _images(clouds: list[tuple[int, Array]], method: str, real: Real) -> tuple[Picture, ...]:
    low, high = value_range(real, clouds[-1][1])
    side = 4
    pictures = []
    for update, cloud in clouds:
        picked = [cloud[i] for i in np.linspace(0, len(cloud) - 1, min(side * side, len(cloud))).astype(int)]
        rows = [
            [*picked[i : i + side], *[None] * (side - len(picked[i : i + side]))] for i in range(0, len(picked), side)
        ]
        alt = f"{len(picked)} samples of {method} on {real.name} after {update} updates"
        pictures.append(
            Picture(uri=raster.grid(rows, low, high, pixels=200), alt=alt, caption=f"{update:,}", update=update)
        )
    return tuple(pictures)


def value_range(real: Real, fallback: Array) -> tuple[float, float]:
    """The values shown as darkest and brightest: the range of the real images."""
    reference = fallback if real.samples is None else real.samples
    return (float(reference.min()), float(reference.max())) if reference.size else (0.0, 1.0)
