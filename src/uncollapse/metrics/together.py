"""All metrics of features at once: one look at every pair of rows for all that need pairs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Rows, as_features, both, check_alike, check_level, seeded
from uncollapse.metrics.kernels import GaussianKernelJob, KernelJob
from uncollapse.metrics.manifold import NAMES as MANIFOLD
from uncollapse.metrics.manifold import ManifoldJob
from uncollapse.metrics.mean_distance import DiversityJob
from uncollapse.metrics.memorisation import AuthenticityJob
from uncollapse.metrics.metric import NAMES, as_names, find_metric
from uncollapse.metrics.pairs import Pair, Visitor
from uncollapse.metrics.versus import WITHOUT_FEATURES, feature_metric

FEATURE_METRICS = tuple(name for name in NAMES if name not in WITHOUT_FEATURES)
# Below this many rows a side each of precision to coverage decides on its own whether it has enough for an interval.
FEW = 50
NO_TRAIN = "authenticity needs the rows the generator was trained on; give train="


class Job(Protocol):
    """Estimates that come out of a walk over pairs."""

    @property
    def visitors(self) -> Sequence[Visitor]:
        """Who looks at the pairs."""
        ...

    def finish(self) -> dict[str, Estimate]:
        """The estimates, after the walk."""
        ...


def feature_metrics(
    *,
    real: Rows,
    fake: Rows,
    train: Rows | None = None,
    metrics: Iterable[str] | None = None,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> dict[str, Estimate]:
    """Metrics of features, each as its own function gives it with its default settings, in less time.

    What needs pairs of rows (precision, recall, density, coverage, both kernel distances, diversity, and authenticity
    when `train` is `real`) shares one walk. A metric that cannot be computed on these rows is an estimate without a
    value whose reason is the sentence of its error; the others still come.

    Args:
        real: (n, d) feature rows.
        fake: (m, d) feature rows.
        train: Rows that the generator was trained on, for authenticity; the same object as `real` saves a walk.
        metrics: Names; default all metrics of features (authenticity only with `train`).
        level: Nominal coverage of the intervals; None = no intervals, faster.
        generator: Every metric starts from its present state, and it is advanced once.

    Returns:
        Name -> estimate, in the order of `metric.NAMES`.

    Raises:
        UserError: Unknown names, metrics that take no features, or rows that no metric can use.
    """
    check_level(level)
    chosen = chosen_metrics(metrics, with_train=train is not None)
    sides = both(real, fake)
    pair, stream = Pair(*sides), Streams(seeded(generator))
    jobs, found = _jobs(pair, chosen, level, stream, train_is_real=train is real)
    pair.walk([visitor for job in jobs for visitor in job.visitors])
    for job in jobs:
        found |= _finished(job)
    del jobs, pair
    rows = {"real": sides[0], "fake": sides[1], "train": train}
    for name in chosen:
        if name not in found:
            found[name] = _alone(name, rows, level, stream, sizes=(len(sides[0]), len(sides[1])))
    return {name: found[name] for name in NAMES if name in chosen}


@dataclass(frozen=True)
class Streams:
    """Gives every metric a stream in the state of the caller's, as if it were the only one."""

    source: torch.Generator

    def __post_init__(self) -> None:
        object.__setattr__(self, "_state", self.source.get_state())
        # The caller's next call must not repeat this one's draws.
        torch.rand((), generator=self.source)

    def fresh(self) -> torch.Generator:
        """A stream of its own in that state."""
        stream = torch.Generator()
        stream.set_state(self.__dict__["_state"])
        return stream


def chosen_metrics(metrics: Iterable[str] | None, *, with_train: bool) -> tuple[str, ...]:
    """The metrics of features asked for, in the order of `metric.NAMES`; by default authenticity only `with_train`.

    Raises:
        UserError: As `as_names`, an unknown name, or a metric that takes no features.
    """
    if metrics is None:
        return tuple(name for name in FEATURE_METRICS if with_train or name != "authenticity")
    names = {feature_metric(name).name for name in as_names(metrics)}
    return tuple(name for name in NAMES if name in names)


def _jobs(
    pair: Pair, chosen: Sequence[str], level: float | None, stream: Streams, *, train_is_real: bool
) -> tuple[list[Job], dict[str, Estimate]]:
    """What shares the walk, and the estimates of what cannot be computed."""
    makers: Mapping[str, Callable[[], Job]] = {
        **{name: _maker(pair, name, level, stream) for name in MANIFOLD},
        "kernel_distance": lambda: KernelJob(pair, level),
        "mmd_rbf": lambda: GaussianKernelJob(pair, level),
        "diversity": lambda: DiversityJob(pair, level),
        "authenticity": lambda: AuthenticityJob(pair, level=level, generator=stream.fresh()),
    }
    jobs: dict[str, Job] = {}
    failed: dict[str, Estimate] = {}
    for name in chosen:
        if name in makers and (name != "authenticity" or train_is_real):
            try:
                jobs[name] = makers[name]()
            except UserError as error:
                failed[name] = without(name, level, (len(pair.real), len(pair.fake)), error)
    possible = [name for name in MANIFOLD if name in jobs]
    if len(possible) > 1 and min(len(pair.real), len(pair.fake)) >= FEW:
        for name in possible:
            del jobs[name]
        jobs["together"] = ManifoldJob(pair, possible, level=level, generator=stream.fresh())
    return list(jobs.values()), failed


def _maker(pair: Pair, name: str, level: float | None, stream: Streams) -> Callable[[], Job]:
    return lambda: ManifoldJob(pair, (name,), level=level, generator=stream.fresh())


def _finished(job: Job) -> dict[str, Estimate]:
    return job.finish()


def _alone(
    name: str, rows: Mapping[str, Rows | None], level: float | None, stream: Streams, *, sizes: tuple[int, int]
) -> Estimate:
    """The metric from its own function."""
    if name == "authenticity":
        train = rows["train"]
        if train is None:
            return without(name, level, sizes, UserError(f"{NO_TRAIN}."))
        check_alike(as_features(train, name="train"), as_features(rows["fake"], name="fake"))  # type: ignore[arg-type]
    function = find_metric(name).function
    parameters = inspect.signature(function).parameters
    given = {side: value for side, value in rows.items() if side in parameters}
    if "generator" in parameters:
        given["generator"] = stream.fresh()  # type: ignore[assignment]
    try:
        return function(level=level, **given)
    except UserError as error:
        return without(name, level, sizes, error)


def without(name: str, level: float | None, sizes: tuple[int, int], error: UserError) -> Estimate:
    """An estimate of nothing, which says why; sizes are the rows of real and of fake."""
    return find_metric(name).estimate(None, level=level, n_real=sizes[0], n_fake=sizes[1], reason=str(error))
