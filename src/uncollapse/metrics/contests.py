"""Two generators against one reference in several metrics: one look at every subsample for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Features, Rows, as_features, both, check_alike, check_level, seeded
from uncollapse.metrics.metric import NAMES, find_metric
from uncollapse.metrics.resampling import subsamples
from uncollapse.metrics.together import Streams, chosen_metrics, feature_metrics, without
from uncollapse.metrics.versus import Contest, compared, difference, takes_reference

# Fake and other, each in one metric on the same rows.
Both = tuple[Estimate, Estimate]


def differences(
    *,
    real: Rows,
    fake: Rows,
    other: Rows,
    metrics: Iterable[str] | None = None,
    level: float | None = 0.95,
    generator: torch.Generator | None = None,
) -> dict[str, Estimate]:
    """Metrics of `fake` minus those of `other`, each as `difference` gives it with its default settings, in less time.

    All metrics that compare with real rows look at the same subsamples, and those that need pairs of rows share one
    walk over each. A metric that cannot be computed on these rows is an estimate without a value whose reason is the
    sentence of its error; the others still come.

    Args:
        real: (n, d) features of the reference.
        fake: (m, d) features of one generator.
        other: (m', d) features of the other one.
        metrics: Names; default all metrics of features but authenticity, which compares with training rows.
        level: Nominal coverage of the intervals; None = no intervals, faster.
        generator: Every metric starts from its present state, and it is advanced once.

    Returns:
        Name -> estimate, in the order of `metric.NAMES`.

    Raises:
        UserError: Unknown names, metrics that take no features, authenticity, or rows that no metric can use.
    """
    check_level(level)
    chosen, streams = chosen_metrics(metrics, with_train=False), Streams(seeded(generator))
    if "authenticity" in chosen:
        raise UserError("authenticity compares with training rows: use difference('authenticity', real=training rows).")
    sides = (*both(real, fake), as_features(other, name="other"))
    check_alike(sides[1], sides[2])
    found: dict[str, Estimate] = {}
    if shared := [name for name in chosen if takes_reference(find_metric(name))]:
        found |= _Shared(shared, sides, streams).estimates(level)
    for name in chosen:
        if name not in found:
            found[name] = _of_fakes(name, sides, level, streams.fresh())
    return {name: found[name] for name in NAMES if name in found}


def _of_fakes(
    name: str, sides: tuple[Features, Features, Features], level: float | None, draws: torch.Generator
) -> Estimate:
    """A metric that looks at the fakes alone."""
    real, fake, other = sides
    try:
        return difference(name, fake=fake, other=other, level=level, generator=draws)
    except UserError as error:
        return without(name, level, (len(real), len(fake)), error)


class _Shared:
    """The metrics that need real rows, on the same rows."""

    def __init__(self, names: Sequence[str], sides: tuple[Features, Features, Features], streams: Streams) -> None:
        real, fake, other = sides
        self.names, self.rows = tuple(names), (len(real), len(fake))
        self.contests = [
            Contest(
                find_metric(name), real=real, fake=fake, other=other, paired=False, draws=streams.fresh(), options={}
            )
            for name in names
        ]

    def estimates(self, level: float | None) -> dict[str, Estimate]:
        """The difference in each metric."""
        whole = self._looked([torch.arange(size) for size in self.contests[0].sizes], seed=0)
        values: dict[str, tuple[float, float]] = {}
        found: dict[str, Estimate] = {}
        for name in self.names:
            try:
                values[name] = _values(name, whole[name])
            except UserError as error:
                found[name] = without(name, level, self.rows, error)
        self.names = tuple(values)  # the others need not be looked at again
        contests = {contest.metric.name: contest for contest in self.contests}
        return found | {
            name: compared(contests[name], value, level, partial(self._gaps, name)) for name, value in values.items()
        }

    def _gaps(self, name: str) -> tuple[list[float], list[float]]:
        """One metric's differences on the first and on the second subsamples."""
        values = [[_values(name, part[name]) for part in pair] for pair in self._subsamples]
        first, second = ([fake - other for fake, other in half] for half in zip(*values, strict=True))
        return first, second

    @cached_property
    def _subsamples(self) -> list[list[dict[str, Both]]]:
        """All metrics on pairs of disjoint subsamples."""
        pairs = subsamples(self.contests[0].sizes, generator=self.contests[0].draws)
        return [
            [self._looked(part, seed=2 * number + which) for which, part in enumerate(pair)]
            for number, pair in enumerate(pairs)
        ]

    def _looked(self, index: Sequence[Tensor], *, seed: int) -> dict[str, Both]:
        """All metrics of fake and of other on some rows."""
        real, *fakes = self.contests[0].chosen(index)
        assert real is not None, "these metrics have a reference"
        one, two = (
            feature_metrics(
                real=real, fake=fake, metrics=self.names, level=None, generator=torch.Generator().manual_seed(seed)
            )
            for fake in fakes
        )
        return {name: (one[name], two[name]) for name in self.names}


def _values(name: str, both: Both) -> tuple[float, float]:
    """The metric of fake and of other.

    Raises:
        UserError: One has none.
    """
    fake, other = (found.value for found in both)
    if fake is None or other is None:
        reason = str(both[0 if fake is None else 1].reason)
        # The sentence of an error stands as it is.
        raise UserError(reason if reason.endswith(".") else f"{name} has no value here: {reason}.")
    return fake, other
