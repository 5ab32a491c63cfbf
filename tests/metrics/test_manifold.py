from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import uncollapse.metrics as metrics
import uncollapse.metrics.manifold as manifold
from uncollapse.errors import UserError
from uncollapse.metrics.inputs import both
from uncollapse.metrics.manifold import NAMES, ManifoldJob
from uncollapse.metrics.pairs import Pair
from uncollapse.metrics.resampling import MOST, Ranks, subsamples

Array = NDArray[np.float64]


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def by_definition(real: Array, fake: Array, k: int) -> dict[str, float]:
    """The four numbers from the papers' formulas and full matrices of distances."""

    def apart(one: Array, other: Array) -> Array:
        return np.sqrt(np.stack([((row - other) ** 2).sum(1) for row in one]))

    def radius(x: Array) -> Array:
        return np.sort(apart(x, x), axis=1)[:, k]

    across = apart(real, fake)
    inside = across <= radius(real)[:, None]
    return {
        "precision": inside.any(0).mean(),
        "recall": (across <= radius(fake)).any(1).mean(),
        "density": inside.sum() / (k * len(fake)),
        "coverage": inside.any(1).mean(),
    }


def four(real: object, fake: object, **options: object) -> dict[str, metrics.Estimate]:
    return {name: getattr(metrics, name)(real=real, fake=fake, **options) for name in NAMES}


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 2), (150, 400, 32)])
def test_the_four_numbers_equal_their_definitions(n: int, m: int, d: int) -> None:
    real, fake = normal(0, n, d), 0.2 + 0.8 * normal(1, m, d)
    for k in (1, 4):
        found = four(real, fake, k=k, level=None)
        expected = by_definition(real, fake, k)
        for name in NAMES:
            assert found[name].value == pytest.approx(expected[name], abs=1e-12), name
            assert (found[name].n_real, found[name].n_fake, found[name].details["k"]) == (n, m, k)
    # The default k differ: 3 and 5.
    assert metrics.recall(real=real, fake=fake, level=None).value == pytest.approx(
        by_definition(real, fake, 3)["recall"]
    )
    assert metrics.density(real=real, fake=fake, level=None).value == pytest.approx(
        by_definition(real, fake, 5)["density"]
    )


def test_one_walk_gives_what_four_give() -> None:
    real, fake = normal(2, 300, 8), normal(3, 250, 8)
    pair = Pair(*both(real, fake))
    job = ManifoldJob(pair)
    pair.walk(job.visitors, tile=64)
    together = job.finish()
    assert {name: e.value for name, e in together.items()} == {name: e.value for name, e in four(real, fake).items()}


def test_on_equal_distributions_density_and_coverage_meet_their_exact_means() -> None:
    n, m, k, repeats = 60, 90, 5, 150
    generator = torch.Generator().manual_seed(0)
    density, coverage = [], []
    for _ in range(repeats):
        real, fake = torch.randn(n, 3, generator=generator), torch.randn(m, 3, generator=generator)
        pair = Pair(*both(real, fake))
        job = ManifoldJob(pair, ("density", "coverage"), level=None)
        pair.walk(job.visitors)
        found = job.finish()
        density.append(float(found["density"]))
        coverage.append(float(found["coverage"]))
    # Of the n - 1 + m others of a real row, all orders are equally likely.
    exact = 1 - math.prod((n - 1 - i) / (m + n - 1 - i) for i in range(k))
    assert np.mean(density) == pytest.approx(1, abs=4 * np.std(density) / math.sqrt(repeats))
    assert np.mean(coverage) == pytest.approx(exact, abs=4 * np.std(coverage) / math.sqrt(repeats))
    assert np.std(coverage) / math.sqrt(repeats) < 0.004


def test_identical_disjoint_and_exchanged_sides() -> None:
    real, fake = normal(4, 200, 5), 0.5 * normal(5, 300, 5)
    same, apart = four(real, real), four(real, real + 100)
    assert [same[name].value for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    # Each row lies in its own ball and, on average, in k others.
    assert same["density"].value == pytest.approx(6 / 5)
    assert [apart[name].value for name in NAMES] == [0, 0, 0, 0]
    for name in NAMES:
        assert same[name].low < same[name].value
        assert 0 < apart[name].high < 0.1
    one, other = four(real, fake, k=3), four(fake, real, k=3)
    assert one["precision"].value == other["recall"].value > 0.9
    assert one["recall"].value == other["precision"].value < 0.5


def test_repeated_rows_have_balls_of_radius_zero_that_hold_their_copies() -> None:
    real = np.repeat(normal(6, 20, 4), 10, axis=0)
    assert [four(real, real)[name].value for name in NAMES] == [1, 1, 10 / 5, 1]
    collapsed = np.repeat(real[:1], 50, axis=0)
    found = four(real, collapsed)
    assert found["precision"].value == 1
    assert found["recall"].value == found["coverage"].value == 10 / 200
    assert all(found[name].low < found[name].high for name in NAMES)


def test_the_order_of_rows_their_type_and_the_seed_decide_nothing_else() -> None:
    real, fake = normal(7, 260, 6).astype(np.float32), normal(8, 240, 6).astype(np.float32)
    first = four(real, fake)
    shuffled = four(torch.from_numpy(real).flip(0), torch.from_numpy(fake[np.random.default_rng(0).permutation(240)]))
    for name in NAMES:
        one, other = ([estimate.value, estimate.low, estimate.high] for estimate in (first[name], shuffled[name]))
        assert one == pytest.approx(other, rel=1e-9), name
    seeded = metrics.recall(real=real, fake=fake, generator=torch.Generator().manual_seed(5))
    assert seeded.value == first["recall"].value
    assert seeded.low != first["recall"].low


def test_subsamples_have_the_numbers_of_the_definition() -> None:
    pair = Pair(*both(normal(15, 200, 3), 0.8 * normal(16, 150, 3)))
    job = ManifoldJob(pair, k=dict.fromkeys(NAMES, 3))
    (i, j), _ = next(subsamples((200, 150), generator=torch.Generator().manual_seed(0)))
    real, fake = pair.real.ordered[i], pair.fake.ordered[j]
    expected = [by_definition(real.numpy(), fake.numpy(), 3)[name] for name in NAMES]
    assert len(set(expected)) == 4
    assert job._numbers(NAMES, real, fake) == pytest.approx(expected, rel=1e-12)
    ranks = {side: Ranks(pair, side, 60) for side in ("real", "fake")}
    assert job._ranked(ranks, NAMES, i, j) == pytest.approx(expected, rel=1e-12)


def test_ranks_give_the_intervals_of_direct_distances_and_keep_more_neighbours_where_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, fake = normal(13, 230, 4), 1.1 * normal(14, 250, 4)
    fake[:30] = real[:30]
    by_ranks = four(real, fake)
    monkeypatch.setattr(manifold, "enough_neighbours", lambda k, share: k)
    kept = four(real, fake)
    monkeypatch.setattr(manifold, "MANY", 0)
    directly = four(real, fake)
    for name in NAMES:
        for other in (kept, directly):
            ends = (other[name].low, other[name].high)
            assert ends == pytest.approx((by_ranks[name].low, by_ranks[name].high), rel=1e-12), name


@pytest.mark.parametrize("many", [4_000, 0], ids=["by ranks", "directly"])
def test_the_upper_ends_of_precision_and_recall_rest_on_parts_of_the_rows_too(
    monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(manifold, "MANY", many)
    pairs = [(normal(seed, 500, 2), normal(seed + 1, 500, 2) + np.array([3.0, 0])) for seed in range(0, 8, 2)]
    found = [four(*pair) for pair in pairs]
    alone = {name: {1: shrink[1]} for name, shrink in manifold.BALLS_SHRINK.items()}
    monkeypatch.setattr(manifold, "BALLS_SHRINK", alone)
    before = [four(*pair) for pair in pairs]
    for name in NAMES:
        both_ways = [(new[name], old[name]) for new, old in zip(found, before, strict=True)]
        assert [new.low for new, _ in both_ways] == pytest.approx([old.low for _, old in both_ways], rel=1e-12)
        reach = [(new.high - new.value) / (old.high - old.value) for new, old in both_ways]
        assert min(reach) > 1 - 1e-12
        assert 1.1 < max(reach) < 4 if name in ("precision", "recall") else max(reach) < 1 + 1e-12


def test_what_else_is_computed_does_not_change_an_interval() -> None:
    pair = Pair(*both(normal(0, 500, 2), normal(1, 500, 2) + np.array([3.5, 0])))
    ends = []
    for k in (5, 80, 200):
        job = ManifoldJob(pair, k={"coverage": k})
        pair.walk(job.visitors)
        ends.append((job.finish()["recall"].low, job.finish()["recall"].high))
    assert ends[0] == pytest.approx(ends[1], rel=1e-12)
    assert ends[0] == pytest.approx(ends[2], rel=1e-12)


def test_no_interval_without_a_level_or_with_too_few_rows() -> None:
    real, fake = normal(9, 9, 2), normal(10, 9, 2)
    bare = metrics.precision(real=real, fake=fake, level=None)
    assert (bare.low, bare.high, bare.level, bare.conservative) == (None, None, None, False)
    few = metrics.coverage(real=real, fake=fake)
    assert (few.low, few.high) == (None, None)
    assert "each half needs more than k" in str(few.reason)


def test_what_cannot_be_computed_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match=r"real has 5 rows, too few for k = 5 neighbours; give at least 6"):
        metrics.density(real=normal(0, 5, 2), fake=normal(1, 9, 2))
    # Recall needs balls of the fakes only.
    assert metrics.recall(real=normal(0, 3, 2), fake=normal(1, 9, 2), level=None).value is not None
    with pytest.raises(UserError, match=r"fake has 3 rows, too few for k = 3"):
        metrics.recall(real=normal(0, 9, 2), fake=normal(1, 3, 2))
    with pytest.raises(UserError, match=r"k must be a whole number of at least 1, not 0"):
        metrics.precision(real=normal(0, 9, 2), fake=normal(1, 9, 2), k=0)
    for k in (2.5, "3"):
        with pytest.raises(UserError, match=rf"k must be a whole number of at least 1, not {k!r}"):
            metrics.coverage(real=normal(0, 9, 2), fake=normal(1, 9, 2), k=k)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"level must be between 0 and 1"):
        metrics.precision(real=normal(0, 9, 2), fake=normal(1, 9, 2), level=95)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_intervals_hold_the_mean_of_fresh_draws(shift: float) -> None:
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[metrics.Estimate]] = {name: [] for name in NAMES}
    for _ in range(120):
        pair = Pair(*both(torch.randn(300, 8, generator=generator), shift + torch.randn(300, 8, generator=generator)))
        job = ManifoldJob(pair, generator=generator)
        pair.walk(job.visitors)
        for name, estimate in job.finish().items():
            found[name].append(estimate)
    for name, estimates in found.items():
        mean = np.mean([float(estimate) for estimate in estimates])
        assert np.mean([estimate.holds(float(mean)) for estimate in estimates]) >= 0.92, name


@pytest.mark.slow
def test_beyond_the_largest_subsample_the_interval_shrinks_with_the_size() -> None:
    ratios = []
    for seed in range(4):  # eight splits tell a width to about a third
        real, fake = normal(11 + 2 * seed, 5 * MOST, 2), normal(12 + 2 * seed, 5 * MOST, 2)
        large, small = metrics.coverage(real=real, fake=fake), metrics.coverage(real=real[:500], fake=fake[:500])
        ratios.append((small.high - small.low) / (large.high - large.low))
    assert 2.2 < float(np.exp(np.mean(np.log(ratios)))) < 4.8  # ten times as many rows: the root of ten


@pytest.mark.slow
@pytest.mark.parametrize("name", ["precision", "recall"])
def test_intervals_hold_where_a_few_outliers_balls_decide(name: str) -> None:
    """With subsamples alone, without their parts, they held 87 and 89 % of the time (500 repeats)."""
    measure, found = getattr(metrics, name), []
    for seed in range(200):
        found.append(measure(real=normal(2 * seed, 500, 2), fake=normal(2 * seed + 1, 500, 2) + np.array([3.5, 0])))
    mean = float(np.mean([float(estimate) for estimate in found]))
    assert np.mean([estimate.holds(mean) for estimate in found]) >= 0.95
    assert np.mean([estimate.high - estimate.low for estimate in found]) < 0.9
