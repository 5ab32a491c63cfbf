"""Room on the disk: how much a run needs before it starts, and the one sentence for what could not be written.

`run.py` asks before it starts; `sitting.py` says what is safe when writing fails later.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from uncollapse.lanes import drawn_networks, lane_seeds, shared_out, sizes_of
from uncollapse.spec import RunSpec
from uncollapse.text import size

# The two that are kept and the one that is being written.
CHECKPOINTS = 3


class CannotWrite(OSError):
    """The disk is in the way; the message is one sentence with what is safe and how to go on."""


def check_room(directory: Path, spec: RunSpec, *, fresh: bool = False) -> None:
    """Refuses a run that has no room for its checkpoints.

    Args:
        directory: The run's; it need not exist, and nothing is written.
        spec: The run.
        fresh: Whether what the directory holds is removed first, so that its checkpoints count as room.

    Raises:
        CannotWrite: There is too little room.
    """
    one = checkpoint_bytes(spec)
    there = taken(directory / "checkpoints")
    free = free_bytes(directory) + (there if fresh else 0)
    # Where a run goes on, the two that are kept are there already.
    kept = 0 if fresh else min((CHECKPOINTS - 1) * one, there)
    if free < CHECKPOINTS * one - kept:
        more = f" beside the {size(kept)} that it has" if kept else ""
        raise CannotWrite(
            f"{directory} has {size(free)} free, and this run needs {size(CHECKPOINTS * one - kept)}{more}, room for"
            f" three checkpoints of {size(one)}; make room, or choose another --out."
        )


def checkpoint_bytes(spec: RunSpec) -> int:
    """How large a checkpoint of a run will be, up to a few numbers that a loss or a constraint may carry."""
    sizes = sizes_of(spec)
    generator, critic = drawn_networks(spec.method, shared_out(spec, sizes), sizes, spec.seeds[0], _dtype(spec))
    # Each player has two moments beside its weights, and the generator an average of weights and buffers.
    lane = 4 * _bytes(generator.parameters()) + 2 * _bytes(generator.buffers())
    lane += 3 * _bytes(critic.parameters()) + _bytes(critic.buffers())
    # A rollback needs what each seed was when it was last healthy.
    kept = 2 if spec.monitor is not None and spec.monitor.on_alarm == "rollback" else 1
    return kept * lane * len(lane_seeds(spec))


def free_bytes(path: Path) -> int:
    """Bytes that may still be written where a path is or will be."""
    return shutil.disk_usage(next(place for place in (path, *path.absolute().parents) if place.exists())).free


def taken(directory: Path) -> int:
    """Bytes of a file or of the files in a folder, 0 where there is none; links are not followed."""
    total = 0
    for path in (directory, *directory.rglob("*")):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # a file may go while it is looked at
            status = path.lstat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def is_about_writing(error: Exception) -> bool:
    """Whether an error is one of those by which a file that cannot be written shows."""
    torn = isinstance(error, RuntimeError) and "unexpected pos" in str(error)  # torch's word for a full disk
    return torn or isinstance(error, (OSError, SafetensorError))


def why(error: Exception, directory: Path) -> str:
    """The reason in an error that is about writing, and how much room there is."""
    said = getattr(error, "strerror", None) or str(error) or f"an {type(error).__name__}"
    return f"{said[:1].lower()}{said[1:]}, {size(free_bytes(directory))} free"


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors)


def _dtype(spec: RunSpec) -> torch.dtype:
    """Of the weights, which are float32 also where layers compute in less."""
    return torch.float64 if spec.dtype == "float64" else torch.float32
