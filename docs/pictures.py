"""Draws the pictures of docs/methods/: what each method makes after a short training, two seeds beside each other.

`nice .venv/bin/python docs/pictures.py [METHOD ...]`; all methods take a few minutes on one core.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import uncollapse as uc
from uncollapse.draws import stream
from uncollapse.files import write_atomic
from uncollapse.method import Method
from uncollapse.sampling import pixels

FOLDER = Path(__file__).parent / "methods"
SEEDS = (0, 1)
UPDATES = 1_500
RATE = 1e-3
NETWORKS = {"networks.width": 64, "networks.depth": 2}
BATCH = 128
POINTS = 1_000
SIDE = 160
REACH = 1.4
WHITE, GREY, BLUE = (255, 255, 255), (188, 185, 178), (0, 114, 178)


def task_of(method: Method) -> str:
    """The ring, or digits for a method that needs images."""
    return "digits" if method.view.images_only else "ring-8"


def command(name: str) -> str:
    """What the runs of a picture are on the command line."""
    sets = {**NETWORKS, "dynamics.lr_critic": RATE, "dynamics.lr_generator": RATE}
    given = " ".join(f"--set {path}={value}" for path, value in sets.items())
    where = task_of(uc.METHODS[name])
    return f"uncollapse train {name} {where} --seeds {len(SEEDS)} --updates {UPDATES} --batch {BATCH} {given}"


def draw(name: str) -> None:
    """Trains a method on both seeds and writes its picture."""
    method = uc.METHODS[name]
    settings = {**NETWORKS, "dynamics.lr_critic": RATE, "dynamics.lr_generator": RATE}
    task = uc.tasks.find(task_of(method))
    run = uc.train(method, task, seeds=SEEDS, updates=UPDATES, batch=BATCH, settings=settings)
    real = task.held_out(POINTS, stream(0, "picture"))[0].numpy()
    panels = [run.samples(POINTS, seed=seed).numpy() for seed in SEEDS]
    draw_panel = digits if method.view.images_only else plane
    drawn = [draw_panel(real, made) for made in panels]
    gap = np.full((SIDE, 8, 3), 255, np.uint8)
    picture = Image.fromarray(np.concatenate([drawn[0], gap, drawn[1]], 1))
    file = io.BytesIO()
    picture.quantize(16, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    write_atomic(FOLDER / f"{name}.png", file.getvalue())


def plane(real: NDArray[np.float32], made: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Generated points over rings around the true modes, (SIDE, SIDE, 3)."""
    twice = 2 * SIDE  # drawn at twice the size and averaged, so that points have soft edges
    image = Image.new("RGB", (twice, twice), WHITE)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, twice - 1, twice - 1), outline=GREY, width=2)
    for x, y in np.unique(real.round(1), axis=0):
        pen.ellipse(_disc(x, y, twice, 11), outline=GREY, width=2)
    for x, y in made[np.abs(made).max(1) < REACH]:
        pen.ellipse(_disc(x, y, twice, 2), fill=BLUE)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def _disc(x: float, y: float, side: int, radius: int) -> tuple[float, float, float, float]:
    column, row = (x / REACH + 1) * side / 2, (1 - y / REACH) * side / 2
    return column - radius, row - radius, column + radius, row + radius


def digits(real: NDArray[np.float32], made: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The first 16 images as a grid with white gaps, (SIDE, SIDE, 3)."""
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for number, image in enumerate(pixels(made[:16])):
        large = image.repeat(4, 0).repeat(4, 1)
        top, left = (7 + 38 * place for place in divmod(number, 4))
        picture[top : top + 32, left : left + 32] = large[..., None]
    return picture


def main(names: list[str]) -> None:
    """Draws the methods named, or all."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or list(uc.METHODS):
        start = time.monotonic()
        draw(name)
        print(f"{name}: {time.monotonic() - start:.0f} s, {(FOLDER / f'{name}.png').stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
