"""What the interval simulation draws: its cells, one draw of each, and the truths that are known without simulation."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

import image_features
import numpy as np
import torch
from numpy.typing import NDArray
from populations import WORLDS, cubic_kernel, frechet, sliced
from scipy.stats import binom, norm

import uncollapse as uc
from uncollapse.metrics import two_sample
from uncollapse.metrics.estimate import Estimate

SIZES = ((500, 500), (2_000, 2_000), (500, 2_000), (2_000, 500))
# What is kept of an estimate: its value and, when measured with a level, its ends, whether it says that it is
# conservative, and the truth of this very repeat where that depends on what was drawn.
Row = dict[str, float | bool | None]
FEATURE_METRICS = (
    "frechet_distance", "frechet_infinity", "kernel_distance", "mmd_rbf", "sliced_wasserstein", "precision", "recall",
    "density", "coverage", "c2st", "ndb", "diversity", "vendi_score", "authenticity",
)  # fmt: skip
# The truth of these belongs to the repeat, and why.
OWN_TRUTH = {
    "c2st": "population accuracy of the classifier of each repeat",
    "mode_coverage": "population value over the classes that each repeat's real samples show",
}
PAIRED = ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage")
LABEL_METRICS = ("mode_coverage", "class_entropy", "class_kl", "chi_square")


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
        zeros: Metrics whose truth is 0 where the populations are alike, by symmetry or because they have no bias.
    """

    metrics: tuple[str, ...]
    cells: tuple[Cell, ...]
    measure: Measure
    truths: Mapping[str, Callable[[Cell], tuple[float, float]]]
    zeros: tuple[str, ...] = ()

    def known(self, cell: Cell, name: str) -> Callable[[Cell], tuple[float, float]] | None:
        """What gives a metric's truth in a cell; None where it is the mean of many draws."""
        if name in self.zeros and not cell.different:
            return lambda _: (0.0, 0.0)
        return self.truths.get(name)


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
    """All feature metrics on one draw; the real rows are those that authenticity takes for the training set."""
    worlds = sides(cell)
    real, fake = worlds[0].draw(cell.n_real, stream), worlds[1].draw(cell.n_fake, stream)
    return together(real, fake, metrics, stream, level, lambda model, seen: accuracy(model, seen, *worlds))


def images(cell: Cell, metrics: Sequence[str], stream: np.random.Generator, level: float | None) -> dict[str, Row]:
    """The same on features of real images, no image on both sides; the classifier is judged on all other images."""
    all_of_it = image_features.pool(cell.world)
    if all_of_it.x.shape[1] != cell.size:
        raise ValueError(f"{cell.world} has {all_of_it.x.shape[1]} features, and the cell says {cell.size}")
    drawn = all_of_it.draw(cell.n_real, cell.n_fake, stream, different=cell.different)

    def judged(model: Any, seen: NDArray[Any]) -> float:
        shift, scale = seen.mean(0, dtype=np.float64), seen.std(0, dtype=np.float64)
        scale[scale <= 1e-6 * np.abs(shift)] = 1  # a feature that never varied
        others = all_of_it.without(np.concatenate(drawn))
        sides = (others.population(different=side).x for side in (False, cell.different))
        real_called_fake, fake_called_fake = (model.predict((side - shift) / scale).mean() for side in sides)
        return float((1 - real_called_fake + fake_called_fake) / 2)

    real, fake = (all_of_it.x[rows] for rows in drawn)
    return together(real, fake, metrics, stream, level, judged)


def together(
    real: NDArray[np.float32],
    fake: NDArray[np.float32],
    metrics: Sequence[str],
    stream: np.random.Generator,
    level: float | None,
    judged: Callable[[Any, NDArray[Any]], float],
) -> dict[str, Row]:
    """The rows of all feature metrics; `judged` tells a classifier's population accuracy from it and what it saw."""
    with trained_classifiers() as trained:
        found = uc.metrics.feature_metrics(
            real=real, fake=fake, train=real, metrics=tuple(metrics), level=level, generator=torch_stream(stream)
        )
    rows = {name: row(found[name]) for name in metrics}
    if "c2st" in rows and level is not None:
        rows["c2st"]["truth"] = judged(*trained[-1])
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


def accuracy(model: Any, seen: NDArray[Any], real: Any, fake: Any) -> float:
    """Balanced accuracy of a linear classifier, trained on standardised rows, on two Gaussian mixtures: exact."""
    shift, scale = seen.mean(0, dtype=np.float64), seen.std(0, dtype=np.float64)
    slope = model.coef_[0].astype(np.float64) / scale
    offset = float(model.intercept_[0]) - slope @ shift
    called_fake = [
        float(side.weights @ norm.cdf((side.means @ slope + offset) / np.sqrt(side.variances @ slope**2)))
        for side in (real, fake)
    ]
    return (1 - called_fake[0] + called_fake[1]) / 2


def paired(cell: Cell, metrics: Sequence[str], stream: np.random.Generator, level: float | None) -> dict[str, Row]:
    """Differences of fake and another fake against one reference, which the other's distribution always equals."""
    real_world, fake_world = sides(cell)
    drawn = [
        world.draw(n, stream)
        for world, n in ((real_world, cell.n_real), (fake_world, cell.n_fake), (real_world, cell.n_fake))
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
    rows = {name: row(getattr(uc.metrics, name)(real=real, fake=fake, level=level)) for name in metrics}
    if "mode_coverage" in rows:
        rows["mode_coverage"]["truth"] = float((class_weights(cell)[np.unique(real)] >= 0.2 / cell.size).sum())
    return rows


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


def of_images(truth: Callable[..., Any]) -> Callable[[Cell], tuple[float, float]]:
    """A distance of the two populations of images, perhaps with a standard error; between equal ones 0."""

    @cache
    def found(world: str) -> tuple[float, float]:
        everything = image_features.pool(world)
        distance = truth(*(everything.population(different=side) for side in (False, True)))
        return distance if isinstance(distance, tuple) else (distance, 0.0)

    return lambda cell: found(cell.world) if cell.different else (0.0, 0.0)


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
        zeros=("mmd_rbf",),
    ),
    "images": Family(
        metrics=FEATURE_METRICS,
        cells=grid("images", ("mnist", "fashion-mnist"), (96,), ((500, 500),)),
        measure=images,
        truths={
            "frechet_infinity": of_images(image_features.frechet),
            "kernel_distance": of_images(image_features.cubic_kernel),
            "sliced_wasserstein": of_images(image_features.sliced),
        },
        zeros=("mmd_rbf",),
    ),
    "paired": Family(
        metrics=tuple(f"difference:{name}" for name in PAIRED),
        cells=grid("paired", tuple(WORLDS), (16,), ((500, 500), (500, 2_000))),
        measure=paired,
        truths={},
        zeros=tuple(f"difference:{name}" for name in PAIRED),
    ),
    "labels": Family(
        metrics=LABEL_METRICS,
        cells=grid("labels", ("classes",), (2, 10, 100), SIZES),
        measure=labels,
        truths={"class_entropy": mean_entropy},
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
