"""The classes of every seed over training, one small picture a seed: a class that dies is a row that fades.

A mean over seeds, as in `class_shares`, hides a class that one seed lost and another keeps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncollapse.report import raster
from uncollapse.report.palette import Style
from uncollapse.report.planar import Picture, PictureRow
from uncollapse.report.real import Real
from uncollapse.report.records import Array, Cell, Lane

MOST_SEEDS = 12
# Shares are drawn from none to twice the fair one, beyond which all look alike.
TOP = 2.0
# Of the true share: less than this, and the class is hardly made, whatever its quality.
FEW = 0.2


def class_history(
    cells: Sequence[Cell], real: Real, looks: dict[str, Style], weights: str = "averaged"
) -> list[PictureRow]:
    """One row a method and one picture a seed: classes down, snapshots across, the ink is the class's share.

    Args:
        cells: The methods of one task.
        real: Its real data.
        looks: How each method is drawn.
        weights: "averaged" or "live".
    """
    rows = []
    for cell in cells:
        lanes = [lane for lane in cell.lanes if lane.shares(weights)[1].size]
        shown = lanes[:MOST_SEEDS]
        if not shown:
            continue
        updates = [int(update) for update in shown[0].shares(weights)[0]]
        note = f"update {updates[0]:,} at the left, {updates[-1]:,} at the right"
        more = f"; {len(shown)} of {len(lanes)} seeds" if len(shown) < len(lanes) else ""
        pictures = tuple(_picture(cell, lane, real, looks[cell.method].tone, weights) for lane in shown)
        rows.append(PictureRow(method=cell.method, note=f"{note}{more}", pictures=pictures))
    return rows


def _picture(cell: Cell, lane: Lane, real: Real, tone: str, weights: str) -> Picture:
    updates, table = lane.shares(weights)
    true = _true_shares(real, table.shape[1])
    relative = np.nan_to_num(table / true).T  # (snapshots, classes) -> (classes, snapshots)
    last = table[-1] / true
    names = real.mode_names if len(real.mode_names) == len(last) else tuple(map(str, range(len(last))))
    few = [name for name, value in zip(names, last, strict=True) if value < FEW]
    if not np.isfinite(last).all():
        told, caption = "the seed had diverged by the end", f"seed {lane.seed}, diverged"
    else:
        told = f"at the end {'hardly made: ' + ', '.join(few) if few else 'every class is made'}"
        caption = f"seed {lane.seed}" + (f", {len(few)} hardly made" if few else "")
    alt = f"Shares of the classes of {cell.method} on {real.name}, seed {lane.seed}, at {len(updates)} moments; {told}"
    return Picture(uri=raster.heat(relative / TOP, tone), alt=alt, caption=caption)


def _true_shares(real: Real, count: int) -> Array:
    """The true share of each class; equal ones where the task is not known."""
    known = real.task is not None and len(real.mode_names) == count
    return real.task.modes.weights.numpy() if known and real.task is not None else np.full(count, 1 / count)
