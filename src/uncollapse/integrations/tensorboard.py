"""TensorBoard: the numbers of a run as event files in its directory; ``tensorboard --logdir runs`` shows them.

Each seed is a TensorBoard run of its own beside their mean, so that one chart has a line a seed. Needs [tensorboard].
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from uncollapse.errors import UserError
from uncollapse.integrations.pictures import snapshot_pictures
from uncollapse.loggers import Scalar, final_scalars, scalars, seeds_of, update
from uncollapse.monitoring_rows import monitor_row

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
MEAN = "mean"


class TensorBoardLogger:
    """Writes to `tensorboard/mean` and `tensorboard/seed-N` in the run's directory.

    Files are opened at the first line, because its update says from where on what an earlier sitting wrote is void.
    """

    def __init__(self) -> None:
        """Looks whether the package is there.

        Raises:
            UserError: It is not.
        """
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError as error:
            raise UserError(
                "TensorBoard is not installed; install it with pip install 'uncollapse[tensorboard]'."
            ) from error
        self._writers: dict[str, SummaryWriter] = {}
        self._seeds: tuple[int, ...] = ()

    def start(self, spec: Mapping[str, object], directory: Path) -> None:
        """Remembers what the run is."""
        self._spec, self._directory, self._seeds = spec, directory, seeds_of(spec)

    def log(self, row: Mapping[str, object]) -> None:
        """Adds the numbers of a line, what the monitor said, and the samples of a snapshot."""
        at = update(row)
        if not self._writers:
            self._open(at)
        self._add(scalars(row, len(self._seeds)), at)
        told = monitor_row(row)
        if told is not None:
            writer = self._writers.get(_folder(told.seed), self._writers[MEAN])
            writer.add_text("monitor", told.words, told.update)
        if row.get("snapshot"):
            for place, png in snapshot_pictures(self._directory, at):
                writer = self._writers[_folder(self._seeds[place])]
                writer.add_image("samples", _pixels(png), at, dataformats="HWC")

    def finish(self, result: Mapping[str, object]) -> None:
        """Adds the final measures and closes the files."""
        try:
            if result:
                found = result.get("updates")
                at = found if isinstance(found, int) else 0
                if not self._writers:  # stopped after the last line, and only judged since
                    self._open(at + 1)
                self._add(final_scalars(result), at)
        finally:
            for writer in self._writers.values():
                writer.close()
            self._writers = {}

    def _open(self, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        _wait_for_a_later_name(self._directory / FOLDER)
        for folder in (MEAN, *map(_folder, self._seeds)):
            place = str(self._directory / FOLDER / folder)
            self._writers[folder] = SummaryWriter(place, purge_step=first)
        lines = "\n".join(f"    {name}: {value}" for name, value in self._spec.items())
        self._writers[MEAN].add_text("spec", lines, first)

    def _add(self, found: Iterable[Scalar], at: int) -> None:
        for scalar in found:
            if scalar.mean is not None:
                self._writers[MEAN].add_scalar(scalar.name, scalar.mean, at)
            for seed, value in zip(self._seeds, scalar.values, strict=True):
                if value is not None:
                    self._writers[_folder(seed)].add_scalar(scalar.name, value, at)


def _wait_for_a_later_name(folder: Path) -> None:
    """Lets the second pass in which an earlier sitting has opened the last of its files, at most one.

    TensorBoard reads the files of a folder in the order of their names, which begin with that second.
    """
    parts = [path.name.split(".") for path in folder.glob("*/events.out.tfevents.*")]
    seconds = [int(part[3]) for part in parts if len(part) > 3 and part[3].isdecimal()]
    left = max(seconds, default=0) + 1 - time.time()
    if 0 < left <= 1:
        time.sleep(left)


def _folder(seed: int | None) -> str:
    return MEAN if seed is None else f"seed-{seed}"


def _pixels(png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A PNG as (h, w, 3) on white."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(paper, picture).convert("RGB"), np.uint8)
