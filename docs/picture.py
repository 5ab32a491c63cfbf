"""Draws the README's picture from a finished demo: real data beside what each method made, one panel each.

`make demo && .venv/bin/python docs/picture.py runs/demo results/demo/picture.png`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from uncollapse.draws import stream
from uncollapse.tasks import find

BLUE, GREY, RED = "#0072B2", "#6e6e6e", "#D55E00"


def median_lane(result: dict[str, Any]) -> int:
    """The lane whose number of solid modes is in the middle, so that no lucky seed is shown."""
    solid = [lane["measures"]["averaged"]["modes_solid"] or 0 for lane in result["lanes"]]
    return int(np.argsort(solid, kind="stable")[(len(solid) - 1) // 2])


def draw(directory: Path, file: Path, task: str = "ring-8") -> None:
    """One row of panels for a 2-D task: real samples, then every cell of the comparison on it."""
    cells = [cell for cell in json.loads((directory / "comparison.json").read_text())["cells"] if cell["task"] == task]
    figure = Figure(figsize=(3.0 * (len(cells) + 1), 3.3), layout="constrained")
    axes = figure.subplots(1, len(cells) + 1)
    real, _ = find(task).sample(2_500, stream(0, "picture"))
    panels = [(real.numpy(), "real data", "8 modes", GREY)]
    for cell in cells:
        run = directory / "runs" / cell["runs"][0]
        result = json.loads((run / "result.json").read_text())
        lane = median_lane(result)
        solid = cell["measures"]["modes_solid"]
        text = f"{solid['mean']:.1f} of 8 modes [{solid['low']:.1f}, {solid['high']:.1f}], {solid['n']} seeds"
        samples = np.load(run / "samples" / "final.npz")["samples"][lane]
        panels.append((samples, cell["method"], text, RED if solid["mean"] < 7.5 else BLUE))
    for axis, (points, title, text, colour) in zip(axes, panels, strict=True):
        axis.scatter(points[:, 0], points[:, 1], s=3, color=colour, alpha=0.35, linewidths=0, rasterized=True)
        axis.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", xticks=[], yticks=[])
        axis.set_title(title, fontsize=13)
        axis.set_xlabel(text, fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130, bbox_inches="tight", pad_inches=0.08)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
