"""Samples of a trained run as files: arrays, a table, a grid of pictures or a folder of them.

Behind `uncollapse sample`; what is drawn depends on the run, the seed and the draw only, never on the file's form.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from uncollapse.errors import UserError, unknown
from uncollapse.text import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from uncollapse.run import Run
    from uncollapse.tasks import Task

FORMS = (".npz", ".png", ".csv", "")
WEIGHTS = {"ema": "averaged", "averaged": "averaged", "live": "live", "best": "best"}
CELL_PIXELS = 32
LISTED = 12


def write_samples(
    directory: Path,
    n: int,
    out: Path,
    *,
    seed: int | None = None,
    label: str | None = None,
    weights: str = "ema",
    draw: int = 0,
    plugins: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Draws samples of a run and writes them.

    Args:
        directory: The run's directory.
        n: Number of samples, at least 1.
        out: ``.npz``; ``.csv`` for vectors; ``.png`` (a grid) or a folder (one PNG each) for images.
        seed: Which of the run's generators; None = the first that did not diverge.
        label: A class as the data label it, or its mode's name, for a conditional method; None = all classes in the
            data's proportions.
        weights: ``"ema"`` (the averaged generator), ``"live"`` or ``"best"`` (the averaged generator of the checkpoint
            whose samples were worth most).
        draw: Which independent batch, from 0.
        plugins: What the run's specification needs.

    Returns:
        What was written, as JSON values.

    Raises:
        UserError: Something asked for does not exist or does not fit the task.
    """
    import numpy as np

    from uncollapse.run import load
    from uncollapse.tasks import Arrays

    if n < 1 or draw < 0:
        raise UserError(f"--n {n} --draw {draw} is not possible; n counts from 1 and draw from 0.")
    if weights not in WEIGHTS:
        raise unknown("kind of weights", weights, ("ema", "live", "best"))
    run = load(directory, plugins=plugins)
    shape = run.spec.task.shape
    check_form(out, shape)
    chosen = seed if seed is not None else _first_seed(run)
    if chosen not in run.spec.seeds:
        raise unknown("seed in this run", chosen, (str(item) for item in run.spec.seeds))
    labels = _labels(run, n, label)
    samples = run.samples(n, seed=chosen, weights=WEIGHTS[weights], labels=labels, draw=draw)
    limits = (-1.0, 1.0)
    task = run.spec.task
    if isinstance(task, Arrays):
        limits = (float(np.min(np.asarray(task.x))), float(np.max(np.asarray(task.x))))
    out.parent.mkdir(parents=True, exist_ok=True)
    values = None if labels is None else task.label_values[labels.numpy()]
    drawn = np.asarray(samples)
    if out.suffix.lower() in ("", ".png"):
        drawn = upright(drawn, first=not isinstance(task, Arrays) or not task.channels_last)
    write(out, drawn, values, limits=limits)
    return {"file": str(out), "n": n, "seed": chosen, "weights": WEIGHTS[weights], "draw": draw, "class": label}


def check_form(out: Path, shape: tuple[int, ...]) -> None:
    """Refuses a kind of file that cannot hold such samples, or a folder that holds something already."""
    form = out.suffix.lower()
    if form not in FORMS:
        raise UserError(f"--out {clean(out.name)!r} ends in {form!r}; use .npz, .csv, .png or a folder without ending.")
    images = len(shape) in (2, 3)
    if form in (".png", "") and not images:
        raise UserError(f"Samples of shape {shape} are no images; use an --out that ends in .npz or .csv.")
    if form == ".csv" and images:
        raise UserError(f"Samples of shape {shape} are images; use an --out that ends in .npz or .png, or a folder.")
    if form == "" and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {clean(out)} exists and is not an empty folder; choose another one.")


def _first_seed(run: Run) -> int:
    lanes = run.metrics if run.status == "finished" else []
    alive = [lane["seed"] for lane in lanes if lane["diverged_at"] is None]
    return int((alive or list(run.spec.seeds))[0])


def _labels(run: Run, n: int, label: str | None) -> Tensor | None:
    import torch

    if not run.spec.method.labelled:
        if label is not None:
            raise UserError(f"--class {label}: {run.spec.method.name} is not conditional; leave --class out.")
        return None
    if label is None:
        balanced: Tensor = run.spec.task.balanced_labels(n)
        return balanced
    number = class_number(run.spec.task, label)
    return torch.full((n,), number, dtype=torch.int64)


def class_number(task: Task, text: str) -> int:
    """The label that a text means: the data's own value of it (``3``, ``setosa``), or the name of its mode.

    Raises:
        UserError: The task has no such class.
    """
    values = task.label_values
    own = [str(value) for value in values]
    for known in (own, list(task.modes.names)):
        if text in known:
            return known.index(text)
    if values.dtype.kind in "iuf":
        try:
            equal = [number for number, value in enumerate(values) if value == float(text)]  # 3 means 3.0
        except ValueError:
            equal = []
        if equal:
            return equal[0]
    more = ", ..." if len(own) > LISTED else ""
    raise UserError(f"--class {text!r} does not exist; classes are {', '.join(own[:LISTED])}{more}.")


def write(
    out: Path, samples: NDArray[Any], labels: NDArray[Any] | None, *, limits: tuple[float, float] = (-1.0, 1.0)
) -> None:
    """Writes samples (n, *shape) and labels (n,) or None in the form that the ending asks for.

    Args:
        out: File or folder.
        samples: The samples.
        labels: Their labels, as the data write them.
        limits: The values that are black and white in a picture.
    """
    import numpy as np

    form = out.suffix.lower()
    named: dict[str, Any] = {"samples": samples} | ({} if labels is None else {"labels": labels})
    if form not in (".npz", ".csv", ".png"):
        out.mkdir(exist_ok=True)
        for number, picture in enumerate(pixels(samples, limits)):
            suffix = "" if labels is None else f"-class-{re.sub(r'[^A-Za-z0-9.]+', '-', str(labels[number]))}"
            _image(picture).save(out / f"{number:06d}{suffix}.png")
        return
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if form == ".npz":
                np.savez_compressed(file, **named)
            elif form == ".csv":
                _write_csv(file, samples, labels)
            else:
                _image(grid(pixels(samples, limits))).save(file, format="PNG")
        temporary.replace(out)  # so that earlier samples stay where the new ones have no room
    finally:
        temporary.unlink(missing_ok=True)


def _write_csv(file: BinaryIO, samples: NDArray[Any], labels: NDArray[Any] | None) -> None:
    header = [f"x{i}" for i in range(samples.shape[1])] + ([] if labels is None else ["label"])
    with io.TextIOWrapper(file, newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(header)
        for number, row in enumerate(samples.tolist()):
            writer.writerow(row if labels is None else [*row, labels[number].item()])


def upright(samples: NDArray[Any], *, first: bool) -> NDArray[Any]:
    """Images (n, h, w), (n, c, h, w) with `first`, else (n, h, w, c), as (n, h, w[, 3 or 4]), as pictures are written.

    Raises:
        UserError: Other numbers of channels than 1, 3 or 4.
    """
    from uncollapse.data.layout import CHANNELS, Layout

    channels = 0 if samples.ndim == 3 else samples.shape[1 if first else -1]
    if channels and channels not in CHANNELS:
        raise UserError(f"Images of {channels} channels are no pictures; use an --out that ends in .npz.")
    return Layout(kind="images", channels=channels, first=first).upright(samples)


def pixels(samples: NDArray[Any], limits: tuple[float, float] = (-1.0, 1.0)) -> NDArray[np.uint8]:
    """Images (n, h, w[, c]) as bytes, what lies outside the limits clipped.

    >>> import numpy as np
    >>> pixels(np.array([[[-1.0, 0.0, 3.0]]])).tolist()
    [[[0, 128, 255]]]
    """
    import numpy as np

    low, high = limits
    return np.rint((samples.clip(low, high) - low) * (255 / (high - low or 1))).astype(np.uint8)


def grid(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, h, w[, c]) as one nearly square picture, row by row, small ones enlarged by a whole factor."""
    import numpy as np

    n, height, width = images.shape[:3]
    factor = max(1, CELL_PIXELS // max(height, width))
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    cell = (height * factor + 1, width * factor + 1)
    picture = np.full((rows * cell[0] + 1, columns * cell[1] + 1, *images.shape[3:]), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * cell[0] + 1, number % columns * cell[1] + 1
        picture[top : top + height * factor, left : left + width * factor] = image
    return picture


def _image(array: NDArray[np.uint8]) -> Any:
    from PIL import Image

    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)
