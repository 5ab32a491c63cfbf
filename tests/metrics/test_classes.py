from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from uncollapse.errors import UserError
from uncollapse.metrics.classes import _kl_to_counts, chi_square, class_entropy, class_kl, mode_coverage
from uncollapse.metrics.estimate import Estimate
from uncollapse.metrics.modes import kl_floor

UNIFORM, LOST = [0.1] * 10, [0.0, 0.0] + [0.125] * 8
SKEWED = [0.3, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03]


def test_values_by_hand() -> None:
    assert class_entropy(fake=[1, 1, 2, 3], level=None).value == pytest.approx(1.5)
    kl = class_kl(real_counts=[0.5, 0.25, 0.25], fake_counts=[0, 50, 50], level=None)
    assert kl.value == pytest.approx(math.log(2))
    smooth = class_kl(real_counts=[3, 1, 0], fake_counts=[2, 0, 2], level=None)
    assert smooth.value == pytest.approx(0.5 * math.log(0.5 / (3.5 / 5.5)) + 0.5 * math.log(0.5 / (0.5 / 5.5)))
    assert chi_square(real_counts=[0.5, 0.5], fake_counts=[60, 40], level=None).value == pytest.approx(4)


def test_chi_square_agrees_with_scipy() -> None:
    real, fake = [50, 30, 20, 5], [90, 80, 20, 10]
    expected = stats.chi2_contingency([real, fake], correction=False)
    found = chi_square(real_counts=real, fake_counts=fake)
    assert found.value == pytest.approx(expected.statistic, rel=1e-12)
    assert found.details["p_value"] == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.details["freedom"] == 3
    assert found.details["cramers_v"] == pytest.approx(stats.contingency.association([real, fake]), rel=1e-12)
    assert found.details["least_expected"] == pytest.approx(expected.expected_freq.min())
    one = chi_square(real_counts=[0.2, 0.3, 0.5], fake_counts=[30, 20, 50])
    assert one.details["p_value"] == pytest.approx(stats.chisquare([30, 20, 50], [20, 30, 50]).pvalue)
    assert one.details["cohens_w"] == pytest.approx(math.sqrt(one.value / 100))


def test_chi_square_p_value_is_uniform_when_nothing_differs() -> None:
    random = np.random.default_rng(4)
    p = [
        chi_square(
            real_counts=random.multinomial(500, SKEWED), fake_counts=random.multinomial(300, SKEWED), level=None
        ).details["p_value"]
        for _ in range(200)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_floor_is_the_exact_mean_of_a_perfect_generator() -> None:
    found = class_kl(real_counts=SKEWED, fake_counts=[20] * 10, level=None)
    assert found.details["floor"] == pytest.approx(kl_floor(200, tuple(SKEWED)), rel=0.05)


def test_entropy_of_one_class_is_zero_with_room_above() -> None:
    found = class_entropy(fake=["cat"] * 200)
    assert found.value == 0
    assert found.low == 0
    assert 0.02 < found.high < 0.4
    assert class_entropy(fake_counts=[10, 10], real_counts=[1, 3]).details["real"] == pytest.approx(0.8112781)


def test_mode_coverage_names_what_is_missing_and_bounds_it() -> None:
    found = mode_coverage(real_counts={"a": 0.5, "b": 0.3, "c": 0.2}, fake_counts={"a": 990, "b": 10, "z": 0})
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert found.details["missing"] == ["c"]
    assert found.details["thin"] == ["b"]
    # The upper Clopper-Pearson end of 0 of 1,000 at a tail of .05 / (2 * 3).
    assert found.details["missing_at_most"]["c"] == pytest.approx(1 - (0.05 / 6) ** (1 / 1000))
    unsure = mode_coverage(real=[0] * 50 + [1] * 50 + [2] * 4, fake=[0] * 300 + [3] * 100)
    assert unsure.value == 1
    assert unsure.low == 1
    assert unsure.high == 2
    assert unsure.details["outside"] == pytest.approx(0.25)
    assert unsure.details["classes"] == 3


def test_infinite_comparisons_have_no_value_and_say_why() -> None:
    given = {"real_counts": {"a": 1.0, "b": 0.0}, "fake_counts": {"a": 7, "b": 3}}
    for metric in (class_kl, chi_square):
        found = metric(**given)
        assert found.value is None
        assert found.low is None
        assert "class 'b' has 3 of the fakes, but an exact real share of 0" in str(found.reason)


@pytest.mark.slow
@pytest.mark.parametrize("fake", [UNIFORM, SKEWED, LOST])
@pytest.mark.parametrize(
    ("metric", "exact", "real"),
    # The entropy looks at the fakes alone, so one reference is enough for it.
    [(class_entropy, False, UNIFORM), *itertools.product((class_kl, chi_square), (True, False), (UNIFORM, SKEWED))],
)
def test_interval_holds_the_mean_over_fresh_samples(
    metric: Callable[..., Estimate], exact: bool, fake: list[float], real: list[float]
) -> None:
    random = np.random.default_rng(5)

    def draw(**options: float | None) -> Estimate:
        reference = np.array(real) if exact else random.multinomial(300, real)
        return metric(real_counts=reference, fake_counts=random.multinomial(200, fake), **options)

    truth = np.mean([float(draw(level=None)) for _ in range(200)])
    found = [draw() for _ in range(30)]
    assert sum(one.holds(truth) for one in found) >= 25
    assert all(one.low < one.high for one in found)


@pytest.mark.long
@pytest.mark.parametrize("metric", [class_entropy, class_kl, chi_square])
def test_interval_holds_the_mean_when_one_class_is_rare(metric: Callable[..., Estimate]) -> None:
    random = np.random.default_rng(7)
    draws = random.multinomial(300, [0.33, 0.33, 0.33, 0.01], 1000)
    truth = np.mean([float(metric(real_counts=[0.25] * 4, fake_counts=draw, level=None)) for draw in draws[:200]])
    found = [metric(real_counts=[0.25] * 4, fake_counts=draw) for draw in draws[200:216]]
    assert sum(one.holds(truth) for one in found) >= 13


def falling(classes: int, power: float) -> np.ndarray:
    shares = np.arange(1, classes + 1.0) ** -power
    return shares / shares.sum()


@pytest.mark.parametrize(
    ("shares", "n_real", "n_fake"),
    [
        (falling(200, 1.2), 100, 2_000),
        pytest.param(falling(100, 1), 200, 2_000, marks=pytest.mark.slow),
        pytest.param(falling(10, 2), 50, 2_000, marks=pytest.mark.slow),
    ],
)
def test_divergence_holds_its_mean_where_the_floor_itself_is_uncertain(
    shares: np.ndarray, n_real: int, n_fake: int
) -> None:
    """A lower end at the floor of the estimated shares held half of the time with few real rows a class."""
    random = np.random.default_rng(8)
    real, fake = (random.multinomial(n, shares, 10_000).astype(float) for n in (n_real, n_fake))
    seen = real + fake > 0
    reference = (real + 0.5) / (n_real + seen.sum(1, keepdims=True) / 2)
    part = fake / n_fake
    numbers = np.where(fake > 0, part * np.log(np.maximum(part, 1e-9) / reference), 0).sum(1)
    found = [
        class_kl(real_counts=x.astype(int), fake_counts=y.astype(int)) for x, y in zip(real[:30], fake, strict=False)
    ]
    assert [float(one) for one in found] == pytest.approx(numbers[:30].tolist())
    assert sum(one.low > numbers.mean() for one in found) <= 3
    assert sum(one.high < numbers.mean() for one in found) <= 3
    # An end that only gives way would hold as well: most intervals stay narrower than six standard deviations.
    assert np.median([one.high - one.low for one in found]) < 6 * numbers.std()


@pytest.mark.parametrize("metric", [class_kl, chi_square])
@pytest.mark.parametrize("fake", [[50, 49, 51], [10, 60, 80]])
def test_estimate_near_and_far_from_agreement_can_be_written(metric: Callable[..., Estimate], fake: list[int]) -> None:
    found = metric(real_counts=[50, 50, 50], fake_counts=fake)
    assert json.loads(json.dumps(found.to_json()))["low"] == pytest.approx(found.low)


def test_a_class_that_a_draw_leaves_empty_is_none_of_its_table() -> None:
    fake, real = np.array([[3.0, 0, 0, 7], [1, 2, 3, 4]]), np.array([[5.0, 0, 4, 1], [2, 2, 2, 4]])
    by_hand = [
        float(class_kl(real_counts=x.astype(int), fake_counts=y.astype(int), level=None))
        for x, y in zip(real, fake, strict=True)
    ]
    assert _kl_to_counts(fake, real).tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize("fake", [UNIFORM, SKEWED, LOST, [0.02, 0.02] + [0.12] * 8])
def test_coverage_interval_holds_the_number_of_classes(fake: list[float]) -> None:
    random = np.random.default_rng(6)
    truth = sum(share >= 0.2 * 0.1 for share in fake)
    for _ in range(100):
        found = mode_coverage(real_counts=random.multinomial(2000, UNIFORM), fake_counts=random.multinomial(500, fake))
        assert found.holds(truth)


def test_order_and_container_do_not_matter() -> None:
    first = class_kl(real=["a", "b", "b", "c"], fake=["b", "c", "c"])
    assert first == class_kl(real=np.array(["b", "c", "a", "b"]), fake=("c", "b", "c"))


@pytest.mark.parametrize("metric", [class_kl, chi_square])
def test_one_class_is_refused(metric: Callable[..., Estimate]) -> None:
    with pytest.raises(UserError, match="All samples of both sides are of the one class 4"):
        metric(real=[4, 4], fake=[4])


@pytest.mark.parametrize("metric", [class_entropy, class_kl, chi_square, mode_coverage])
def test_level_is_checked(metric: Callable[..., Estimate]) -> None:
    with pytest.raises(UserError, match="level must be between 0 and 1"):
        metric(real=[1, 2], fake=[1, 2], level=95)


@pytest.mark.parametrize(("first", "covered"), [(20, 10), (19, 9)])
def test_exactly_a_fifth_of_the_share_is_enough(first: int, covered: int) -> None:
    fake = [first] + [100] * 8 + [200 - first]
    assert mode_coverage(real_counts=[100] * 10, fake_counts=fake).value == covered
