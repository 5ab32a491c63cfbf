"""Samples of labelled images sorted by class, one row a class, so that a missing class is an empty row.

Methods that draw for a label are sorted by it; the others by the task's classifier, and the page says which.
"""

from __future__ import annotations

from collections.abc import Sequence

from uncollapse.report import raster
from uncollapse.report.planar import Picture, PictureRow, value_range
from uncollapse.report.real import Real, final_labels, final_samples, typical
from uncollapse.report.records import Array, Cell

PER_ROW = 10


def class_grids(cells: Sequence[Cell], real: Real, weights: str) -> list[PictureRow]:
    """Samples sorted by class, one picture a method with one row a class; a class never produced stays an empty row."""
    rows = []
    if real.samples is not None and real.labels is not None:
        rows.append(_class_grid("real data", real.samples, real.labels, "sorted by their labels", real))
    for cell in cells:
        lane = typical(cell)
        if lane is None:
            continue
        images = final_samples(lane, weights)
        labels = final_labels(lane, weights)
        if labels is None:
            labels = real.assign(images)
        if labels is None or not len(images):
            continue
        label_known = "by the label they were drawn for"
        how = label_known if cell.conditional else "by the classifier, as the method takes no label"
        rows.append(_class_grid(cell.method, images, labels, f"seed {lane.seed}, sorted {how}", real))
    return rows


def class_names(real: Real) -> tuple[str, ...]:
    """Names of the classes, short where they differ only in their last word ("digit 3" -> "3")."""
    words = [name.split() for name in real.mode_names]
    alike = len({tuple(word[:-1]) for word in words}) == 1
    return tuple(word[-1] for word in words) if alike and all(words) else real.mode_names


def _class_grid(method: str, images: Array, labels: Array, note: str, real: Real) -> PictureRow:
    low, high = value_range(real, images)
    count = len(class_names(real)) or int(labels.max()) + 1
    table: list[list[Array | None]] = []
    for label in range(count):
        members = list(images[labels == label][:PER_ROW])
        table.append([*members, *[None] * (PER_ROW - len(members))])
    missing = [str(k) for k in range(count) if not (labels == k).any()]
    alt = f"Samples of {method} on {real.name}, one row a class" + (
        f"; no sample of class {', '.join(missing)}" if missing else ""
    )
    picture = Picture(uri=raster.grid(table, low, high, pixels=560), alt=alt, caption="")
    return PictureRow(method=method, note=note, pictures=(picture,))
