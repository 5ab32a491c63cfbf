"""Gaussian mixtures in the plane: ring, grids, the tutorial's blobs and long-tailed blobs.

The tasks on which collapse can be seen: every mode is known, so what a generator lost can be counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from uncollapse.draws import Draw, stream
from uncollapse.errors import UserError
from uncollapse.networks.mlp import MLP
from uncollapse.tasks.task import Batch, Modes, Source, Task, rows

Point = tuple[float, ...]
NINE_CENTRES: tuple[Point, ...] = ((0, 0), (5, 5), (5, -5), (-5, 5), (-5, -5), (0, 5), (5, 0), (-5, 0), (0, -5))
SPACING, BLOB_SIGMA, REACH = 5, 0.5, 0.9
MOST_BLOBS = 10_000
BOUNDED = MLP(bounded=True)
# Standard deviations from its centre within which a sample is of high quality.
WITHIN = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture(Task):
    """An isotropic Gaussian mixture: x = centre_k + sigma * normal with probability weights_k; label = k.

    High quality means within 3 sigma of the nearest centre, which in two dimensions holds for 1 - exp(-4.5) = 98.89 %
    of real samples. The mode of a sample is its nearest centre, whatever its label.

    Attributes:
        centres: K points of equal dimension, in the coordinates that the generator must produce.
        sigma: Standard deviation of each component, in the same coordinates.
        weights: Share of each component; None means equal shares.
        mode_names: Names of the components; None means their coordinates.

    Its option `scale` multiplies centres and sigma, for protocols that draw the same picture in another size.
    """

    options: ClassVar[tuple[str, ...]] = ("train_size", "measure_size", "scale")

    centres: tuple[Point, ...]
    sigma: float
    weights: tuple[float, ...] | None = None
    mode_names: tuple[str, ...] | None = None

    @property
    def real_quality(self) -> float:
        """1 - exp(-4.5) in the plane."""
        return float(torch.special.gammainc(torch.tensor(len(self.centres[0]) / 2), torch.tensor(WITHIN**2 / 2)))

    def __post_init__(self) -> None:
        """Freezes the sequences and refuses what is no mixture."""
        object.__setattr__(self, "centres", tuple(tuple(float(c) for c in centre) for centre in self.centres))
        count = len(self.centres)
        if count < 2 or len({len(centre) for centre in self.centres}) != 1 or len(set(self.centres)) != count:
            raise UserError("A mixture needs at least 2 distinct centres with equally many coordinates; check centres.")
        if not self.sigma > 0:
            raise UserError(f"The sigma of a mixture must be above 0, not {self.sigma!r}.")
        if self.weights is not None:
            total = math.fsum(self.weights)
            if len(self.weights) != count or min(self.weights) <= 0:
                raise UserError(f"A mixture of {count} centres needs {count} weights above 0, not {self.weights!r}.")
            object.__setattr__(self, "weights", tuple(float(w) / total for w in self.weights))
        if self.mode_names is not None and len(self.mode_names) != count:
            raise UserError(f"A mixture of {count} centres needs {count} mode_names, not {len(self.mode_names)}.")
        super().__post_init__()

    @property
    def shape(self) -> tuple[int, ...]:
        """(dimension,)."""
        return (len(self.centres[0]),)

    @property
    def classes(self) -> int:
        """One label a component."""
        return len(self.centres)

    @property
    def modes(self) -> Modes:
        """The components."""
        count = len(self.centres)
        shares = self.weights or (1 / count,) * count
        return Modes(
            names=self.mode_names or point_names(self.centres), weights=torch.tensor(shares, dtype=torch.float64)
        )

    @property
    def is_named(self) -> bool:
        """Whether it is the built-in mixture of its name, at any `scale`."""
        known = named(self.name)
        if known is None or self.mode_names != known.mode_names or len(self.centres) != len(known.centres):
            return False
        scale = self.sigma / known.sigma
        here, there = (torch.tensor(task.centres, dtype=torch.float64) for task in (self, known))
        alike = here.shape == there.shape and torch.allclose(here, scale * there, rtol=1e-9, atol=1e-9 * scale)
        return alike and torch.allclose(self.modes.weights, known.modes.weights, rtol=1e-9)

    def but(self, **changes: Any) -> Self:
        """The same mixture with other options; a scaled one is written out whole in its spec.

        Raises:
            UserError: An unknown option, or a scale that is not above 0.
        """
        scale = changes.pop("scale", 1.0)
        task = super().but(**changes)
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < math.inf:
            raise UserError(f"scale must be a number above 0, not {scale!r}.")
        if scale == 1:
            return task
        centres = tuple(tuple(scale * c for c in centre) for centre in task.centres)
        return task.with_fields(centres=centres, sigma=scale * task.sigma)

    def sample(self, n: int, draw: Draw) -> Batch:
        """n fresh samples (n, d) and their components (n,)."""
        return self._stream(draw.device, draw.dtype)(n, draw)

    def held_out(self, n: int, draw: Draw) -> Batch:
        """Fresh samples: nothing drawn here is ever trained on."""
        return self.sample(n, draw)

    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        """A fresh stream, or `train_size` rows drawn once for this seed."""
        if self.train_size is None:
            return self._stream(device, dtype)
        x, labels = self.sample(self.train_size, stream(seed, "train set", dtype=dtype))
        return rows(x, labels, device=device, dtype=dtype)

    def _stream(self, device: torch.device | str, dtype: torch.dtype) -> Source:
        centres = torch.tensor(self.centres, device=device, dtype=dtype)
        weights = self.modes.weights.to(device)

        def draw_fresh(n: int, draw: Draw) -> Batch:
            component = draw.choice(weights, n).to(centres.device)
            return centres[component] + self.sigma * draw.normal(n, centres.shape[1]).to(centres), component

        return draw_fresh

    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest centre, and whether it is within 3 sigma; -1 and False where a sample is not finite."""
        x = x.reshape(len(x), -1).double()
        finite = torch.isfinite(x).all(1)
        centres = torch.tensor(self.centres, device=x.device, dtype=x.dtype)
        # The matrix-product form of cdist loses the small distances that decide "within 3 sigma".
        apart = torch.cdist(x.nan_to_num(), centres, compute_mode="donot_use_mm_for_euclid_dist")
        distance, nearest = apart.min(1)
        return nearest.where(finite, nearest.new_tensor(-1)), finite & (distance <= WITHIN * self.sigma)

    def spec(self) -> dict[str, Any]:
        """The name alone for a built-in mixture; a mixture of the user's own is written out whole."""
        known = named(self.name)
        own = (self.centres, self.sigma, self.weights, self.mode_names)
        if known is not None and own == (known.centres, known.sigma, known.weights, known.mode_names):
            return super().spec()
        whole = {"centres": [list(centre) for centre in self.centres], "sigma": self.sigma}
        if self.weights is not None:
            whole["weights"] = list(self.weights)
        if self.mode_names is not None:
            whole["mode_names"] = list(self.mode_names)
        return {**super().spec(), **whole}


def point_names(centres: Sequence[Sequence[float]]) -> tuple[str, ...]:
    """Coordinates as names: (0, 5) is ``"(0, 5)"``."""
    return tuple("(" + ", ".join(f"{round(c, 2) + 0.0:g}" for c in centre) + ")" for centre in centres)


def ring() -> Mixture:
    """Eight Gaussians at equal angles on the unit circle, sigma .01 (VEEGAN, Srivastava et al. 2017, 1705.07761).

    Differs from two published reference codes, whose ``linspace(0, 2 pi, 8)`` puts two of eight centres on one point.
    """
    angles = [2 * math.pi * k / 8 for k in range(8)]
    return Mixture(
        name="ring-8",
        centres=tuple((math.cos(a), math.sin(a)) for a in angles),
        sigma=0.01,
        summary="Eight narrow Gaussians on a circle of radius 1 (sigma .01): the classic test on which modes are lost.",
    )


def grid(side: int, spacing: float, sigma: float, summary: str) -> Mixture:
    """side x side Gaussians on a square grid centred on the origin, row by row from the lower left."""
    ticks = [spacing * (i - (side - 1) / 2) for i in range(side)]
    centres = tuple((x, y) for y in ticks for x in ticks)
    return Mixture(name=f"grid-{side * side}", centres=centres, sigma=sigma, summary=summary)


def blob_centres(count: int) -> tuple[Point, ...]:
    """Centres of `blobs-K` before scaling.

    Up to nine they are the first K of the tutorial's centres; above, the K points of the spacing-5 grid through the
    origin that lie nearest to it, ties by angle in [0, 2 pi) from +x.
    """
    if count <= len(NINE_CENTRES):
        return NINE_CENTRES[:count]
    # A disc of radius r holds more than 2 r^2 grid points, so a square of this half-width holds the nearest K.
    half = math.isqrt(count // 2) + 2
    steps = range(-half, half + 1)
    nearest = sorted(
        ((i, j) for i in steps for j in steps),
        key=lambda p: (p[0] ** 2 + p[1] ** 2, math.atan2(p[1], p[0]) % (2 * math.pi)),
    )
    return tuple((float(SPACING * i), float(SPACING * j)) for i, j in nearest[:count])


def blobs(count: int) -> Mixture:
    """`blobs-K`: the tutorial's mixture for any K from 2 to 10,000, standard deviation .5, scaled into [-0.9, 0.9].

    One isotropic scale 0.9 / (largest |centre coordinate| + 3 sigma) is applied to points, centres and sigma.
    """
    _check_count("blobs", count)
    centres = blob_centres(count)
    scale = REACH / (max(abs(c) for centre in centres for c in centre) + 3 * BLOB_SIGMA)
    return Mixture(
        name=f"blobs-{count}",
        centres=tuple(tuple(scale * c for c in centre) for centre in centres),
        sigma=scale * BLOB_SIGMA,
        mode_names=point_names(centres),
        networks=BOUNDED,
        summary=f"{count} Gaussian blobs of equal weight on a spacing-5 grid (sigma .5), scaled into [-0.9, 0.9].",
    )


def unequal(count: int) -> Mixture:
    """`unequal-K`: the centres of `blobs-K` with Zipf's weights, w_k proportional to 1 / (k + 1) for k = 0 .. K-1."""
    _check_count("unequal", count)
    even = blobs(count)
    shares = [1 / (k + 1) for k in range(count)]
    return Mixture(
        name=f"unequal-{count}",
        centres=even.centres,
        sigma=even.sigma,
        mode_names=even.mode_names,
        weights=tuple(shares),
        networks=BOUNDED,
        summary=f"The {count} blobs with long-tailed weights, w_k proportional to 1/(k+1): rare modes are lost first.",
    )


def _check_count(family: str, count: int) -> None:
    if not 2 <= count <= MOST_BLOBS:
        raise UserError(f"{family}-K needs a K from 2 to {MOST_BLOBS}, not {count}; write for example {family}-8.")


def grid_25() -> Mixture:
    """25 Gaussians, spacing 2, sigma .05 (VEEGAN, Srivastava et al. 2017, 1705.07761)."""
    return grid(5, 2.0, 0.05, "25 Gaussians on a 5 x 5 grid (spacing 2, sigma .05).")


def grid_100() -> Mixture:
    """100 Gaussians, spacing 1, sigma .03, centred on the origin."""
    return grid(10, 1.0, 0.03, "100 Gaussians on a 10 x 10 grid (spacing 1, sigma .03): many modes, little room.")


def named(name: str) -> Mixture | None:
    """The built-in mixture of that name, or None when there is none.

    Raises:
        UserError: `blobs-K` or `unequal-K` with a K out of range.
    """
    fixed = {"ring-8": ring, "grid-25": grid_25, "grid-100": grid_100}
    if name in fixed:
        return fixed[name]()
    family, _, count = name.partition("-")
    counted = {"blobs": blobs, "unequal": unequal}
    if family in counted and count.isascii() and count.isdigit():
        return counted[family](int(count))
    return None
