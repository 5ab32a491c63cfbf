from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uncollapse.errors import UserError
from uncollapse.experiments.statistics import (
    EXACT_TEST,
    MONTE_CARLO_TEST,
    NO_TEST,
    Difference,
    holm,
    pair_differences,
    paired_differences,
    sign_flip_p,
)
from uncollapse.metrics.intervals import mean_interval

VANILLA = dict(enumerate([3.0, 4.0, 3.0, 5.0, 4.0, 3.0, 4.0, 4.0]))


def compare(
    baseline: str = "vanilla", diverged: float | str | None = None, **methods: dict[int, float | None]
) -> list[Difference]:
    values = {"vanilla": VANILLA, **methods}
    return paired_differences(
        values, baseline=baseline, task="ring-8", measure="modes_solid", bounds=(0, 8), diverged=diverged
    )


@pytest.mark.parametrize("n", [2, 5, 8, 11])
def test_sign_flip_against_scipy(n: int) -> None:
    generator = np.random.default_rng(n)
    for values in (generator.normal(0.4, 1, n), generator.integers(-1, 4, n).astype(float)):
        expected = stats.permutation_test(
            (values,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
        )
        assert sign_flip_p(values) == pytest.approx(expected.pvalue, abs=1e-12)


def test_sign_flip_by_hand() -> None:
    # Of the 8 patterns of 1, 2, 3 only +++ and --- have a sum as far from 0 as 6.
    assert sign_flip_p([1, 2, 3]) == 2 / 8
    # Sums of the patterns of -1, 2, 3 are 6, 4, 2, 0 and their negatives; 4 or more: 4 of 8.
    assert sign_flip_p([-1, 2, 3]) == 4 / 8
    assert sign_flip_p([0, 0, 0]) == 1
    # .1 + .2 is not .3 in floating point, but the two sums 0 here must tie.
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1


def test_above_sixteen_pairs_the_test_is_a_seeded_monte_carlo() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 20)
    patterns = (np.arange(2**20)[:, None] >> np.arange(20)) & 1
    exact = (np.abs((1 - 2 * patterns) @ values) >= abs(values.sum())).mean()
    p = sign_flip_p(values)
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact / 99_999))
    assert p == sign_flip_p(values)
    assert sign_flip_p(np.ones(40)) == 1 / 100_000


def test_the_test_keeps_its_level() -> None:
    generator = np.random.default_rng(0)
    p = np.array([sign_flip_p(generator.normal(size=8)) for _ in range(2000)])
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.016)


def test_holm_by_hand() -> None:
    # Sorted .01, .02, .03, .04 times 4, 3, 2, 1 = .04, .06, .06, .04; the running maximum is .04, .06, .06, .06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_a_clear_difference() -> None:
    (row,) = compare(**{"wgan-gp": dict.fromkeys(range(8), 8.0)})
    # Mean 8 - 3.75; all eight signs agree, so p is 2 of 256 patterns.
    assert row.difference == 4.25
    assert (row.p, row.p_adjusted, row.smallest_p) == (2 / 256, 2 / 256, 2 / 256)
    interval = mean_interval([8 - value for value in VANILLA.values()], bounds=(-8, 8))
    assert (row.low, row.high, row.n, row.test) == (interval.low, interval.high, 8, EXACT_TEST)
    assert row.sentence == (
        "wgan-gp is 4.25 above vanilla in modes_solid on ring-8 "
        "(95% interval +3.4 to +5, 8 common seeds, adjusted p = 0.0078)."
    )
    assert row.to_json()["sentence"] == row.sentence


def test_holm_runs_over_the_methods_of_the_task() -> None:
    rows = compare(
        **{
            "better": dict.fromkeys(range(8), 8.0),
            "worse": dict.fromkeys(range(8), 0.0),
            "same": VANILLA,
        }
    )
    assert [row.method for row in rows] == ["better", "worse", "same"]
    assert [row.p for row in rows] == [2 / 256, 2 / 256, 1]
    assert [row.p_adjusted for row in rows] == [6 / 256, 6 / 256, 1]
    assert rows[1].sentence.startswith("worse is 3.75 below vanilla in modes_solid on ring-8")


def test_all_equal_is_no_difference_seen() -> None:
    (row,) = compare(same=dict(VANILLA))
    assert (row.difference, row.p, row.p_adjusted) == (0, 1, 1)
    # Not certainty either: the interval is that of identical bounded values, 8 modes either way.
    assert row.high == pytest.approx(8 * (1 - 0.025 ** (1 / 8)))
    assert row.low == pytest.approx(-row.high)
    assert row.sentence == "No difference seen: same and vanilla have the same modes_solid on ring-8 on 8 common seeds."


def test_only_common_seeds_are_compared() -> None:
    (row,) = compare(few={1: 6.0, 3: 8.0, 99: 0.0})
    assert (row.n, row.difference, row.smallest_p) == (2, 2.5, 0.5)
    assert row.sentence.endswith(
        "adjusted p = 0.5), but 2 common seeds can reach no p below 0.5 before the correction."
    )
    (none,) = compare(none={99: 1.0})
    assert (none.n, none.difference, none.p, none.p_adjusted, none.test) == (0, None, None, None, NO_TEST)
    assert none.sentence == "none and vanilla share no seed on which modes_solid on ring-8 can be compared."


def test_a_method_without_common_seeds_does_not_count_in_holm() -> None:
    rows = compare(none={99: 1.0}, better=dict.fromkeys(range(8), 8.0))
    assert [row.p_adjusted for row in rows] == [None, 2 / 256]


def test_too_few_seeds_for_the_correction_are_said() -> None:
    # Six agreeing seeds reach 2 / 64 = .031, times three methods .094.
    rows = compare(**{name: dict.fromkeys(range(6), 8.0) for name in "abc"})
    assert rows[0].p_adjusted == pytest.approx(6 / 64)
    assert rows[0].sentence.endswith("but 6 common seeds can reach no p below 0.031 before the correction.")


def test_chance_and_balance_are_said() -> None:
    (chance,) = compare(noisy={k: v + d for (k, v), d in zip(VANILLA.items(), [1, -1, 1, 1, 0, -1, 1, 1], strict=True)})
    assert chance.sentence.endswith("which chance may explain.")
    (balanced,) = compare(even={k: v + d for (k, v), d in zip(VANILLA.items(), [1, -1] * 4, strict=True)})
    assert balanced.p == 1
    assert balanced.sentence.startswith("even and vanilla do not differ on average in modes_solid on ring-8")


def test_diverged_seeds_follow_the_order_of_the_caller() -> None:
    broken = {**dict.fromkeys(range(8), 8.0), 0: None}
    with pytest.raises(UserError, match="1 of 8 values are missing"):
        compare(broken=broken)
    (counted,) = compare(broken=broken, diverged=0.0)
    assert (counted.n, counted.omitted) == (8, 0)
    assert counted.difference == pytest.approx((7 * 8 - sum(VANILLA.values())) / 8)
    (omitted,) = compare(broken=broken, diverged="omit")
    assert (omitted.n, omitted.omitted) == (7, 1)
    assert omitted.difference == pytest.approx(8 - (sum(VANILLA.values()) - 3) / 7)


def test_many_seeds_name_the_monte_carlo_test() -> None:
    seeds = range(20)
    rows = paired_differences(
        {"a": dict.fromkeys(seeds, 1.0), "b": {s: 1.5 + s / 100 for s in seeds}},
        baseline="a",
        task="ring-8",
        measure="kl_all",
    )
    assert rows[0].test == MONTE_CARLO_TEST
    assert rows[0].p == 1 / 100_000
    assert "adjusted p < 0.001" in rows[0].sentence


def test_identical_unbounded_differences_have_no_interval() -> None:
    rows = paired_differences({"a": {0: 1.0, 1: 2.0}, "b": {0: 2.0, 1: 3.0}}, baseline="a", task="t", measure="m")
    assert (rows[0].difference, rows[0].low, rows[0].high) == (1, None, None)
    assert "interval" not in rows[0].sentence


def test_refusals() -> None:
    with pytest.raises(UserError, match="no baseline among the methods 'vanila'; did you mean 'vanilla'"):
        compare(baseline="vanila")
    with pytest.raises(UserError, match="needs at least one pair of seeds"):
        sign_flip_p([])


def test_pairs_with_baselines_of_their_own_share_one_correction() -> None:
    seeds = {name: dict(enumerate(values)) for name, values in {
        "a": [1.0] * 8, "a+": [2.0, 3, 2, 3, 2, 3, 2, 3], "b": [0.0] * 8, "b+": [1.0, 0, 0, 1, 0, 1, 0, 0],
    }.items()}  # fmt: skip
    rows = pair_differences(seeds, [("a+", "a"), ("b+", "b")], task="t", measure="m")
    assert [(row.method, row.baseline, row.difference) for row in rows] == [("a+", "a", 1.5), ("b+", "b", 0.375)]
    # All eight signs agree: 2 / 2^8; three steps up: 2 / 2^3. Holm doubles the smaller one.
    assert [row.p for row in rows] == [2 / 256, 0.25]
    assert [row.p_adjusted for row in rows] == [4 / 256, 0.25]
