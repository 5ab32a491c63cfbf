"""The test of coverage: its definition by hand, its bounds against SciPy, its error rates by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from uncollapse.monitor.sequential import (
    FOR_BASELINE,
    REACHED,
    CoverageTest,
    count,
    coverage,
    log_evidence,
    lower_shares,
)

EVEN = np.full(8, 1 / 8)


def drawn(shares: np.ndarray, size: int, draws: np.random.Generator) -> np.ndarray:
    """Cells of fakes of a generator with these shares; what is left of 1 lies outside all."""
    outside = max(0.0, 1 - shares.sum())
    return draws.choice(np.array([*range(len(shares)), -1]), size, p=[*shares, outside])


def test_coverage_by_hand() -> None:
    assert coverage(EVEN, EVEN) == 1.0
    assert coverage(EVEN * (np.arange(8) < 4) * 2, EVEN) == 0.5
    # A fifth of its share is four fifths of a quarter.
    starved = EVEN.copy()
    starved[0] = 1 / 8 / 5
    assert coverage(starved, EVEN) == pytest.approx(7 / 8 + 4 / 5 / 8)
    assert coverage(np.zeros(8), EVEN) == 0.0


def test_coverage_is_the_least_over_all_sets_of_cells() -> None:
    # What the evidence rests on: c(q) >= c0 if and only if q(S) >= r (c0 - 1 + w(S)) for every S.
    draws = np.random.default_rng(0)
    for _ in range(50):
        weights, shares = draws.dirichlet(np.full(5, 2.0)), draws.dirichlet(np.full(5, 0.3))
        sets = [np.array(chosen) for chosen in itertools.product([False, True], repeat=5)]
        least = min(1 - weights[s].sum() + shares[s].sum() / REACHED for s in sets)
        assert coverage(shares, weights) == pytest.approx(least)


def test_rows_outside_are_counted_apart() -> None:
    assert count(np.array([0, 2, 2, -1, -1]), 3).tolist() == [1.0, 0.0, 2.0, 2.0]


def test_lower_shares_are_those_of_clopper_and_pearson() -> None:
    counts = np.array([0.0, 1.0, 40.0, 200.0])
    found = lower_shares(counts, 200, 0.001)
    known = [binomtest(int(c), 200, alternative="greater").proportion_ci(0.999, method="exact").low for c in counts]
    assert found == pytest.approx(known, abs=1e-12)


@pytest.mark.parametrize("size", [40, 500])
def test_the_evidence_of_a_look_has_a_mean_of_at_most_one_on_the_edge_of_the_null(size: int) -> None:
    # The hardest generator that the null allows: it has lost exactly the margin. Two modes lie under what counts.
    shares = EVEN.copy()
    shares[:2] = REACHED / 8 * 0.4
    least = coverage(shares, EVEN)
    draws = np.random.default_rng(1)
    before = count(drawn(shares, size, draws), 8)
    values = np.exp([log_evidence(drawn(shares, size, draws), EVEN, least, before) for _ in range(2_000)])
    assert values.mean() < 1 + 3 * values.std() / math.sqrt(len(values))
    assert values.mean() > 0.3  # some is bet, so that the test could fail


def test_the_evidence_against_a_lost_half_is_as_large_as_by_hand() -> None:
    # Half of the cells get nothing, and p0 = r (0.85 - 1 + 0.5). Before the first block of 100 nothing was seen. Then
    # blocks after 100, 200, 300 and 400 fakes bet on the share 1/2 / (seen + 1), or on the middle between it and p0.
    cells = np.random.default_rng(0).permutation(np.tile(np.arange(4), 125))
    p0 = REACHED * 0.35
    capital = []
    for part in (0.5, 1.0):
        bets = [p0 + part * (0.5 / (seen + 1) - p0) for seen in (100, 200, 300, 400)]
        capital.append(math.prod(((1 - bet) / (1 - p0)) ** 100 for bet in bets))
    assert log_evidence(cells, EVEN, 0.85, np.zeros(9)) == pytest.approx(math.log(np.mean(capital)), rel=1e-9)
    # The look before lets the first block bet too.
    earlier = count(cells, 8)
    more = log_evidence(cells, EVEN, 0.85, earlier) - log_evidence(cells, EVEN, 0.85, np.zeros(9))
    assert more == pytest.approx(100 * math.log((1 - 0.5 / 501) / (1 - p0)), rel=0.01)


def test_a_look_before_that_was_healthy_hides_nothing() -> None:
    cells = np.random.default_rng(1).permutation(np.tile(np.arange(4), 125))
    healthy = count(np.tile(np.arange(8), 60), 8)
    assert log_evidence(cells, EVEN, 0.85, healthy) == pytest.approx(log_evidence(cells, EVEN, 0.85, np.zeros(9)))


def test_uneven_shares_are_no_loss() -> None:
    uneven = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.06, 0.05, 0.04])
    test = CoverageTest(EVEN, alpha=0.03, margin=0.1, healthy=0.6)
    draws = np.random.default_rng(2)
    outcomes = [test.look(drawn(uneven, 500, draws)) for _ in range(50)]
    assert not any(outcome.alarm for outcome in outcomes)
    assert 0.9 < (outcomes[-1].best or 0.0) < 1.0  # the rarest cell, 32 % of its share, is not surely above a quarter


def test_false_alarms_stay_below_the_level_when_exactly_the_margin_is_lost_for_good() -> None:
    # 150 runs of 40 looks: healthy for ten, then on the edge of the null at every look.
    alarms = 0
    for run in range(150):
        draws = np.random.default_rng([3, run])
        test = CoverageTest(EVEN, alpha=0.2, margin=0.125, healthy=0.6)
        lost = EVEN.copy()
        lost[run % 8] = 0.0
        outcomes = [test.look(drawn(EVEN, 200, draws)) for _ in range(10)]
        outcomes += [test.look(drawn(lost, 200, draws)) for _ in range(30)]
        alarms += any(outcome.alarm for outcome in outcomes)
    assert binomtest(alarms, 150, 0.2, alternative="greater").pvalue > 0.001


def test_the_baseline_is_no_noisy_maximum() -> None:
    # The largest of 200 plain estimates lies above the truth; the largest of 200 bounds may do so in 0.6 % of runs.
    shares = EVEN.copy()
    shares[:3] = REACHED / 8 * 0.5
    truth = coverage(shares, EVEN)
    above, maxima = 0, []
    for run in range(40):
        draws = np.random.default_rng([4, run])
        test = CoverageTest(EVEN, alpha=0.03, margin=0.1, healthy=0.3)
        looks = [test.look(drawn(shares, 300, draws)) for _ in range(60)]
        above += (test.state.best or 0.0) > truth
        maxima.append(max(outcome.coverage for outcome in looks))
    assert above == 0
    assert min(maxima) > truth


def test_a_lost_half_is_found_at_once_also_after_very_many_healthy_looks() -> None:
    draws = np.random.default_rng(5)
    test = CoverageTest(EVEN, alpha=0.03, margin=0.15, healthy=0.6)
    for _ in range(2_000):
        assert not test.look(drawn(EVEN, 100, draws)).alarm
    assert test.look(drawn(2 * EVEN[:4], 500, draws)).alarm


def test_evidence_adds_up_over_looks_that_are_too_small_alone() -> None:
    draws = np.random.default_rng(6)
    test = CoverageTest(EVEN, alpha=0.03, margin=0.1, healthy=0.5)
    for _ in range(5):
        test.look(drawn(EVEN, 200, draws))
    half = [test.look(drawn(2 * EVEN[:4], 40, draws)) for _ in range(12)]
    assert not half[0].alarm
    assert any(outcome.alarm for outcome in half)


def test_evidence_before_a_collapse_is_forgotten_by_the_mixture() -> None:
    # Bets that lose for 30 looks do not hide what comes after: the product alone would.
    test = CoverageTest(EVEN, alpha=0.03, margin=0.1, healthy=0.6)
    logs = [-2.0] * 30 + [4.0] * 4
    values = [test._gather(log_e) for log_e in logs]
    assert values[29] < 0.1
    assert math.exp(sum(logs)) < 1e-10
    by_definition = sum(math.exp(sum(logs[j - 1 :])) / (j * (j + 1)) for j in range(1, 35)) + 1 / 35
    assert values[-1] == pytest.approx(by_definition)
    assert values[-1] > 5_000


def test_no_evidence_costs_nothing() -> None:
    test = CoverageTest(EVEN, alpha=0.03, margin=0.1, healthy=0.6)
    assert [test._gather(0.0) for _ in range(20)] == pytest.approx([1.0] * 20)


def test_an_alarm_then_a_recovery_then_half_of_the_level() -> None:
    draws = np.random.default_rng(7)
    test = CoverageTest(EVEN, alpha=0.03, margin=0.15, healthy=0.6)
    first = test.needed
    assert first == pytest.approx(2 / (0.03 * (1 - FOR_BASELINE)))
    test.look(drawn(EVEN, 500, draws))
    assert test.look(drawn(2 * EVEN[:4], 500, draws)).alarm
    assert test.state.lost
    # While it is collapsed nothing is tested again.
    assert not test.look(drawn(2 * EVEN[:4], 500, draws)).alarm
    test.look(drawn(EVEN, 500, draws))
    assert not test.state.lost
    assert test.needed == pytest.approx(2 * first)
    assert test.look(drawn(2 * EVEN[4:], 500, draws)).alarm
    assert test.state.alarms == 2


def test_nothing_is_tested_before_health() -> None:
    draws = np.random.default_rng(8)
    test = CoverageTest(EVEN, alpha=0.03, margin=0.15, healthy=0.6)
    half = [test.look(drawn(2 * EVEN[:4], 500, draws)) for _ in range(5)]
    assert {outcome.best for outcome in half} == {None}
    assert {outcome.evidence for outcome in half} == {1.0}


def test_a_look_that_lies_mostly_outside_makes_no_baseline() -> None:
    draws = np.random.default_rng(10)
    noise = CoverageTest(EVEN, alpha=0.03, margin=0.15, healthy=0.6)
    noise.look(drawn(0.45 * EVEN, 500, draws))
    assert noise.state.best is None
    noise.look(drawn(0.6 * EVEN, 500, draws))
    assert noise.state.best is not None


def test_a_state_that_is_saved_goes_on_alike() -> None:
    one, other = (CoverageTest(EVEN, alpha=0.03, margin=0.15, healthy=0.6) for _ in range(2))
    draws = np.random.default_rng(9)
    looks = [drawn(EVEN if look < 6 else 2 * EVEN[:4], 60, draws) for look in range(10)]
    for cells in looks[:8]:
        one.look(cells)
    other.load(one.to_json())
    assert [one.look(cells) for cells in looks[8:]] == [other.look(cells) for cells in looks[8:]]


def test_a_look_is_sound_within_half_the_margin() -> None:
    test = CoverageTest(EVEN, alpha=0.03, margin=0.2, healthy=0.6)
    assert not test.sound(1.0)
    test.state.best = 0.9
    assert test.sound(0.81)
    assert not test.sound(0.79)
