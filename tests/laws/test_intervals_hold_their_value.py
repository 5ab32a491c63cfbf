"""What every interval keeps: it holds its value; and the symmetries that a metric's definition claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.laws.chance import search, searched

from uncollapse.errors import UserError
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.intervals import mean_interval, wilson
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.together import FEATURE_METRICS, feature_metrics

SEEDS, SIZES = st.integers(0, 2**32 - 1), st.integers(24, 70)
# value(real, fake) = value(fake, real), by definition and without draws; ndb, c2st and the like choose rows.
SYMMETRIC = ("frechet_distance", "kernel_distance", "mmd_rbf")
# Values that draw nothing.
DRAWLESS = (*SYMMETRIC, "precision", "recall", "density", "coverage", "diversity", "vendi_score", "duplicates")


def sides(seed: int, n: int, m: int, *, coarse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two clouds; coarse ones have many equal rows and distances."""
    draws = np.random.default_rng(seed)
    real, fake = draws.normal(size=(n, 3)), draws.normal(draws.uniform(0, 2), draws.uniform(0.2, 2), size=(m, 3))
    return (np.round(real) + 9, np.round(fake) + 9) if coarse else (real, fake)


def ends(found: Estimate) -> tuple[float | None, ...]:
    return found.value, found.low, found.high


def alike(one: Estimate, other: Estimate, *, rel: float = 1e-9) -> None:
    for a, b in zip(ends(one), ends(other), strict=True):
        assert (a is None) == (b is None), one.metric
        if a is not None:
            assert a == pytest.approx(b, rel=rel, abs=1e-9), one.metric


@searched(6, 200)
def test_every_metric_of_features_holds_its_value_whatever_the_order_of_rows(examples: int) -> None:
    @search(examples)
    @given(seed=SEEDS, n=SIZES, m=SIZES, coarse=st.booleans(), level=st.sampled_from([0.5, 0.95, 0.999]))
    def law(seed: int, n: int, m: int, coarse: bool, level: float) -> None:
        real, fake = sides(seed, n, m, coarse=coarse)
        names = [name for name in FEATURE_METRICS if name != "authenticity"]
        found = feature_metrics(real=real, fake=fake, metrics=names, level=level)
        draws = np.random.default_rng(seed)
        turned = feature_metrics(real=draws.permutation(real), fake=draws.permutation(fake), metrics=names, level=level)
        for name, estimate in found.items():
            metric = find_metric(name)
            if estimate.value is not None:
                assert metric.low - 1e-9 <= estimate.value <= metric.high + 1e-9, name
                assert estimate.low is None or metric.low <= estimate.low <= estimate.value, name
                assert estimate.high is None or estimate.value <= estimate.high <= metric.high, name
            assert estimate.value is not None or estimate.reason, name
            alike(estimate, turned[name], rel=1e-7)

    law()


@searched(10, 300)
def test_symmetric_distances_are_symmetric_and_precision_and_recall_change_places(examples: int) -> None:
    @search(examples)
    @given(seed=SEEDS, n=SIZES, m=SIZES, coarse=st.booleans())
    def law(seed: int, n: int, m: int, coarse: bool) -> None:
        real, fake = sides(seed, n, m, coarse=coarse)
        there = feature_metrics(real=real, fake=fake, metrics=(*SYMMETRIC, "precision", "recall"), level=None)
        back = feature_metrics(real=fake, fake=real, metrics=(*SYMMETRIC, "precision", "recall"), level=None)
        for name in SYMMETRIC:
            alike(there[name], back[name], rel=1e-6)
        alike(there["precision"], back["recall"])
        alike(there["recall"], back["precision"])

    law()


@searched(8, 300)
def test_rows_given_twice_leave_the_vendi_score_and_are_all_duplicates(examples: int) -> None:
    @search(examples)
    @given(seed=SEEDS, n=SIZES)
    def law(seed: int, n: int) -> None:
        real, fake = sides(seed, n, n, coarse=False)
        names = ("vendi_score", "duplicates")
        once = feature_metrics(real=real, fake=fake, metrics=names, level=None)
        twice = feature_metrics(real=real, fake=np.concatenate([fake, fake]), metrics=names, level=None)
        alike(once["vendi_score"], twice["vendi_score"], rel=1e-6)
        assert (once["duplicates"].value, twice["duplicates"].value) == (0.0, 1.0)

    law()


@searched(4, 100)
def test_a_level_changes_no_value_and_wider_levels_hold_narrower_ones(examples: int) -> None:
    @search(examples)
    @given(seed=SEEDS, n=SIZES, m=SIZES)
    def law(seed: int, n: int, m: int) -> None:
        real, fake = sides(seed, n, m, coarse=False)
        given: dict[str, Any] = {"real": real, "fake": fake, "metrics": DRAWLESS}
        bare, narrow, wide = (feature_metrics(**given, level=level) for level in (None, 0.8, 0.99))
        for name in DRAWLESS:
            assert (bare[name].low, bare[name].high) == (None, None)
            assert bare[name].value == pytest.approx(narrow[name].value, rel=1e-9, abs=1e-12)
            low, high = narrow[name].low, narrow[name].high
            if low is not None:
                assert wide[name].low is None or wide[name].low <= low + 1e-9, name
            if high is not None:
                assert wide[name].high is None or wide[name].high >= high - 1e-9, name

    law()


@searched(60)
def test_wilsons_interval_holds_the_share_and_is_symmetric(examples: int) -> None:
    @search(examples)
    @given(n=st.integers(1, 10**6), share=st.floats(0, 1), level=st.floats(0.01, 0.999))
    def law(n: int, share: float, level: float) -> None:
        successes = round(share * n)
        low, high = wilson(successes, n, level)
        assert 0 <= low <= successes / n <= high <= 1
        mirrored = wilson(n - successes, n, level)
        assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)

    law()


@searched(60)
def test_a_mean_over_seeds_lies_in_its_interval_and_in_its_bounds(examples: int) -> None:
    values = st.lists(st.integers(0, 8).map(float) | st.floats(0, 8), min_size=1, max_size=12)

    @search(examples)
    @given(values=values, bounded=st.booleans(), order=st.randoms(use_true_random=False))
    def law(values: list[float], bounded: bool, order: object) -> None:
        bounds = (0.0, 8.0) if bounded else None
        found = mean_interval(values, bounds=bounds)
        order.shuffle(values)  # type: ignore[attr-defined]
        turned = mean_interval(values, bounds=bounds)
        assert found.mean is not None
        for end, twin in ((found.low, turned.low), (found.high, turned.high)):
            assert (end is None) == (twin is None)
            assert end is None or end == pytest.approx(twin, abs=1e-9)
        assert found.low is None or found.low <= found.mean
        assert found.high is None or found.high >= found.mean
        if bounded:
            assert found.low is not None
            assert found.high is not None
            assert 0 <= found.low < found.high <= 8  # an interval never claims certainty
            mirrored = mean_interval([8 - value for value in values], bounds=bounds)
            assert mirrored.low == pytest.approx(8 - found.high, abs=1e-6)

    law()


@searched(20)
def test_any_number_out_of_range_is_a_sentence(examples: int) -> None:
    @search(examples)
    @given(successes=st.integers(-5, 20), n=st.integers(0, 10), level=st.floats(-1, 2))
    def law(successes: int, n: int, level: float) -> None:
        if 0 <= successes <= n and 0 < level < 1:
            low, high = wilson(successes, n, level)
            assert 0 <= low <= high <= 1
        else:
            with pytest.raises(UserError, match=r"\.$"):
                wilson(successes, n, level)

    law()
