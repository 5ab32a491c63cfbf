"""Sample sizes against hand calculation in the worst case, and against the power that the test then has."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import nct
from scipy.stats import t as student

from uncollapse.errors import UserError
from uncollapse.metrics.metric import find_metric
from uncollapse.metrics.power import ALLOWANCE, noncentrality, required_n
from uncollapse.metrics.versus import WIDER, difference

REPEATS = 60


def rows(n: int, seed: int, *, scale: float = 1.0, modes: int = 4) -> torch.Tensor:
    """Four modes on a square, of which the first `modes` are reached."""
    draws = torch.Generator().manual_seed(seed)
    centres = 3 * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    return centres[torch.randint(modes, (n,), generator=draws)] + scale * torch.randn(n, 2, generator=draws)


@pytest.mark.parametrize(("power", "level"), [(0.8, 0.95), (0.9, 0.99), (0.6, 0.8)])
def test_the_noncentrality_gives_students_test_its_power(power, level):
    shift = noncentrality(power, level)
    limit = student.ppf(0.5 + level / 2, 20)
    assert nct.sf(limit, 20, shift) + nct.cdf(-limit, 20, shift) == pytest.approx(power, abs=2e-5)


@pytest.mark.parametrize("wider", [1.2, 2**0.5])
def test_a_standard_error_that_is_too_wide_takes_a_larger_effect(wider):
    shift = noncentrality(0.8, 0.95, wider=wider)
    limit = wider * student.ppf(0.975, 20)
    assert nct.sf(limit, 20, shift) + nct.cdf(-limit, 20, shift) == pytest.approx(0.8, abs=2e-5)
    assert shift > 1.1 * noncentrality(0.8, 0.95)


def test_many_degrees_of_freedom_give_the_textbook_number():
    # z_.975 + z_.8 = 1.95996 + 0.84162 of any table of the normal distribution.
    assert noncentrality(0.8, 0.95, 10**6) == pytest.approx(2.80158, abs=1e-3)


def test_the_worst_case_of_a_share_by_hand():
    found = required_n("authenticity", effect=0.1)
    # Two shares of variance 1/4: n = (1/4 + 1/4) (2.9455 / 0.1)^2 = 433.8.
    assert (found.n, found.n_pilot, found.metric) == (434, None, "authenticity")
    assert found.standard_error_at == pytest.approx(math.sqrt(0.5 / 434))
    assert str(found).startswith("434 samples a side show a difference of 0.1 in authenticity with 80 % power at 95 %")
    assert "worst case" in found.sentence
    # The test widens the standard error of precision by the root of 2: SciPy's nct.sf(1.4142 t, 20, 3.84034) is .8.
    assert required_n("precision", effect=0.01).n == pytest.approx(0.5 * (3.84034 / 0.01) ** 2, rel=1e-3)
    assert required_n("coverage", effect=0.1, power=0.9).n > 700


def test_a_pilot_of_a_mean_gives_its_variance():
    # Diversity on a line of normal rows: the mean of |x - y| has variance 4 Var(E[|x - y| given x]) / n, found here
    # by hand on the rows themselves.
    fake = torch.randn(600, 1, generator=torch.Generator().manual_seed(2))
    share = (fake - fake.T).abs().mean(1)
    expected = ALLOWANCE * 2 * 4 * float(share.var()) * (noncentrality(0.8, 0.95) / 0.15) ** 2
    found = required_n("diversity", effect=0.15, fake=fake)
    assert found.n == pytest.approx(expected, rel=0.35)
    assert found.n_pilot == 600
    assert "varies as much as this one" in found.assumptions[0]


def test_far_beyond_the_pilot_the_answer_says_so():
    found = required_n("diversity", effect=0.005, fake=rows(60, 1))
    assert found.n > 50 * 60
    assert "take it as an order of magnitude" in found.sentence
    assert any("far beyond the pilot" in line for line in found.assumptions)
    near = required_n("diversity", effect=1.0, fake=rows(60, 1))
    assert "order of magnitude" not in near.sentence


@pytest.mark.usefixtures("global_random_untouched")
def test_the_stream_decides_and_rows_may_come_in_any_order():
    settings = {"effect": 0.3, "real": rows(80, 3), "fake": rows(80, 4)}
    one = required_n("frechet_distance", **settings)
    assert one == required_n("frechet_distance", **settings)
    assert one == required_n("frechet_distance", **{**settings, "fake": settings["fake"].flip(0)})
    assert any("differ from real by as much" in line for line in one.assumptions)


@pytest.mark.parametrize(
    ("metric", "changes", "message"),
    [
        ("coverage", {"effect": 0.0}, "effect must be above 0 and at most 1, the range of coverage, not 0.0"),
        ("coverage", {"effect": "small"}, "effect must be above 0 and at most 1, the range of coverage, not 'small'"),
        ("coverage", {"effect": 1.5}, "at most 1, the range of coverage"),
        ("frechet_distance", {"effect": -1}, "effect must be above 0, not -1"),
        ("frechet_distance", {}, "needs a pilot: give real= and fake="),
        ("diversity", {}, "diversity needs a pilot: give fake=; only precision, recall, coverage, authenticity"),
        ("coverage", {"real": rows(9, 0)}, "coverage needs a pilot: give real= and fake="),
        ("coverage", {"fake": rows(9, 0)}, "coverage compares with real rows; give real="),
        ("coverage", {"power": 1.0}, "power must be above 1 - level and at most 0.999"),
        ("coverage", {"power": 0.01}, "power must be above 1 - level"),
        ("coverage", {"level": 95}, "level must be from 0.5 to 0.9999"),
        ("duplicates", {"fake": rows(9, 0)}, "no pilot tells its spread"),
        ("diversity", {"fake": rows(6, 0)}, "The pilot has 6 rows on its smallest side"),
        ("diversity", {"fake": torch.ones(40, 2)}, "the same on every subsample of the pilot"),
        ("class_kl", {}, "takes labels"),
        ("fid", {}, "There is no metric 'fid'"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_a_sentence(metric, changes, message):
    with pytest.raises(UserError, match=message):
        required_n(metric, **({"effect": 0.1} | changes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "defect"),
    [
        ("coverage", {"scale": 0.65}),
        ("precision", {"scale": 1.6}),
        ("kernel_distance", {"modes": 3}),
        ("frechet_distance", {"modes": 3}),
    ],
)
def test_the_test_has_about_the_wanted_power_at_the_returned_size(metric, defect):
    function = find_metric(metric).function
    gaps = []
    for seed in range(12):
        real = rows(600, 1_000 + seed)
        sides = rows(600, 2_000 + seed, **defect), rows(600, 3_000 + seed)
        one, two = (function(real=real, fake=side, level=None).value for side in sides)
        gaps.append(one - two)
    effect = abs(sum(gaps) / len(gaps))
    sizes = [
        required_n(
            metric, effect=effect, real=rows(600, 10 + i), fake=rows(600, 20 + i, **defect), other=rows(600, 30 + i)
        ).n
        for i in range(12)
    ]
    n = round(sum(sizes) / len(sizes))
    if metric in WIDER:  # what a defect does to shares of neighbours depends on n: it was seen at 600 rows
        assert 450 < n < 800
    seen = 0
    for seed in range(REPEATS):
        found = difference(
            metric, real=rows(n, 10_000 + seed), fake=rows(n, 20_000 + seed, **defect), other=rows(n, 30_000 + seed),
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        seen += found.details["p_value"] < 0.05
    # None of these is lifted to the metric's least number of rows; 60 tests tell the power to 5 points.
    assert 0.66 * REPEATS <= seen <= 0.97 * REPEATS
