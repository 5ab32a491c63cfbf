"""Kernel distances: how far apart real and fake lie in the eyes of a kernel, without bias and with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.inputs import Features, Rows, both, check_count, check_level, is_number, seeded
from uncollapse.metrics.kernel_functions import CubicKernel, GaussianKernel
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.pair_sums import LEAST_FOR_SPREAD, NO_SPREAD, Discrepancy, PairSums, discrepancy, identical
from uncollapse.metrics.pairs import Pair, Side, Visitor, full_precision

SIDES: tuple[Side, ...] = ("real", "fake", "cross")
# What CMMD's authors multiply by to make the number readable.
RBF_SCALE = 1_000.0


def kernel_distance(
    *,
    real: Rows,
    fake: Rows,
    level: float | None = 0.95,
    subsets: int | None = None,
    subset_size: int = 1000,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Kernel distance (KID): unbiased squared maximum mean discrepancy with a cubic kernel, over all pairs.

    KD = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j), k(x, y) = (x'y / d + 1)^3,
    on features as they are (not centred). It is 0 on average when real and fake are alike, so it may be negative.
    Papers often print it times 1,000. Reference: Binkowski, Sutherland, Arbel, Gretton 2018, arXiv:1801.01401.

    With `subsets` the value is the classic protocol's: the mean over that many subsets of `subset_size` rows a side,
    without replacement within a subset. Its interval is for the same population value and wider than that of all
    pairs: the variance of the full statistic plus that of the draw. The standard deviation over subsets, which papers
    print behind the sign +-, is no standard error; it is in `details` as "subset_deviation".

    Args:
        real: (n, d) features.
        fake: (m, d) features of the same extractor.
        level: Nominal coverage of the interval, or None for none.
        subsets: Number of subsets of the classic protocol, or None for all pairs.
        subset_size: Rows of each side in one subset.
        generator: Source of the subsets; by default one of seed 0.

    Returns:
        The distance; `details` holds "standard_error", and with `subsets` also "all_pairs" and "subset_deviation".

    Raises:
        UserError: The sides cannot be compared, a side has 1 row, or the subsets are larger than a side.
    """
    check_level(level)
    draws, sides = seeded(generator), both(real, fake)
    if subsets is not None:
        _check_subsets(subsets, subset_size, *sides)
    pair = Pair(*sides)
    job = KernelJob(pair, level)
    pair.walk(job.visitors)
    if subsets is None:
        return job.finish()["kernel_distance"]
    return job.protocol(subsets, subset_size, draws)


def mmd_rbf(*, real: Rows, fake: Rows, level: float | None = 0.95, sigma: float = 10.0) -> Estimate:
    """Squared maximum mean discrepancy with a Gaussian kernel on unit rows, in CMMD's normalisation.

    MMD = 1000 (mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)),
    k(x, y) = exp(-|x/|x| - y/|y||^2 / (2 sigma^2)). At sigma = 10 it is |difference of the unit rows' means|^2 times
    10, to about 1 %: nearly blind to what keeps the mean. `details` holds that number ("mean_difference"), its share
    of the value ("mean_difference_share"), and the biased form that CMMD prints ("v_statistic").
    Reference: Jayasumana, Ramalingam, Veit, Glasner, Chakrabarti, Kumar 2024, arXiv:2401.09603.

    Args:
        real: (n, d) features.
        fake: (m, d) features of the same extractor.
        level: Nominal coverage of the interval, or None for none.
        sigma: Width of the kernel, in units of the unit rows.

    Raises:
        UserError: The sides cannot be compared, a side has 1 row, a row is 0, or sigma is not above 0.
    """
    check_level(level)
    pair = Pair(*both(real, fake))
    job = GaussianKernelJob(pair, level, sigma=sigma)
    pair.walk(job.visitors)
    return job.finish()["mmd_rbf"]


class KernelJob:
    """Kernel distance from a walk over all pairs.

    Attributes:
        visitors: What the walk must show its tiles to.
    """

    def __init__(self, pair: Pair, level: float | None) -> None:
        """Prepares the sums.

        Raises:
            UserError: Features so large that the kernel overflows.
        """
        self.pair, self.level = pair, level
        self._kernel = CubicKernel(pair)
        self._sums = PairSums(pair, SIDES, self._kernel, spread=level is not None)
        self.visitors: Sequence[Visitor] = (self._sums,)

    def finish(self) -> dict[str, Estimate]:
        """The estimate, after the walk."""
        found, unit = self._result(), self._kernel.unit
        return {"kernel_distance": _estimate("kernel_distance", self.pair, found, unit, self.level, {})}

    def protocol(self, subsets: int, size: int, generator: torch.Generator) -> Estimate:
        """The classic mean over subsets, after the walk."""
        found, unit = self._result(), self._kernel.unit
        values = torch.stack([self._subset(size, generator) for _ in range(subsets)])
        deviation = float(values.std()) if subsets > 1 else math.nan
        details: dict[str, Any] = {"subsets": subsets, "subset_size": size, "all_pairs": found.value * unit}
        details |= {"subset_deviation": deviation * unit if subsets > 1 else None}
        # Given the rows, subsets are independent draws around the value of all pairs.
        found = replace(found, value=float(values.mean()))
        drawn = deviation**2 / subsets
        return _estimate("kernel_distance", self.pair, found, unit, self.level, details, drawn=drawn)

    def _result(self) -> Discrepancy:
        itself = self._kernel.itself(self.pair.real), self._kernel.itself(self.pair.fake)
        return discrepancy(self._sums.within("real"), self._sums.within("fake"), self._sums.across(), itself)

    def _subset(self, size: int, generator: torch.Generator) -> Tensor:
        sides = [(name, self.pair.centred[name]) for name in ("real", "fake")]
        drawn = [torch.randperm(len(rows), generator=generator)[:size].to(rows.device) for _, rows in sides]
        parts = [(name, rows[index], index) for (name, rows), index in zip(sides, drawn, strict=True)]
        with full_precision():
            inner = [self._kernel.between(part, part) for part in parts]
            cross = self._kernel.between(parts[0], parts[1])
        alike = sum((k.sum() - k.diagonal().sum()).double() / (size * (size - 1)) for k in inner)
        return alike - 2 * cross.sum().double() / size**2


def check_sigma(sigma: float) -> None:
    """Refuses what is no width of a kernel.

    Raises:
        UserError: It is not above 0, or not finite.
    """
    if not (is_number(sigma) and 0 < sigma < math.inf):
        raise UserError(f"sigma must be a number above 0, for example 10, not {sigma!r}.")


class GaussianKernelJob:
    """MMD with a Gaussian kernel on unit rows, from a walk over all pairs; attribute as in `KernelJob`."""

    def __init__(self, pair: Pair, level: float | None, *, sigma: float = 10.0) -> None:
        """Prepares the sums.

        Raises:
            UserError: A row is 0, or sigma is not above 0.
        """
        check_sigma(sigma)
        self.pair, self.level, self.sigma = pair, level, sigma
        self._kernel = GaussianKernel(pair, sigma)
        self._sums = PairSums(pair, SIDES, self._kernel, spread=level is not None)
        self.visitors: Sequence[Visitor] = (self._sums,)

    def finish(self) -> dict[str, Estimate]:
        """The estimate, after the walk."""
        real, fake, cross = self._sums.within("real"), self._sums.within("fake"), self._sums.across()
        # A row has k - 1 = 0 with itself.
        found = discrepancy(real, fake, cross, (0.0, 0.0))
        biased = RBF_SCALE * found.biased
        apart = RBF_SCALE / self.sigma**2 * self._kernel.between_means()
        details: dict[str, Any] = {"sigma": self.sigma, "v_statistic": biased, "mean_difference": apart}
        details |= {"mean_difference_share": apart / biased if biased > 0 else None}
        return {"mmd_rbf": _estimate("mmd_rbf", self.pair, found, RBF_SCALE, self.level, details)}


def _check_subsets(subsets: int, size: int, real: Features, fake: Features) -> None:
    check_count(subsets, "subsets", more=", for example 100, or None for all pairs")
    check_count(size, "subset_size", least=2)
    if not 2 <= size <= min(len(real), len(fake)):
        raise UserError(
            f"subset_size must be from 2 to the rows of the smaller side ({min(len(real), len(fake)):,}), not {size}."
        )


def _estimate(
    name: str,
    pair: Pair,
    found: Discrepancy,
    unit: float,
    level: float | None,
    details: dict[str, Any],
    drawn: float = 0.0,
) -> Estimate:
    """The estimate in its unit with its interval, or the reason why there is none; `drawn` is a variance to add."""
    n, m = len(pair.real), len(pair.fake)
    reason = None
    if level is None:
        pass
    elif min(n, m) < LEAST_FOR_SPREAD:
        reason = f"a side has fewer than {LEAST_FOR_SPREAD} rows, too few to tell how much the value varies"
    elif identical(pair.real) and identical(pair.fake):
        reason = NO_SPREAD
    elif math.isnan(drawn):
        reason = "one subset does not tell how much the mean over subsets varies"
    ends: tuple[float | None, float | None] = (None, None)
    if level is not None and reason is None:
        low, high = found.ends(level, drawn)
        ends = (low * unit, high * unit)
        details = details | {"standard_error": math.sqrt(found.error**2 + drawn) * unit}
    value = found.value * unit
    return find_metric(name).estimate(value, ends, level=level, n_real=n, n_fake=m, reason=reason, details=details)
