"""Draws the README's pictures, light and dark, from a finished demo: collapse and cure, a verdict, the live page.

    make demo && .venv/bin/python scripts/gallery.py runs/demo

The verdict is that of `uncollapse evaluate` on the demo's own digits; pages are photographed in a headless Chromium, as
the browser tests see them.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the browser and the server of the tests are not installed

from uncollapse.draws import stream  # noqa: E402
from uncollapse.report.load import load  # noqa: E402
from uncollapse.report.palette import styles  # noqa: E402
from uncollapse.report.planar import evenly  # noqa: E402
from uncollapse.report.real import real_data, typical  # noqa: E402
from uncollapse.report.records import Cell, Record  # noqa: E402
from uncollapse.tasks import find  # noqa: E402

TASK, COLLAPSE, CURE = "ring-8", "vanilla", "r3gan"
COLUMNS, REACH = 6, 1.45
WIDTH = 1_120  # CSS pixels of a photographed page
PAPER = {"light": ("#fcfbf8", "#1d1c1a", "#65625c"), "dark": ("#14161a", "#e9e6df", "#a8a59d")}


def draw_cure(record: Record, folder: Path, looks: str) -> Path:
    """Two rows over training: the plain GAN that loses modes, and a method that keeps them; real samples at the end.

    Args:
        record: The finished demo.
        folder: Where the picture goes.
        looks: "light" or "dark".
    """
    paper, ink, muted = PAPER[looks]
    real, _ = find(TASK).sample(1_500, stream(0, "gallery"))
    figure = Figure(figsize=(13.2, 4.95), facecolor=paper)
    figure.subplots_adjust(left=0, right=1, bottom=0, top=0.86, wspace=0.05, hspace=0.4)
    grid = figure.subplots(2, COLUMNS + 1)
    centres = real_data(record, TASK).centres
    cells = {cell.method: cell for cell in record.of(TASK)}
    for row, method in zip(grid, (COLLAPSE, CURE), strict=True):
        shots = _shots(cells[method])
        for axis, (update, points) in zip(row, shots, strict=False):
            _cloud(axis, points, styles(record.methods)[method].tone, centres, muted)
            axis.set_title(f"update {update:,}", fontsize=12, color=muted)
        _cloud(row[-1], real.numpy(), muted, None, muted)
        row[-1].set_title("real data", fontsize=12, color=muted)
        row[0].text(0, 1.19, _told(cells[method], record.weights), transform=row[0].transAxes, fontsize=14.5, color=ink)
    return _save(figure, folder / f"cure-{looks}.png", paper)


def _shots(cell: Cell) -> list[tuple[int, np.ndarray[Any, Any]]]:
    """Snapshots (update, samples) of the seed in the middle."""
    lane = typical(cell)
    if lane is None:
        raise SystemExit(f"{cell.method} has no samples; give the directory of a finished `make demo`.")
    files = lane.run.sample_files()
    return [(update, lane.run.arrays(files[update])["samples"][lane.index]) for update in evenly(list(files), COLUMNS)]


def _told(cell: Cell, weights: str) -> str:
    """The caption of a row; snapshots hold samples of the averaged generator, whichever the numbers are about."""
    solid = cell.measures["modes_solid"]
    ends = f"[{solid['low']:.1f}, {solid['high']:.1f}]"
    other = " (its live generator; pictures: the averaged one)" if weights == "live" else ""
    return f"{cell.method} keeps {solid['mean']:.1f} {ends} of {cell.modes} modes, {len(cell.seeds)} seeds{other}"


def _cloud(
    axis: Axes, points: np.ndarray[Any, Any], colour: str, rings: np.ndarray[Any, Any] | None, muted: str
) -> None:
    axis.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", xticks=[], yticks=[], facecolor="none")
    for side in axis.spines.values():
        side.set(color=muted, alpha=0.35)
    if rings is not None:  # the true centres
        axis.scatter(*rings.T, s=150, facecolors="none", edgecolors=muted, linewidths=1.1)
    axis.scatter(*points.T, s=7, color=colour, alpha=0.6, linewidths=0)


def _save(figure: Figure, path: Path, paper: str) -> Path:
    stream_ = io.BytesIO()
    figure.savefig(stream_, dpi=110, facecolor=paper, bbox_inches="tight", pad_inches=0.18)
    return _written(stream_.getvalue(), path)


def _written(picture: bytes, path: Path) -> Path:
    """A picture with at most 256 colours, which is a third of its size and looks the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def photograph_verdict(directory: Path, folder: Path) -> list[Path]:
    """The first screen of `uncollapse evaluate` on real digits and those of the demo's unconditional method."""
    from sklearn.datasets import load_digits

    import uncollapse as uc

    data = load_digits()
    (run,) = [cell for cell in load(directory).of("digits") if cell.method == "wgan-gp"]
    lane = typical(run)
    if lane is None:
        raise SystemExit("The demo's digits have no samples; run `make demo` again.")
    fakes = np.clip((lane.run.final["samples"][lane.index] + 1) / 2, 0, 1)
    with tempfile.TemporaryDirectory() as place, _inside(Path(place)):
        np.savez("digits.npz", images=(data.images / 16 * 255).astype(np.uint8), labels=data.target)
        np.savez("wgan-gp-samples.npz", images=(255 * fakes).astype(np.uint8))
        command = "uncollapse evaluate digits.npz wgan-gp-samples.npz"
        page = uc.evaluate("digits.npz", "wgan-gp-samples.npz", command=command).save("evaluation")
        return _photograph(page.resolve().as_uri(), folder, "verdict", height=1_000)


def photograph_live_page(directory: Path, folder: Path) -> list[Path]:
    """The live page over the demo, at the run that collapses."""
    from tests.watch.serving import serving

    shown = "[...document.querySelectorAll('svg.chart')].some((chart) => chart.getClientRects().length)"
    with serving(directory) as (url, _):
        return _photograph(url, folder, "watch", height=1_060, ready=shown)


def _photograph(url: str, folder: Path, name: str, *, height: int, ready: str = "true") -> list[Path]:
    """One picture of the window's first screen for each of the two looks."""
    from tests.watch.chromium import Chromium, find_chromium

    program = find_chromium()
    if program is None:
        raise SystemExit("There is no Chromium on this machine; install it (apt-get install chromium).")
    made = []
    with Chromium(program) as browser, tempfile.TemporaryDirectory() as place:
        shot = Path(place) / "shot.png"
        browser.size(WIDTH, height)
        browser.dark(False, still=True)
        browser.open(url)
        browser.wait(ready)
        for looks in PAPER:
            browser.dark(looks == "dark", still=True)
            browser.picture(shot, whole=False)
            made.append(_written(shot.read_bytes(), folder / f"{name}-{looks}.png"))
    return made


@contextmanager
def _inside(place: Path) -> Iterator[None]:
    """Works in another folder, so that the page shows names and not this machine's paths."""
    before = Path.cwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> None:
    """Draws everything and says where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="the directory of a finished `make demo`")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gallery")
    choices = parser.parse_args()
    record = load(choices.demo)
    for looks in PAPER:
        print(draw_cure(record, choices.out, looks))
    for path in (*photograph_verdict(choices.demo, choices.out), *photograph_live_page(choices.demo, choices.out)):
        print(path)


if __name__ == "__main__":
    main()
