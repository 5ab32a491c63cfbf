"""Gaussian mixtures whose distances are known from their parameters: the truths of the interval simulation.

Every number here follows from weights, means and variances alone, in NumPy and SciPy; nothing of `uncollapse` is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.special import ndtr

Array = NDArray[np.float64]
MODES, RADIUS, SPREAD = 8, 3.0, 0.5
DIRECTIONS, GRID = 8_192, 400


class HasMoments(Protocol):
    """A distribution whose mean (d,) and covariance (d, d) are known."""

    @property
    def mean(self) -> Array:
        """Mean (d,)."""

    @property
    def covariance(self) -> Array:
        """Covariance (d, d)."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A mixture of K Gaussians with independent coordinates.

    Attributes:
        weights: (K,), sum 1.
        means: (K, d).
        variances: (K, d).
    """

    weights: Array
    means: Array
    variances: Array

    def draw(self, n: int, stream: np.random.Generator) -> NDArray[np.float32]:
        """n independent rows (n, d)."""
        which = stream.choice(len(self.weights), size=n, p=self.weights)
        noise = stream.standard_normal((n, self.means.shape[1]))
        return (self.means[which] + np.sqrt(self.variances[which]) * noise).astype(np.float32)

    @property
    def mean(self) -> Array:
        """Mean (d,)."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Array:
        """Covariance (d, d): within the components plus between them."""
        apart = self.means - self.mean
        return np.diag(self.weights @ self.variances) + (apart.T * self.weights) @ apart


def gaussian(d: int, *, different: bool) -> Mixture:
    """One Gaussian with standard deviations from 0.5 to 1.5; different: its mean 0.5 away, 0.8 times as wide."""
    shift, width = (0.5 / np.sqrt(d), 0.8) if different else (0.0, 1.0)
    return Mixture(
        weights=np.ones(1),
        means=np.full((1, d), shift),
        variances=(width * np.linspace(0.5, 1.5, d))[None] ** 2,
    )


def modes(d: int, *, different: bool) -> Mixture:
    """Eight equal modes at distance 3 from the origin, a ring in the plane; different: one of them lost."""
    if d == 2:
        angles = 2 * np.pi * np.arange(MODES) / MODES
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        directions = np.random.default_rng(d).standard_normal((MODES, d))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    kept = np.arange(1 if different else 0, MODES)
    return Mixture(
        weights=np.full(len(kept), 1 / len(kept)),
        means=RADIUS * directions[kept],
        variances=np.full((len(kept), d), SPREAD**2),
    )


WORLDS = {"gaussian": gaussian, "mixture": modes}


def frechet(one: Mixture, other: Mixture) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) of the mixtures' own means and covariances."""
    root = np.real(sqrtm(one.covariance @ other.covariance))
    apart = one.mean - other.mean
    return float(apart @ apart + np.trace(one.covariance + other.covariance - 2 * root))


def cubic_kernel(one: Mixture, other: Mixture) -> float:
    """Population MMD^2 of the kernel (x.y / d + 1)^3, from the third moments of Gaussians."""
    return _cubic(one, one) + _cubic(other, other) - 2 * _cubic(one, other)


def _cubic(one: Mixture, other: Mixture) -> float:
    d = one.means.shape[1]
    m1, v1 = one.means[:, None] / np.sqrt(d), one.variances[:, None] / d
    m2, v2 = other.means[None] / np.sqrt(d), other.variances[None] / d
    m = (m1 * m2).sum(-1) + 1
    second = (m1**2 * v2 + m2**2 * v1 + v1 * v2).sum(-1)
    third = m**3 + 3 * m * second + 6 * (m1 * v1 * v2 * m2).sum(-1)
    return float(one.weights @ third @ other.weights)


def sliced(one: Mixture, other: Mixture) -> tuple[float, float]:
    """3 d times the mean over directions of the squared 2-Wasserstein distance; second its standard error.

    Each direction's distance is a quadrature over quantiles, for single Gaussians exact; only the choice of directions
    is random (seed 0), and in the plane they are equally spaced.
    """
    d = one.means.shape[1]
    if d == 2:
        angles = np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        directions = np.random.default_rng(0).standard_normal((DIRECTIONS, d))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    values = np.array([_squared_wasserstein(one, other, direction) for direction in directions])
    value, error = over_directions(one, other, directions, values)
    return value, 0.0 if d == 2 else error


def over_directions(one: HasMoments, other: HasMoments, directions: Array, values: Array) -> tuple[float, float]:
    """3 d times the mean over all directions of what was seen along some (k, d); second its standard error.

    What of it follows the squared difference of the projected means or a projected variance is replaced by its known
    mean over all directions.
    """
    count, d = directions.shape
    apart = one.mean - other.mean
    squares = [np.outer(apart, apart), one.covariance, other.covariance]
    followed = np.stack([((directions @ square) * directions).sum(1) - np.trace(square) / d for square in squares], 1)
    slopes, *_ = np.linalg.lstsq(followed - followed.mean(0), values - values.mean(), rcond=None)
    values = values - followed @ slopes
    return 3 * d * float(values.mean()), 3 * d * float(values.std(ddof=1) / np.sqrt(count))


def _squared_wasserstein(one: Mixture, other: Mixture, direction: Array) -> float:
    if len(one.weights) == len(other.weights) == 1:
        shift = ((one.means - other.means) @ direction).item()
        widths = [np.sqrt(mixture.variances @ direction**2).item() for mixture in (one, other)]
        return float(shift**2 + (widths[0] - widths[1]) ** 2)
    return float(np.mean((_quantiles(one, direction) - _quantiles(other, direction)) ** 2))


def _quantiles(mixture: Mixture, direction: Array) -> Array:
    """Quantiles of the projection at GRID equal steps."""
    means, scales = mixture.means @ direction, np.sqrt(mixture.variances @ direction**2)
    grid = np.linspace((means - 6 * scales).min(), (means + 6 * scales).max(), 2 * GRID)
    levels = ndtr((grid[:, None] - means) / scales) @ mixture.weights
    return np.interp((np.arange(GRID) + 0.5) / GRID, levels, grid)
