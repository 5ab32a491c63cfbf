"""The table of what image tasks measure beside their modes, with real training images in its first row.

The real row is measured here in the same way as the generators, because a distance or a recall can only be read beside
what real images of the same number reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from uncollapse.draws import stream
from uncollapse.experiments.record import Lane, summarise
from uncollapse.features.classifier import CLASSIFIERS, load_card
from uncollapse.metrics.images import SIZE
from uncollapse.report.amounts import NOTHING, Amount, amount_of
from uncollapse.report.class_shares import real_entropy
from uncollapse.report.measures import IMAGE_KEYS, Measure, entry_of, measure_of
from uncollapse.report.real import Real
from uncollapse.report.records import Cell
from uncollapse.report.tables import measured
from uncollapse.tasks.task import Task

DRAWS = 4
ENTROPY = "class_entropy"


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """The image measures of one task.

    Attributes:
        columns: What is shown, in order.
        real: The amounts of real images for each column, without a value where there is none.
        rows: Method -> the same of its seeds.
        note: What the first row is.
    """

    columns: tuple[Measure, ...]
    real: tuple[Amount, ...]
    rows: tuple[tuple[str, tuple[Amount, ...]], ...]
    note: str


def image_table(cells: Sequence[Cell], real: Real) -> ImageTable | None:
    """The table of one task; None where no method has an image measure.

    Args:
        cells: The methods of the task.
        real: Its real data.
    """
    shown = tuple(measure_of(key) for key in IMAGE_KEYS if any(entry_of(cell, key) for cell in cells))
    if not shown:
        return None
    columns = (measure_of(ENTROPY), *shown) if any(entry_of(cell, ENTROPY) for cell in cells) else shown
    found = _real_row(real)
    return ImageTable(
        columns=columns,
        real=tuple(found.get(measure.key, NOTHING) for measure in columns) if found else (),
        rows=tuple((cell.method, tuple(measured(cell, measure) for measure in columns)) for cell in cells),
        note=_note(found),
    )


def _note(found: dict[str, Amount]) -> str:
    if not found:
        return ""
    told = (
        f"First row: real training images measured as if a generator had made them, {DRAWS} draws of up to "
        f"{SIZE:,} different ones, with the entropy of the true shares"
    )
    agreement = "; its label agreement is the classifier's accuracy on held-out images"
    return f"{told}{agreement if 'label_agreement' in found else ''}."


def _real_row(real: Real) -> dict[str, Amount]:
    """Key -> amount; empty where the task has no classifier or cannot be built."""
    if real.task is None or real.task.name not in CLASSIFIERS:
        return {}
    draws = [Lane(seed=draw, diverged=False, measures={"real": _measured(real.task, draw)}) for draw in range(DRAWS)]
    weights = real.task.modes.weights.tolist()
    rows: dict[str, Amount] = {}
    for key in draws[0].measures["real"]:
        entry = summarise(key, draws, "real", weights)
        if key in IMAGE_KEYS and entry["mean"] is not None:
            rows[key] = replace(amount_of(entry, measure_of(key).kind), basis=f"{entry['n']} draws")
    bits = real_entropy(real)
    if bits is not None:
        rows[ENTROPY] = Amount(value=bits, basis="true shares")
    card = load_card(real.task.name)
    sure = {"mean": card.accuracy, "low": card.accuracy_low, "high": card.accuracy_high, "n": card.n_held_out}
    rows["label_agreement"] = replace(amount_of(sure, "share"), basis=f"{card.n_held_out:,} images")
    return rows


def _measured(task: Task, draw: int) -> dict[str, float | None]:
    """The image measures of real training images."""
    drawing = stream(draw, "report: training images")
    images, _ = task.sample(3 * SIZE, drawing)
    # Different ones, because a generator that repeats itself is no ideal; half of a small set, so that draws differ.
    unlike = torch.unique(images.flatten(1), dim=0)
    rows = drawing.permutation(len(unlike))[: min(SIZE, len(unlike) // 2)]
    return task.further_measures(unlike[rows].view(-1, *images.shape[1:]), None)
