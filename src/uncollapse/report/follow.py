"""Where the points of a chart lie and what they mean, so that the page's script can tell the value under the pointer.

Drawn positions are kept beside the numbers, because axes may be logarithmic; without the script nothing is lost but
the reading of single values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from uncollapse.report.records import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Line:
    """The points of one line, bar or mark.

    Attributes:
        name: What it belongs to, for example "wgan-gp, seed 1003".
        x: Positions on the axis, (T,).
        y: Values, (T,); not finite where there is none.
        at: What stands on the x axis in words, where the position does not say it (names of classes).
        said: What to say of each point instead of its value (an alarm's sentence).
    """

    name: str
    x: Sequence[float] | Array
    y: Sequence[float] | Array
    at: Sequence[str] = ()
    said: Sequence[str] = ()


class Follower:
    """Collects the lines of one chart while it is drawn."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._words = ("update", "", 1.0)

    def words(self, x: str, y: str, *, per_cent: bool = False) -> None:
        """What the axes are called, and whether values are said in per cent."""
        self._words = (x, y, 100.0 if per_cent else 1.0)

    def add(self, line: Line) -> None:
        """One more line."""
        self._lines.append(line)

    def data(self, axes: Axes, height: int) -> str:
        """Everything as JSON, positions in the picture's own units; empty when nothing was added.

        Args:
            axes: The axes, after the figure was drawn.
            height: Of the picture, because its y axis points down.
        """
        x, y, scale = self._words
        grids: list[dict[str, Any]] = []
        lines = [_line(line, axes, height, scale, grids) for line in self._lines]
        shown = [line for line in lines if any(value is not None for value in line["y"])]
        if not shown:
            return ""
        content = {"x": x, "y": y, "unit": " %" if scale == 100 else "", "grids": grids, "lines": shown}
        return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _line(line: Line, axes: Axes, height: int, scale: float, grids: list[dict[str, Any]]) -> dict[str, Any]:
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    places = axes.transData.transform(np.stack([x, np.nan_to_num(y, posinf=0.0, neginf=0.0)], 1))
    at: list[str] | list[float] = list(line.at) or [_short(value) for value in x]
    grid = {"at": at, "px": [round(float(place)) for place in places[:, 0]]}
    if grid not in grids:  # lines at the same updates share them
        grids.append(grid)
    known = np.isfinite(y)
    found = {
        "name": line.name,
        "grid": grids.index(grid),
        "y": [_short(scale * value) if sound else None for value, sound in zip(y, known, strict=True)],
        "py": [round(height - float(place)) for place in places[:, 1]],
    }
    return found | ({"said": list(line.said)} if line.said else {})


def _short(value: float) -> float:
    """Four digits are enough to be read."""
    if value == 0 or not math.isfinite(value):
        return 0
    short = float(f"{value:.4g}") if abs(value) < 10_000 else round(float(value))
    return int(short) if short == int(short) else short
