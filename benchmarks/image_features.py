"""Real features for the interval simulation: what the shipped classifiers see in all images of a data set.

The 70,000 images stand for a population from which real and fake are drawn without an image in common; its distances
follow from all rows, in NumPy and SciPy alone. The other population lacks one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from populations import over_directions
from scipy.linalg import eigh
from verdict_data import folder, idx

from uncollapse.features.finding import find_extractor

Array = NDArray[np.float64]
LOST, DIRECTIONS, GRID, CHUNK = 3, 1_024, 4_000, 1_000


@dataclass(frozen=True, eq=False)
class Rows:
    """A population of finitely many rows (N, d) float32, each as likely as the others."""

    x: NDArray[np.float32]

    @cached_property
    def mean(self) -> Array:
        """Mean (d,)."""
        return self.x.mean(0, dtype=np.float64)

    @cached_property
    def covariance(self) -> Array:
        """Covariance (d, d)."""
        return np.cov(self.x.T.astype(np.float64), bias=True)

    @cached_property
    def moments(self) -> tuple[Array, Array, Array]:
        """Means of x, of x_i x_j and of x_i x_j x_k, (d,), (d, d) and (d, d, d)."""
        d = self.x.shape[1]
        third = np.zeros((d, d * d))
        for start in range(0, len(self.x), CHUNK):
            x = self.x[start : start + CHUNK].astype(np.float64)
            third += x.T @ (x[:, :, None] * x[:, None]).reshape(len(x), -1)
        return self.mean, self.covariance + np.outer(self.mean, self.mean), third.reshape(d, d, d) / len(self.x)


@dataclass(frozen=True, eq=False)
class Pool:
    """All rows of a data set and the class of each."""

    x: NDArray[np.float32]
    labels: NDArray[np.uint8]

    def population(self, *, different: bool) -> Rows:
        """All rows, or those of all classes but one."""
        return Rows(self.x[self.labels != LOST] if different else self.x)

    def draw(
        self, n_real: int, n_fake: int, stream: np.random.Generator, *, different: bool
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Numbers of the real rows and of the fake ones, none of them both."""
        order = stream.permutation(len(self.x))
        real, rest = order[:n_real], order[n_real:]
        return real, (rest[self.labels[rest] != LOST] if different else rest)[:n_fake]

    def without(self, drawn: NDArray[np.intp]) -> Pool:
        """The rows that were not drawn."""
        return Pool(np.delete(self.x, drawn, axis=0), np.delete(self.labels, drawn))


@cache
def pool(name: str) -> Pool:
    """The features of MNIST or Fashion-MNIST; takes some twenty seconds."""
    images, labels = (
        np.concatenate([idx(folder() / name / f"{part}-{what}.gz") for part in ("train", "t10k")])
        for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    extractor = find_extractor(
        f"classifier:{name}", weights=None, resize="clean", device="cpu", example=list(images[:CHUNK])
    )
    parts = [extractor.extract(list(images[start : start + CHUNK])) for start in range(0, len(images), CHUNK)]
    return Pool(np.concatenate(parts).astype(np.float32), labels)


def frechet(one: Rows, other: Rows) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2), whatever features never vary."""
    values, vectors = eigh(one.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    overlap = np.sqrt(eigh(root @ other.covariance @ root, eigvals_only=True).clip(0)).sum()
    apart = one.mean - other.mean
    return float(apart @ apart + np.trace(one.covariance) + np.trace(other.covariance) - 2 * overlap)


def cubic_kernel(one: Rows, other: Rows) -> float:
    """MMD^2 of the kernel (x.y / d + 1)^3 = 1 + 3 x.y / d + 3 (x.y / d)^2 + (x.y / d)^3."""
    d = one.x.shape[1]
    pairs = zip((3, 3, 1), one.moments, other.moments, strict=True)
    return sum(
        factor / d**power * float(((first - second) ** 2).sum())
        for power, (factor, first, second) in enumerate(pairs, start=1)
    )


def sliced(one: Rows, other: Rows) -> tuple[float, float]:
    """3 d times the mean over random directions of the squared 2-Wasserstein distance; second its standard error."""
    d = one.x.shape[1]
    directions = np.random.default_rng(0).standard_normal((DIRECTIONS, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    levels = (np.arange(GRID) + 0.5) / GRID
    values = np.zeros(DIRECTIONS)
    for place, direction in enumerate(directions):
        first, second = (np.sort(rows.x @ direction) for rows in (one, other))
        gaps = first[(levels * len(first)).astype(np.intp)] - second[(levels * len(second)).astype(np.intp)]
        values[place] = np.mean(gaps**2)
    return over_directions(one, other, directions, values)
