"""Raster pictures: densities, point clouds and image grids as small transparent PNG data URIs.

Drawn without axes at twice the display size; captions are HTML beside them, so that small type never shrinks.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from uncollapse.report.records import Array

LEVELS = (0.004, 0.02, 0.06, 0.15, 0.3, 0.55, 0.85)
BANDWIDTH = 0.009  # of the width of the picture: fine enough to part the modes of every built-in mixture


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The square window that all pictures of one task share.

    Attributes:
        left: Smallest x.
        bottom: Smallest y.
        side: Width and height in data units.
    """

    left: float
    bottom: float
    side: float

    @staticmethod
    def around(points: Array, margin: float = 0.12) -> Frame:
        """The square around finite points (n, 2) with a margin as a fraction of its side."""
        low, high = np.nanmin(points, 0), np.nanmax(points, 0)
        side = float(max(high - low)) * (1 + 2 * margin) or 1.0
        middle = (low + high) / 2
        return Frame(left=float(middle[0]) - side / 2, bottom=float(middle[1]) - side / 2, side=side)

    def unit(self, points: Array) -> Array:
        """Points (n, 2) -> picture coordinates in [0, 1] with y down; points outside leave that range."""
        finite = points[np.isfinite(points).all(1)]
        x, y = (finite[:, 0] - self.left) / self.side, (finite[:, 1] - self.bottom) / self.side
        return np.stack([x, 1 - y], 1)

    def outside(self, points: Array) -> float:
        """Share of the points (n, 2) that the window does not show, in [0, 1]."""
        at = self.unit(points)
        shown = ((at >= 0) & (at <= 1)).all(1).sum()
        return float(1 - shown / max(len(points), 1))


def density(points: Array, frame: Frame, *, pixels: int = 320) -> Array:
    """Gaussian kernel density estimate (pixels, pixels) of points (n, 2) on the frame's grid, summing to one at most.

    Counts on the pixel grid convolved with a Gaussian of standard deviation `BANDWIDTH` x the frame's side, the same
    for real and generated samples.
    """
    from scipy.ndimage import gaussian_filter

    at = frame.unit(points)
    counts, _, _ = np.histogram2d(at[:, 1], at[:, 0], bins=pixels, range=((0, 1), (0, 1)))
    smooth: Array = gaussian_filter(counts / max(len(points), 1), BANDWIDTH * pixels, mode="constant")
    return smooth


def filled(values: Array, top: float, tone: str) -> str:
    """Filled contours of a density as a PNG data URI; the levels are fixed shares of `top`."""
    steps = np.digitize(values / max(top, 1e-300), LEVELS).astype(np.uint8)
    alphas = [0, *(int(255 * share) for share in np.linspace(0.16, 1.0, len(LEVELS)))]
    return _toned(steps, tone, alphas)


def scatter(points: Array, frame: Frame, tone: str, *, pixels: int = 320, radius: float = 2.2, ink: int = 150) -> str:
    """A cloud of points (n, 2) as a PNG data URI; overlapping points darken.

    Args:
        points: The samples.
        frame: The window.
        tone: Colour of the points.
        pixels: Width and height of the picture.
        radius: Radius of a point in pixels of the picture.
        ink: Opacity of one point, 0..255.
    """
    at = frame.unit(points)
    at = at[((at >= 0) & (at <= 1)).all(1)]
    reach = int(np.ceil(radius)) + 1
    span = np.arange(-reach, reach + 1)
    cloud = np.zeros((pixels + 2 * reach + 1, pixels + 2 * reach + 1))
    x, y = at[:, 0] * pixels, at[:, 1] * pixels
    column, row = x.astype(int), y.astype(int)
    for down in span:
        for right in span:
            far = np.hypot(column + right + 0.5 - x, row + down + 0.5 - y)
            cover = np.clip(radius + 0.5 - far, 0, 1)
            np.add.at(cloud, (row + down + reach, column + right + reach), cover)
    alpha = 1 - (1 - ink / 255) ** cloud[reach : reach + pixels, reach : reach + pixels]
    return _toned(np.round(alpha * 15).astype(np.uint8), tone, [int(17 * level) for level in range(16)])


def heat(values: Array, tone: str) -> str:
    """A table of values in 0 .. 1 (rows, columns) as a PNG data URI, one pixel a value; the value is the ink.

    It is to be enlarged by the page with sharp pixels. Values outside the range are drawn as its ends.
    """
    steps = np.round(15 * np.clip(values, 0, 1)).astype(np.uint8)
    return _toned(steps, tone, [int(17 * level) for level in range(16)])


def _toned(steps: Array, tone: str, alphas: Sequence[int]) -> str:
    """A picture of one colour whose opacity is alphas[step], as a palette PNG."""
    picture = Image.fromarray(steps, mode="P")
    colour = [int(tone[i : i + 2], 16) for i in (1, 3, 5)]
    picture.putpalette(colour * len(alphas))
    return _uri(picture, transparency=bytes(alphas))


def centres(points: Array, frame: Frame, *, pixels: int = 320) -> str:
    """The true centres (K, 2) as fine rings on a transparent ground, to be laid over a cloud."""
    scale = 3
    mask = Image.new("L", (pixels * scale, pixels * scale))
    pen = ImageDraw.Draw(mask)
    radius = max(3.5, min(9.0, 0.16 * pixels / np.sqrt(max(len(points), 1)))) * scale
    for x, y in frame.unit(points) * pixels * scale:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=255, width=int(1.6 * scale))
    steps = np.asarray(mask.resize((pixels, pixels), Image.Resampling.BOX)) // 17
    return _toned(steps.astype(np.uint8), "#8a8a8a", [int(17 * level) for level in range(16)])


def grid(images: Sequence[Sequence[Array | None]], low: float, high: float, *, pixels: int = 240) -> str:
    """Rows of images, each (h, w) or (c, h, w), as one PNG data URI; None leaves a hole.

    Args:
        images: Rows of equal length.
        low: The value shown as the darkest tone.
        high: The value shown as the brightest tone.
        pixels: Least width of the picture; small images are enlarged by a whole factor so that their pixels stay sharp.
    """
    first = next((image for row in images for image in row if image is not None), None)
    if first is None:
        return ""
    height, width = first.shape[-2:]
    rows, columns = len(images), max(len(row) for row in images)
    zoom = max(1, -(-pixels // (columns * width)))
    gap, height, width = max(2, zoom), height * zoom, width * zoom
    canvas = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for i, row in enumerate(images):
        for j, image in enumerate(row):
            if image is not None:
                top, left = i * (height + gap), j * (width + gap)
                canvas[top : top + height, left : left + width] = _coloured(image, low, high, zoom)
    return _uri(Image.fromarray(canvas))


def _coloured(image: Array, low: float, high: float, zoom: int) -> Array:
    """One image as RGBA bytes (h * zoom, w * zoom, 4); values that are not finite become the darkest tone."""
    planes = image[None] if image.ndim == 2 else image
    scaled = np.clip((np.nan_to_num(planes, nan=low) - low) / max(high - low, 1e-12), 0, 1)
    colours = np.repeat(scaled, 3, 0) if len(scaled) == 1 else scaled[:3]
    opaque = np.ones((1, *scaled.shape[1:]))
    planes = np.concatenate([colours, opaque]).repeat(zoom, 1).repeat(zoom, 2)
    return np.round(255 * np.moveaxis(planes, 0, -1)).astype(np.uint8)


def _uri(picture: Image.Image, **options: bytes) -> str:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
