from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.cluster  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.metrics.intervals import mean_interval
from uncollapse.metrics.modes import (
    KEYS,
    core_sigma_ratio,
    diverged_value,
    entropy_bits,
    kl_divergence,
    kl_floor,
    measure_bounds,
    mode_counts,
    mode_measures,
    tutorial_coverage,
)
from uncollapse.tasks import Mixture, find


@pytest.mark.parametrize("name", ["ring-8", "blobs-16", "unequal-8", "digits"])
def test_planted_collapse_ranks_healthy_above_two_lost_modes_above_one_point(name: str) -> None:
    task = find(name)
    x, labels = task.sample(4000, stream(0, "test"))
    # The best-judged sample, so that one point is of high quality and only coverage can tell.
    one = x[task.assign(x)[1]][:1]
    healthy = mode_measures(x, task)
    lost = mode_measures(x[(labels != 0) & (labels != 1)], task)
    point = mode_measures(one.expand(4000, *task.shape), task)
    for key in ("modes_hit", "modes_solid", "class_entropy"):
        assert healthy[key] > lost[key] > point[key], key
    for key in ("kl_high_quality", "kl_all"):
        assert healthy[key] < lost[key] < point[key], key
        assert healthy[key] < 4 * healthy[f"{key}_floor"]
    assert healthy["modes_solid"] == len(task.modes)
    # One missed digit of the classifier may count as a mode that was hit, so only solid modes are exact there.
    assert lost["modes_solid"] == len(task.modes) - 2
    assert (point["modes_hit"], point["high_quality_share"], point["class_entropy"]) == (1, 1, 0)
    if isinstance(task, Mixture):
        assert healthy["tutorial_coverage"] > lost["tutorial_coverage"] > point["tutorial_coverage"]
        assert healthy["core_sigma_ratio"] == pytest.approx(0.992, abs=0.03)
        assert point["core_sigma_ratio"] == 0
    else:
        assert healthy["tutorial_coverage"] is None
        assert healthy["core_sigma_ratio"] is None


def test_counts_and_measures_of_a_hand_made_set() -> None:
    task = Mixture(name="pair", centres=((0, 0), (10, 0)), sigma=1.0, weights=(0.75, 0.25))
    # Mode 0: three good samples and one at distance 4; mode 1: one good; one sample is not finite.
    x = [[0, 0], [1, 0], [0, 2.9], [0, 4], [10, 3], [math.nan, 0]]
    every, fine = mode_counts(np.array(x), task)
    assert (every.tolist(), fine.tolist()) == ([4, 1], [3, 1])
    measures = mode_measures(np.array(x), task)
    assert list(measures) == list(KEYS)
    assert measures["modes_hit"] == 2
    # Mode 0 needs .2 * 6 * .75 = .9 samples and mode 1 needs .3.
    assert measures["modes_solid"] == 2
    assert measures["high_quality_share"] == pytest.approx(4 / 6)
    assert measures["kl_high_quality"] == pytest.approx(0)
    assert measures["kl_all"] == pytest.approx(0.8 * math.log(0.8 / 0.75) + 0.2 * math.log(0.2 / 0.25))
    assert measures["class_entropy"] == pytest.approx(-0.8 * math.log2(0.8) - 0.2 * math.log2(0.2))
    assert measures["core_sigma_ratio"] is None


def test_solid_needs_a_fifth_of_the_expected_samples() -> None:
    task = Mixture(name="pair", centres=((0, 0), (10, 0)), sigma=1.0)
    for good, solid in ((9, 1), (10, 2)):
        x = torch.zeros(100, 2)
        x[:good, 0] = 10.0
        assert mode_measures(x, task)["modes_solid"] == solid


@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_samples_and_none_that_are_finite(n: int) -> None:
    for name in ("ring-8", "digits"):
        task = find(name)
        x, _ = task.sample(n, stream(0, "test"))
        assert mode_measures(x, task)["modes_hit"] >= 1
        nothing = mode_measures(torch.full((n, *task.shape), math.nan), task)
        assert nothing["modes_hit"] == nothing["modes_solid"] == nothing["high_quality_share"] == 0
        assert all(nothing[key] is None for key in KEYS if key.startswith("kl") or key == "class_entropy")
        assert nothing["tutorial_coverage"] in (0.0, None)


def test_integer_arrays_and_flat_images_are_samples_too() -> None:
    assert mode_measures(np.array([[1, 0], [0, 1]]), find("ring-8"))["modes_hit"] == 2
    x, _ = find("digits").sample(50, stream(0, "test"))
    assert mode_measures(x.reshape(50, 64), find("digits")) == mode_measures(x, find("digits"))


@pytest.mark.parametrize("shape", [(5, 3), (0, 2), (2,), (5, 2, 2)])
def test_samples_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"Samples of task 'ring-8' have shape \(n, 2\) with n >= 1, not"):
        mode_measures(np.zeros(shape), find("ring-8"))


@pytest.mark.parametrize(
    ("n", "modes", "known"), [(26_000, 1000, 0.0194), (2500, 8, 0.0014), (2500, 25, 0.0048), (20_000, 100, 0.0025)]
)
def test_the_kl_floor_is_the_published_one(n: int, modes: int, known: float) -> None:
    floor = kl_floor(n, (1 / modes,) * modes)
    assert floor == pytest.approx(known, abs=0.0001)
    assert floor == pytest.approx((modes - 1) / (2 * n), rel=0.02)


@pytest.mark.parametrize(("n", "name"), [(500, "blobs-32"), (2500, "ring-8"), (300, "unequal-16"), (20, "unequal-16")])
def test_the_kl_floor_by_simulation(n: int, name: str) -> None:
    weights = find(name).modes.weights.numpy()
    counts = np.random.default_rng(0).multinomial(n, weights, size=4000)
    simulated = np.array([kl_divergence(count, weights) for count in counts])
    error = simulated.std() / math.sqrt(len(simulated))
    assert kl_floor(n, tuple(weights)) == pytest.approx(simulated.mean(), abs=4 * error)


def test_kl_of_a_single_mode_is_the_log_of_k() -> None:
    assert kl_divergence(np.array([50, 0, 0, 0]), np.full(4, 0.25)) == pytest.approx(math.log(4))
    assert kl_divergence(np.array([5, 5, 5, 5]), np.full(4, 0.25)) == 0
    assert kl_divergence(np.zeros(4, dtype=np.int64), np.full(4, 0.25)) is None
    assert kl_floor(0, (0.5, 0.5)) is None
    # One sample is in one mode for certain: KL is log 2 whatever it is.
    assert kl_floor(1, (0.5, 0.5)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
def test_core_sigma_ratio_is_the_planted_width(width: float) -> None:
    task = find("grid-25")
    draw = stream(0, "test", dtype=torch.float64)
    centres = torch.tensor(task.centres).double()
    component = draw.integers(25, 50_000)
    # Every mode is moved off its centre by half a sigma, which the median centre must not count as width.
    x = centres[component] + 0.5 * task.sigma + width * task.sigma * draw.normal(50_000, 2)
    mode, good = task.assign(x)
    ratio = core_sigma_ratio(x[good], mode[good], task)
    assert ratio == pytest.approx(width, abs=0.02)


def test_core_sigma_ratio_of_a_perfect_generator_is_the_truncated_rayleigh_median() -> None:
    task = find("ring-8")
    x, _ = task.sample(200_000, stream(0, "test", dtype=torch.float64))
    mode, good = task.assign(x)
    inside = 1 - math.exp(-4.5)
    exact = math.sqrt(-2 * math.log(1 - inside / 2)) / math.sqrt(2 * math.log(2))
    assert exact == pytest.approx(0.992, abs=0.0005)
    assert core_sigma_ratio(x[good], mode[good], task) == pytest.approx(exact, abs=0.004)
    assert core_sigma_ratio(x[good][:100], mode[good][:100], task) is None


@pytest.mark.parametrize("name", ["blobs-4", "blobs-16", "blobs-32", "grid-25"])
def test_tutorial_coverage_counts_centres_with_any_sample_within_a_tenth(name: str) -> None:
    task = find(name)
    centres = torch.tensor(task.centres)
    assert tutorial_coverage(centres, task) == 1
    # A sample .08 from one centre covers that one only: the centres are at least .2 apart.
    near = centres[:1] + torch.tensor([[0.08, 0.0]])
    assert tutorial_coverage(near, task) == pytest.approx(1 / len(centres))
    assert tutorial_coverage(near + 0.05, task) == 0
    assert tutorial_coverage(centres, task, real=centres.repeat(50, 1)) == 1


def test_bounds_are_what_a_measure_cannot_leave() -> None:
    weights = (0.5, 0.25, 0.25)
    assert measure_bounds("modes_solid", weights) == (0, 3)
    assert measure_bounds("high_quality_share", weights) == (0, 1)
    assert measure_bounds("kl_all", weights) == pytest.approx((0, math.log(4)))
    assert measure_bounds("class_entropy", weights) == pytest.approx((0, math.log2(3)))
    assert measure_bounds("core_sigma_ratio", weights) == (0, math.inf)
    assert measure_bounds("frechet_distance", weights) == (0, math.inf)
    assert measure_bounds("modes_five_corrected", weights) == (0, 3)
    assert measure_bounds("kl_all_floor", weights) is None
    assert measure_bounds("modes_solid", ()) is None


def test_a_diverged_seed_covers_nothing_and_is_never_praised() -> None:
    zero = {"modes_hit", "modes_solid", "high_quality_share", "tutorial_coverage", "class_entropy"}
    assert {key for key in KEYS if diverged_value(key) == 0} == zero
    assert {key for key in KEYS if diverged_value(key) is None} == set(KEYS) - zero


def test_a_total_collapse_and_equal_shares_reach_the_bound_and_never_leave_it() -> None:
    for modes in (*range(2, 257), 625):
        weights = np.full(modes, 1 / modes)
        one, equal = np.zeros(modes, dtype=np.int64), np.full(modes, 10_000 // modes)
        one[0] = 10_000
        for key, value in (("kl_all", kl_divergence(one, weights)), ("class_entropy", entropy_bits(equal))):
            bounds = measure_bounds(key, tuple(weights))
            assert bounds is not None
            assert value is not None
            assert bounds[0] <= value <= bounds[1]
            assert value == pytest.approx(bounds[1], rel=1e-12)
            assert mean_interval([value] * 3, bounds=bounds).mean == value
