"""What the interval simulation draws: its cells, one draw of each, and the truths that are known without simulation."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from populations import WORLDS, cubic_kernel, frechet, sliced
from scipy.stats import binom

import uncollapse as uc
from uncollapse.metrics import two_sample
from uncollapse.metrics.estimate import Estimate

SIZES = ((500, 500), (2_000, 2_000), (500, 2_000), (2_000, 500))
# What is kept of an estimate: its value and, when measured with a level, its ends, whether it says that it is
# conservative, and the truth of this very repeat where it has one of its own.
Row = dict[str, float | bool | None]
FEATURE_METRICS = (
    "frechet_distance", "frechet_infinity", "kernel_distance", "mmd_rbf", "sliced_wasserstein", "precision", "recall",
    "density", "coverage", "c2st", "ndb", "diversity", "vendi_score", "authenticity",
)  # fmt: skip
# The truth of these belongs to the repeat: the accuracy of the very classifier that was trained.
OWN_TRUTH = ("c2st",)
PAIRED = ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage")
LABEL_METRICS = ("mode_coverage", "class_entropy", "class_kl", "chi_square")
FRESH_TESTS = 20_000


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One configuration of the simulation.

    Attributes:
        family: What is drawn and which metrics look at it: a name of `FAMILIES`.
        world: The distribution.
        size: Dimensions, classes, or values of the support.
        n_real: Real rows; 0 where there are none.
        n_fake: Fake rows.
        different: Whether fake comes from another distribution than real (in a family without real rows: from the
            uneven one).
    """

    family: str
    world: str
    size: int
    n_real: int
    n_fake: int
    different: bool

    @property
    def name(self) -> str:
        """Name of its file, and what its seeds are made from."""
        sizes = f"{self.n_real}+{self.n_fake}" if self.n_real else f"{self.n_fake}"
        return f"{self.family}-{self.world}-{self.size}-{sizes}-{'different' if self.different else 'equal'}"

    def stream(self, repeat: int) -> np.random.Generator:
        """Every repeat draws from a stream of its own."""
        return np.random.default_rng(np.random.SeedSequence([zlib.crc32(self.name.encode()), repeat]))


Measure = Callable[[Cell, Sequence[str], np.random.Generator, float | None], Mapping[str, Row]]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Cells that are drawn alike.

    Attributes:
        metrics: Who looks at a draw.
        cells: The configurations.
        measure: (cell, metrics, stream, level) to the row of every metric on one draw; level None asks for values.
        truths: Metric to its truth and the standard error of that, where it does not come from fresh draws.
    """

    metrics: tuple[str, ...]
    cells: tuple[Cell, ...]
    measure: Measure
    truths: Mapping[str, Callable[[Cell], tuple[float, float]]]


def row(estimate: Estimate) -> Row:
    """An estimate as it is written down, with eight digits, far below any interval's width."""
    short = {name: getattr(estimate, name) for name in ("value", "low", "high")}
    short = {name: None if number is None else float(f"{number:.8g}") for name, number in short.items()}
    return {"value": short["value"]} if estimate.level is None else {**short, "conservative": estimate.conservative}


def torch_stream(stream: np.random.Generator) -> torch.Generator:
    """A generator for the metric's own draws, so that these vary over the repeats too."""
    return torch.Generator().manual_seed(int(stream.integers(2**62)))


def sides(cell: Cell) -> tuple[Any, Any]:
    """The populations of real and fake."""
    world = WORLDS[cell.world]
    return world(cell.size, different=False), world(cell.size, different=cell.different)


def features(cell: Cell, metrics: Sequence[str], stream: np.random.Generator, level: float | None) -> dict[str, Row]:
    """All feature metrics on one draw; rows of a training set of real rows follow for authenticity."""
    worlds = sides(cell)
    real, fake = worlds[0].draw(cell.n_real, stream), worlds[1].draw(cell.n_fake, stream)
    train = worlds[0].draw(cell.n_real, stream)
    with trained_classifiers() as trained:
        together = uc.metrics.feature_metrics(
            real=real, fake=fake, train=train, metrics=tuple(metrics), level=level, generator=torch_stream(stream)
        )
    rows = {name: row(together[name]) for name in metrics}
    if "c2st" in rows and level is not None:
        rows["c2st"]["truth"] = accuracy(*trained[-1], *(world.draw(FRESH_TESTS, stream) for world in worlds))
    return rows


Trained = tuple[Any, NDArray[Any]]


@contextlib.contextmanager
def trained_classifiers() -> Iterator[list[Trained]]:
    """Collects every classifier that c2st trains with the rows it was trained on, which it does not give away."""
    collected: list[Trained] = []
    held_out = two_sample._held_out

    def collecting(model: Any, halves: Any, **options: Any) -> Any:
        answer = held_out(model, halves, **options)
        collected.append((model, halves.rows[halves.train]))
        return answer

    with mock.patch.object(two_sample, "_held_out", collecting):
        yield collected


def accuracy(model: Any, seen: NDArray[Any], real: NDArray[Any], fake: NDArray[Any]) -> float:
    """Balanced accuracy of a trained classifier on fresh rows, standardised by the rows it was trained on."""
    shift, scale = seen.mean(0, dtype=np.float64), seen.std(0, dtype=np.float64)
    called = [model.predict(((rows - shift) / scale).astype(seen.dtype)) for rows in (real, fake)]
    return float(((called[0] == 0).mean() + (called[1] == 1).mean()) / 2)


def paired(cell: Cell, metrics: Sequence[str], stream: np.random.Generator, level: float | None) -> dict[str, Row]:
    """Differences of fake and another fake against one reference; the other always comes from the different world."""
    worlds = sides(cell)
    other = WORLDS[cell.world](cell.size, different=True)
    drawn = [
        world.draw(n, stream) for world, n in zip((*worlds, other), (cell.n_real, *[cell.n_fake] * 2), strict=True)
    ]
    found = uc.metrics.differences(
        real=drawn[0],
        fake=drawn[1],
        other=drawn[2],
        metrics=[name.removeprefix("difference:") for name in metrics],
        level=level,
        generator=torch_stream(stream),
    )
    return {name: row(found[name.removeprefix("difference:")]) for name in metrics}


def class_weights(cell: Cell) -> NDArray[np.float64]:
    """Shares of the fake classes: even, or falling linearly to a last class that is lost."""
    weights = np.arange(cell.size, 0, -1.0) - 1 if cell.different and cell.size > 2 else np.ones(cell.size)
    if cell.different and cell.size == 2:
        weights = np.array([9.0, 1.0])
    return weights / weights.sum()


def labels(cell: Cell, metrics: Sequence[str], stream: np.random.Generator, level: float | None) -> dict[str, Row]:
    """Label metrics on classes drawn independently, the real ones evenly."""
    real = stream.integers(cell.size, size=cell.n_real)
    fake = stream.choice(cell.size, size=cell.n_fake, p=class_weights(cell))
    return {name: row(getattr(uc.metrics, name)(real=real, fake=fake, level=level)) for name in metrics}


def modes_reached(cell: Cell) -> tuple[float, float]:
    """Classes whose share among the fakes is at least a fifth of the real share 1 / size."""
    return float((class_weights(cell) >= 0.2 / cell.size).sum()), 0.0


def mean_entropy(cell: Cell) -> tuple[float, float]:
    """Expected entropy of the fake shares in bits: every count is binomial."""
    counts = np.arange(1, cell.n_fake + 1)
    terms = -counts / cell.n_fake * np.log2(counts / cell.n_fake)
    chances = binom.pmf(counts[:, None], cell.n_fake, class_weights(cell))
    return float((terms @ chances).sum()), 0.0


def collision_support(cell: Cell) -> tuple[float, float]:
    """One over the chance that two draws are alike."""
    return float(1 / (class_weights(cell) ** 2).sum()), 0.0


def softmax(cell: Cell, metrics: Sequence[str], stream: np.random.Generator, level: float | None) -> dict[str, Row]:
    """Inception score of Dirichlet rows, mostly sure of their class."""
    probabilities = stream.dirichlet(0.1 * cell.size * class_weights(cell) + 0.02, size=cell.n_fake)
    found = uc.metrics.inception_score(probabilities=probabilities, level=level, generator=torch_stream(stream))
    return {name: row(found) for name in metrics}


def support(cell: Cell, metrics: Sequence[str], stream: np.random.Generator, level: float | None) -> dict[str, Row]:
    """Repeated rows: draws from finitely many values."""
    values = stream.choice(cell.size, size=cell.n_fake, p=class_weights(cell))
    fake = np.stack([values, values % 7], axis=1).astype(np.float32)
    return {name: row(getattr(uc.metrics, name)(fake=fake, level=level)) for name in metrics}


def path_matrix(cell: Cell) -> torch.Tensor:
    """Weights of the simulated generator (size, 8)."""
    return torch.from_numpy(np.random.default_rng(cell.size).standard_normal((cell.size, 8)))


def paths(cell: Cell, metrics: Sequence[str], stream: np.random.Generator, level: float | None) -> dict[str, Row]:
    """Path length of a linear generator along straight paths, all kept; or of a bent one at the default settings."""
    matrix, linear = path_matrix(cell), cell.world == "linear"
    settings: dict[str, Any] = {"path": "lerp", "position": "start", "trim": None} if linear else {}
    found = uc.metrics.path_length(
        generator=lambda z: z @ matrix.T if linear else torch.tanh(z @ matrix.T),
        latent=8,
        samples=cell.n_fake,
        dtype=torch.float64,
        batch=512,
        level=level,
        draws=torch_stream(stream),
        **settings,
    )
    return {name: row(found) for name in metrics}


def grid(
    family: str,
    worlds: Sequence[str],
    sizes: Sequence[int],
    rows: Sequence[tuple[int, int]],
    differences: Sequence[bool] = (False, True),
) -> tuple[Cell, ...]:
    """Every combination, the small ones first."""
    return tuple(
        Cell(family=family, world=world, size=size, n_real=n_real, n_fake=n_fake, different=different)
        for n_real, n_fake in sorted(rows, key=lambda pair: pair[0] * pair[1])
        for size in sizes
        for world in worlds
        for different in differences
    )


@cache
def sliced_truth(world: str, size: int, different: bool) -> tuple[float, float]:
    """The sliced distance, whose quadrature takes seconds and is the same for all numbers of rows."""
    populations = (WORLDS[world](size, different=side) for side in (False, different))
    return sliced(*populations) if different else (0.0, 0.0)


def exact(function: Callable[..., float]) -> Callable[[Cell], tuple[float, float]]:
    """A distance in closed form of the two populations; between equal ones 0, which rounding would miss."""
    return lambda cell: (function(*sides(cell)) if cell.different else 0.0, 0.0)


FAKES = ((0, 500), (0, 2_000))
FAMILIES: Mapping[str, Family] = {
    "features": Family(
        metrics=FEATURE_METRICS,
        cells=grid("features", tuple(WORLDS), (2, 16, 64), SIZES),
        measure=features,
        truths={
            "frechet_infinity": exact(frechet),
            "kernel_distance": exact(cubic_kernel),
            "sliced_wasserstein": lambda cell: sliced_truth(cell.world, cell.size, cell.different),
        },
    ),
    "paired": Family(
        metrics=tuple(f"difference:{name}" for name in PAIRED),
        cells=grid("paired", tuple(WORLDS), (16,), ((500, 500), (500, 2_000))),
        measure=paired,
        truths={},
    ),
    "labels": Family(
        metrics=LABEL_METRICS,
        cells=grid("labels", ("classes",), (2, 10, 100), SIZES),
        measure=labels,
        truths={"mode_coverage": modes_reached, "class_entropy": mean_entropy},
    ),
    "softmax": Family(
        metrics=("inception_score",),
        cells=grid("softmax", ("dirichlet",), (10, 100), FAKES),
        measure=softmax,
        truths={},
    ),
    "support": Family(
        metrics=("duplicates", "birthday"),
        cells=grid("support", ("values",), (50, 1_000, 20_000), FAKES),
        measure=support,
        truths={"birthday": collision_support},
    ),
    "paths": Family(
        metrics=("path_length",),
        cells=grid("paths", ("linear", "bent"), (16,), FAKES, (False,)),
        measure=paths,
        truths={},
    ),
}
