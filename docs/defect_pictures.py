"""Draws the pictures of docs/metrics/: the planted defects above, what the metric makes of each below.

`nice .venv/bin/python docs/defect_pictures.py [METRIC ...]`; all together take about a minute on one core.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from defects import SIZE, STEEPNESS, estimates, morph, samples, verdicts
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from uncollapse.features.classifier import digits_classifier
from uncollapse.files import write_atomic
from uncollapse.metric_cards import GOOD
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.metric import NAMES, find_metric
from uncollapse.sampling import pixels

FOLDER = Path(__file__).parent / "metrics"
# Metrics whose values span orders of magnitude.
LOG = ("birthday",)
BLUE, VERMILION, BAND = (0, 114, 178), (213, 94, 0), (222, 235, 243)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
DPI, WIDTH, HEIGHT = 100, 900, 360
SHOWN, ZOOM, GAP = 4, 3, 2
# Pixels left of the columns, from the top to the images, and from the bottom to the axis.
LEFT, TOP, FOOT = 92, 24, 34


def panel(images: Tensor) -> NDArray[np.uint8]:
    """The first images (n, 64) as a square grid with white gaps, grey levels."""
    cell = 8 * ZOOM + GAP
    picture = np.full((SHOWN * cell - GAP, SHOWN * cell - GAP), 255, np.uint8)
    for number, image in enumerate(pixels(images.reshape(-1, 8, 8).numpy())[: SHOWN * SHOWN]):
        top, left = (cell * place for place in divmod(number, SHOWN))
        picture[top : top + 8 * ZOOM, left : left + 8 * ZOOM] = image.repeat(ZOOM, 0).repeat(ZOOM, 1)
    return picture


def shown(name: str) -> dict[str, Tensor]:
    """Column -> the images of its panel: sorted by digit, or along the two latent directions."""
    if find_metric(name).takes == "a generator":
        ends = torch.linspace(-1.5, 1.5, SHOWN, dtype=torch.float64)
        latent = torch.cartesian_prod(ends, ends).flip(1)
        return {column: morph(steepness, latent) for column, steepness in STEEPNESS.items()}
    judge = digits_classifier()
    first = {column: images[: SHOWN * SHOWN] for column, images in samples().items()}
    return {column: images[judge(images).argmax(1).argsort(stable=True)] for column, images in first.items()}


def draw(name: str) -> Image.Image:
    """The picture of one metric: images above, values with intervals below, one column a defect."""
    metric, found, verdict = find_metric(name), estimates(name), verdicts(name)
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    side, column = SHOWN * (8 * ZOOM + GAP) - GAP, (WIDTH - LEFT - 4) / len(found)
    for place, (title, images) in enumerate(shown(name).items()):
        middle = LEFT + (place + 0.5) * column
        box = ((middle - side / 2) / WIDTH, 1 - (TOP + side) / HEIGHT, side / WIDTH, side / HEIGHT)
        axes = figure.add_axes(box)
        axes.imshow(panel(images), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_axis_off()
        figure.text(middle / WIDTH, 1 - (TOP - 6) / HEIGHT, title, ha="center", fontsize=10)
    note = "latents on\na 4 x 4 grid" if metric.takes == "a generator" else f"{SHOWN * SHOWN} of the\n{SIZE} images"
    figure.text(10 / WIDTH, 1 - (TOP + side / 2) / HEIGHT, note, va="center", fontsize=9, color="0.35")
    height = HEIGHT - TOP - side - FOOT - 12
    axes = figure.add_axes((LEFT / WIDTH, FOOT / HEIGHT, column * len(found) / WIDTH, height / HEIGHT))
    _dots(axes, found, verdict)
    axes.set_ylabel(f"{metric.name}\n{GOOD[metric.direction]}", fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, dpi=DPI)
    return Image.open(file).convert("RGB")


def _dots(axes: Axes, found: Mapping[str, Estimate], verdict: Mapping[str, bool]) -> None:
    """Each column's value with its interval; a bar that ends in an arrow has no limit on that side."""
    healthy = next(iter(found.values()))
    floor, roof = _limits(found)
    axes.set(xlim=(-0.5, len(found) - 0.5), ylim=(floor, roof), yscale="log" if healthy.metric in LOG else "linear")
    bottom, top = (edge if end is None else end for edge, end in ((floor, healthy.low), (roof, healthy.high)))
    axes.axhspan(bottom, top, color=np.array(BAND) / 255, zorder=0)
    for place, (column, estimate) in enumerate(found.items()):
        colour = _colour(verdict.get(column, False))
        if (estimate.low, estimate.high) != (None, None):
            low, high = (edge if end is None else end for edge, end in ((floor, estimate.low), (roof, estimate.high)))
            axes.vlines(place, low, high, color=colour, linewidth=1.8)
        if estimate.value is not None:
            axes.plot(place, estimate.value, "o", color=colour, markersize=5)
        for end, edge, marker in ((estimate.low, floor, "v"), (estimate.high, roof, "^")):
            if end is None and (estimate.low, estimate.high) != (None, None):
                axes.plot(place, edge, marker, color=colour, markersize=7, clip_on=False)
    words = {True: "seen", False: "not seen"}
    labels = [words[verdict[column]] if column in verdict else "reference" for column in found]
    axes.set_xticks(range(len(found)), labels, fontsize=10)
    for label, column in zip(axes.get_xticklabels(), found, strict=True):
        label.set_color(_colour(verdict.get(column, False)))
    axes.tick_params(axis="x", length=0)
    axes.tick_params(axis="y", labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _colour(sees: bool) -> tuple[float, ...]:
    """The colour of a column, as matplotlib wants it."""
    return tuple(part / 255 for part in (VERMILION if sees else BLUE))


def _limits(found: Mapping[str, Estimate]) -> tuple[float, float]:
    """Ends of the axis, a little beyond every dot and bar."""
    numbers = [end for item in found.values() for end in (item.value, item.low, item.high) if end is not None]
    if next(iter(found.values())).metric in LOG:
        return min(numbers) / 3, max(numbers) * 10
    room = 0.08 * (max(numbers) - min(numbers)) or 1.0
    return min(numbers) - room, max(numbers) + room


def png(picture: Image.Image) -> bytes:
    """The picture as a small file, in greys and in shades of the colours that mean something."""
    greys = [np.repeat(np.arange(0, 256, 5)[:, None], 3, 1)]
    mixed = [np.linspace(ground, colour, 10) for ground in (WHITE, BAND) for colour in (BLUE, VERMILION, BLACK)]
    shades = np.unique(np.concatenate(greys + mixed).round().astype(int), axis=0)
    colours, where = np.unique(np.asarray(picture).reshape(-1, 3), axis=0, return_inverse=True)
    nearest = np.square(colours[:, None].astype(int) - shades).sum(2).argmin(1).astype(np.uint8)
    drawn = Image.fromarray(nearest[where].reshape(picture.height, picture.width), "P")
    drawn.putpalette(shades.flatten().tolist())
    file = io.BytesIO()
    drawn.save(file, "PNG", optimize=True)
    return file.getvalue()


def main(names: list[str]) -> None:
    """Draws the pictures of the metrics named, or of all."""
    FOLDER.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    for name in names or NAMES:
        start = time.monotonic()
        made = png(draw(name))
        write_atomic(FOLDER / f"{name}.png", made)
        told = ", ".join(column for column, sees in verdicts(name).items() if sees) or "nothing"
        print(f"{name}: sees {told}; {time.monotonic() - start:.1f} s, {len(made):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
