"""The reference of one of our own tasks, which knows its modes: cells are true modes, with their true shares.

Our own trainer judges all seeds of a run against it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from uncollapse.draws import stream
from uncollapse.monitor.cells import ROWS_PER_CELL
from uncollapse.monitor.cells import SETTINGS as CELLS
from uncollapse.monitor.choices import SAMPLES
from uncollapse.monitor.encoding import Encoder, Space
from uncollapse.monitor.hosts import plain_numbers
from uncollapse.monitor.reference import Known, Reference, prepared
from uncollapse.monitor.statistics import SETTINGS as RANGES
from uncollapse.tasks.identity import own_code
from uncollapse.tasks.task import Task

# With more modes than this a look is too small to tell of each, and clusters of the data stand for them.
MOST_MODES = 100
# Fakes for each mode, so that a mode that is made as it should be is surely reached.
PER_MODE = 20
FEWEST_ROWS, MOST_ROWS = 1_000, 10_000
VERSION = "monitor truth 1"


def look_size(task: Task) -> int:
    """Fakes of a look."""
    modes = len(task.modes)
    return max(SAMPLES, PER_MODE * modes) if modes <= MOST_MODES else SAMPLES


def task_reference(task: Task, *, samples: int, cache: bool = True) -> Reference:
    """What generators that learn a task are compared with; the same in every process and for all seeds.

    Features are the numbers of a sample. A mode so rare that no real row shows it is in no cell.

    Args:
        task: The task.
        samples: Fakes of a look.
        cache: Whether what takes seconds is kept on disk and reused.
    """
    shares = task.modes.weights.double().numpy()
    n = int(min(max(FEWEST_ROWS, 2 * samples, math.ceil(ROWS_PER_CELL / shares.min())), MOST_ROWS))
    with plain_numbers():
        real = task.sample(n, stream(0, "monitor reference"))[0].float()
        modes, rows = task.assign(real)[0].numpy(), flat(real)
        seen = np.unique(modes[modes >= 0])
        known = 2 <= len(seen) <= MOST_MODES
        space = Space.of(rows)
        projected = space.project(rows)
        labels = Places(seen, len(shares))(modes) if known else None
        names = tuple(task.modes.names[mode] for mode in seen)
        classes = None if labels is None else Known(names=names, of=labels, judged=True)
        digest = _digest(task, rows, samples)
        cells, ranges = prepared(projected, classes, None, samples, 0, digest if cache else None, features=rows)
        if known:
            cells = replace(cells, shares=shares[seen] / shares[seen].sum())
        examples = cells.examples(projected)

    def classify(x: Tensor) -> NDArray[np.int64]:
        return Places(seen, len(shares))(task.assign(x)[0].cpu().numpy())

    return Reference(
        encoder=Encoder(extractor=flat, shape=task.shape, width=rows.shape[1], classify=classify if known else None),
        space=space, cells=cells, examples=examples, ordinary=ranges, digest=digest,
        why=f"the modes of {task.name}" if known else f"clusters of {task.name}", names=(), raw=None, source=None,
    )  # fmt: skip


class Places:
    """Modes as numbers of cells."""

    def __init__(self, seen: NDArray[np.int64], count: int) -> None:
        """Cell k is the k-th of the modes that were seen, of `count`; all others are in no cell."""
        self._cells = np.full(count + 1, -1)
        self._cells[seen] = np.arange(len(seen))

    def __call__(self, modes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cell of each mode (m,), -1 for none; also of the mode -1, which is the last place."""
        return self._cells[modes]


def flat(x: Tensor) -> Tensor:
    """Samples (m, ...) as rows."""
    return x.flatten(1)


def _digest(task: Task, rows: Tensor, samples: int) -> str:
    # The code of a user's own task decides what `assign` says of the same rows; the project's tasks have none.
    told = json.dumps(
        [VERSION, task.spec(), list(rows.shape), samples, str(CELLS), str(RANGES), *own_code(task).values()],
        sort_keys=True,
    )
    digest = hashlib.sha256(told.encode())
    digest.update(np.ascontiguousarray(rows.numpy()).tobytes())
    return digest.hexdigest()
