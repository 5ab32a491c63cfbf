"""Data of `verdicts.py`: rows with labels, harmless changes of images, and the planted loss of spread."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[Any]
UNSEEN = 5_000  # training images that the shipped classifiers were not trained on, the last ones


@dataclass(frozen=True, kw_only=True)
class Data:
    """Images (n, h, w[, 3]) uint8 or vectors (n, d), the class of each, and the mean of each class."""

    images: Pixels
    labels: NDArray[np.int64]
    means: NDArray[np.float64]


@cache
def load(name: str) -> Data:
    """One data set; of MNIST and Fashion-MNIST what their classifiers have not seen."""
    images, labels = {"emoji": emoji, "digits": digits, "mixture": mixture}.get(name, lambda: unseen(name))()
    kinds, labels = np.unique(labels, return_inverse=True)
    means = np.stack([images[labels == kind].mean(0) for kind in range(len(kinds))])
    return Data(images=images, labels=labels.astype(np.int64), means=means)


def folder() -> Path:
    """Where the real data sets lie."""
    found = os.environ.get("UNCOLLAPSE_DATA")
    if not found:
        raise SystemExit("Set UNCOLLAPSE_DATA to a folder that holds mnist/, fashion-mnist/ and emoji/.")
    return Path(found)


def idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes."""
    content = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(content[3])]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def unseen(name: str) -> tuple[Pixels, NDArray[Any]]:
    """Test images and the last training images."""
    parts = [
        np.concatenate([idx(folder() / name / f"train-{what}.gz")[-UNSEEN:], idx(folder() / name / f"t10k-{what}.gz")])
        for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    return parts[0], parts[1]


def digits() -> tuple[Pixels, NDArray[Any]]:
    """The 8x8 digits as bytes."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return np.rint(data.images * 255 / 16).astype(np.uint8), data.target


def emoji() -> tuple[Pixels, NDArray[Any]]:
    """Emoji on white at 32 pixels, in colour."""
    with zipfile.ZipFile(folder() / "emoji" / "emoji-64.zip") as archive:
        rows = json.loads(archive.read("dataset.json"))["labels"]
        images = []
        for name, _ in rows:
            picture = Image.open(io.BytesIO(archive.read(name))).convert("RGBA")
            white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
            white.alpha_composite(picture)
            images.append(np.asarray(white.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)))
    return np.stack(images), np.array([label for _, label in rows])


def mixture() -> tuple[Pixels, NDArray[Any]]:
    """Ten Gaussians on a ring."""
    draws = np.random.default_rng(20_260_101)
    labels = np.arange(10_000) % 10
    angles = 2 * np.pi * labels / 10
    return np.stack([np.cos(angles), np.sin(angles)], 1) + 0.08 * draws.normal(size=(10_000, 2)), labels


def shrink(images: Pixels, labels: NDArray[np.int64], means: NDArray[np.float64]) -> Pixels:
    """Each row moved towards its class mean: mean + 0.7 (x - mean), images rounded to bytes."""
    moved = means[labels] + 0.7 * (images - means[labels])
    return np.rint(moved).astype(np.uint8) if images.dtype == np.uint8 else moved


def jpeg(images: Pixels, draws: np.random.Generator) -> Pixels:
    """Compressed at quality 75."""
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=75)
        found.append(np.asarray(Image.open(file)))
    return np.stack(found)


def blur(images: Pixels, draws: np.random.Generator) -> Pixels:
    """A Gaussian of half a pixel."""
    return np.stack([np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.5))) for image in images])


def shift(images: Pixels, draws: np.random.Generator) -> Pixels:
    """One pixel to the right, the border repeated."""
    return np.concatenate([images[:, :, :1], images[:, :, :-1]], axis=2)


def noise(images: Pixels, draws: np.random.Generator) -> Pixels:
    """Gaussian noise of standard deviation 10."""
    return np.clip(np.rint(images + draws.normal(0, 10, images.shape)), 0, 255).astype(np.uint8)


def brightness(images: Pixels, draws: np.random.Generator) -> Pixels:
    """Fifteen per cent brighter."""
    return np.clip(np.rint(images * 1.15), 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "jpeg": jpeg, "blur": blur, "shift": shift, "noise": noise, "brightness": brightness,
}  # fmt: skip
