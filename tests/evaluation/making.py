"""Data whose truth is known, and sides of an evaluation made of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from uncollapse.data.opening import open_source
from uncollapse.evaluation.sides import Side
from uncollapse.features.extraction import extract
from uncollapse.features.extractor import Extractor
from uncollapse.features.identity import Identity

Array = NDArray[Any]
FEW = ("frechet_distance", "coverage")


@cache
def digits() -> tuple[Array, Array]:
    """Scikit-learn's 1,797 digits (n, 8, 8) uint8 in a mixed order, and their labels."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return np.rint(data.images[order] * 255 / 16).astype(np.uint8), data.target[order]


def ring(n: int, seed: int, *, modes: Sequence[int] = range(8), sd: float = 0.05) -> tuple[Array, Array]:
    """Points (n, 2) around equally many turns of some of eight places on a circle, and the place of each."""
    draws = np.random.default_rng(seed)
    place = draws.permutation(np.resize(np.asarray(modes), n))
    angle = 2 * np.pi * place / 8
    return np.stack([np.cos(angle), np.sin(angle)], 1) + sd * draws.normal(size=(n, 2)), place


def cloud(n: int, seed: int, width: int = 4) -> Array:
    """Rows of a Gaussian (n, width)."""
    return np.random.default_rng(seed).normal(size=(n, width))


def side(given: object, role: str = "real", *, extractor: Extractor | None = None, labels: object = None) -> Side:
    """One side of an evaluation."""
    source = open_source(given, side=role, labels=labels)
    return Side(role=role, source=source, rows=extract(source, extractor or Identity()))


def pngs(folder: Path, images: Sequence[Array], names: Sequence[str] | None = None) -> Path:
    """Images as files of a folder: 000.png, 001.png, ..., or such names, which may hold folders."""
    for number, image in enumerate(images):
        file = folder / (f"{number:03d}.png" if names is None else names[number])
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return folder
