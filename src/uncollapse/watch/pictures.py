"""Samples as the page draws them: images as one PNG a seed, vectors as points in a window that all snapshots share."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from uncollapse.data.limits import MEGA
from uncollapse.watch.samples import Samples

SIDE = 5  # images in a row of a sheet
PIXELS = 240  # least width of a sheet
MOST_PIXELS = 32 * MEGA  # of a sheet that is enlarged to that width
MOST_NUMBERS = 4 * MEGA  # from which axes are found: four thousand samples of a thousand numbers
MARGIN = 0.08
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Plane:
    """How samples of any shape become points of the plane; one for all snapshots of a run.

    Attributes:
        middle: What is subtracted, (d,).
        axes: What it is multiplied with, (d, 2); the first two axes themselves for points of the plane.
        note: What the axes are, for the caption.
    """

    middle: Array
    axes: Array
    note: str

    @staticmethod
    def of(samples: Samples) -> Plane:
        """The plane itself for two numbers a sample, else the principal two axes of samples (lanes, m, *shape)."""
        rows = finite_rows(samples)
        width = rows.shape[1]
        if width <= 2 or len(rows) < 2:
            note = "" if width == 2 else "one number a sample" if width == 1 else "first two numbers of each sample"
            return Plane(middle=np.zeros(width), axes=np.eye(width, 2), note=note)
        middle = rows.mean(0)
        step = min(max(1, len(rows) // 4_000, rows.size // MOST_NUMBERS), len(rows) - 1)
        axes = np.linalg.svd(rows[::step] - middle, full_matrices=False)[2][:2].T
        axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])  # no mirror image at the next look
        return Plane(middle=middle, axes=axes, note="first two principal axes of the newest snapshot")

    def points(self, samples: Samples) -> Array:
        """Points (m, 2) of the samples (m, *shape) of one lane; NaN where a sample is not finite."""
        rows = samples.reshape(len(samples), -1).astype(np.float64)
        rows[~np.isfinite(rows).all(1)] = np.nan
        found: Array = (rows - self.middle) @ self.axes
        if rows.shape[1] == 1:
            found[:, 1] = np.linspace(-1, 1, len(found))
        return found


def finite_rows(samples: Samples) -> Array:
    """Samples (lanes, m, *shape) -> the finite ones as rows (n, d)."""
    rows = samples.reshape(samples.shape[0] * samples.shape[1], -1).astype(np.float64)
    return rows[np.isfinite(rows).all(1)]


def window(clouds: Iterable[Array]) -> list[float]:
    """The square window [left, bottom, side] around most points of all snapshots.

    A snapshot that has exploded does not make the others a dot: no side is more than four times the median one.

    Args:
        clouds: Points (n, 2) of each snapshot, NaN among them.
    """
    boxes = []
    for cloud in clouds:
        sound = cloud[np.isfinite(cloud).all(1)]
        if len(sound):
            boxes.append(np.quantile(sound, (0.005, 0.995), axis=0))  # (2, 2)
    if not boxes:
        return [-1.0, -1.0, 2.0]
    table = np.array(boxes)  # (snapshots, low or high, axis)
    sides = (table[:, 1] - table[:, 0]).max(1)
    table = table[sides <= 4 * max(float(np.median(sides)), 1e-12)]
    low, high = table[:, 0].min(0), table[:, 1].max(0)
    side = float((high - low).max()) * (1 + 2 * MARGIN) or 1.0
    left, bottom = (float(value) - side / 2 for value in (low + high) / 2)
    return [float(f"{value:.6g}") for value in (left, bottom, side)]


def cloud_json(points: Array) -> dict[str, Any]:
    """Points (m, 2) as a flat list of coordinates to four digits, and how many were not finite."""
    sound = points[np.isfinite(points).all(1)]
    flat = [float(f"{value:.4g}") for value in sound.reshape(-1)]
    return {"xy": flat, "lost": len(points) - len(sound)}


def tones(samples: Samples) -> tuple[float, float]:
    """The values shown as darkest and brightest: [0, 1] or [-1, 1] where samples keep to it, else what they span."""
    values = samples[np.isfinite(samples)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    for bottom, top in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if bottom - 0.02 * (top - bottom) <= low and high <= top + 0.02 * (top - bottom):
            return bottom, top
    low, high = (float(value) for value in np.quantile(values, (0.002, 0.998)))
    return (low, high) if high > low else (low, low + 1.0)


def sheet(images: Samples, low: float, high: float) -> bytes:
    """Images of one lane (m, h, w) or (m, c, h, w) as one PNG; what is not finite becomes transparent."""
    planes = images[:, None] if images.ndim == 3 else images  # (m, c, h, w)
    m, _, height, width = planes.shape
    columns = min(SIDE, m)
    # A high and narrow image would grow with the square of what its width lacks.
    most = math.isqrt(MOST_PIXELS // (m * height * width))
    zoom = max(1, min(-(-PIXELS // (columns * width)), most))
    gap = max(1, zoom // 2)
    rows, tall, wide = -(-m // columns), height * zoom, width * zoom
    canvas = np.zeros((rows * (tall + gap) - gap, columns * (wide + gap) - gap, 4), np.uint8)
    for place in range(m):
        top, left = place // columns * (tall + gap), place % columns * (wide + gap)
        pixels = _pixels(planes[place], low, high).repeat(zoom, 0).repeat(zoom, 1)
        canvas[top : top + tall, left : left + wide] = pixels
    stream = io.BytesIO()
    Image.fromarray(canvas).save(stream, format="PNG")
    return stream.getvalue()


def _pixels(image: Samples, low: float, high: float) -> NDArray[np.uint8]:
    """One image (c, h, w) as red, green, blue and opacity (h, w, 4); by channel, as a large one fills memory."""
    pixels = np.empty((*image.shape[1:], 4), np.uint8)
    for place in range(3):
        plane = image[min(place, len(image) - 1)].astype(np.float64)
        plane = np.clip((np.nan_to_num(plane, copy=False, nan=low) - low) / (high - low), 0, 1)
        pixels[..., place] = np.round(255 * plane)
    pixels[..., 3] = 255 * np.isfinite(image).all(0)
    return pixels
