from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import fisher_exact
from tests.verdict.making import groups, pool_of

from uncollapse.verdict.pool import p_value
from uncollapse.verdict.regions import Regions
from uncollapse.verdict.shares import class_shares, region_shares, sure_loss


def classes(counts: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_two_classes_have_fishers_p_value() -> None:
    real, fake = [30, 70], [15, 85]
    found = class_shares(classes(real), classes(fake), ["a", "b"], alpha=0.03, generator=stream(), assignments=40_000)
    # The larger shortfall of two classes is two-sided; both sides have the same size, so Fisher's is symmetric.
    expected = fisher_exact([real, fake]).pvalue
    assert p_value(found.statistics) == pytest.approx(expected, abs=4 * math.sqrt(expected / 40_000))


def test_a_missing_class_is_named_with_its_shares() -> None:
    found = class_shares(
        classes([100] * 10), classes([110] * 9 + [0]), [f"k{i}" for i in range(10)], alpha=0.03, generator=stream()
    )
    assert [row.mode for row in found.lost] == ["k9"]
    assert (found.lost[0].share_real, found.lost[0].share_fake) == (0.1, 0.0)
    assert found.effect == 1.0
    assert p_value(found.statistics) == pytest.approx(0.001)
    assert found.sentence == "1 class is observed at half of the real share or less: k9 (10 % to 0 %)."


def test_a_class_with_more_than_half_of_its_share_is_not_lost_however_sure() -> None:
    found = class_shares(classes([5_000, 5_000]), classes([3_500, 6_500]), ["a", "b"], alpha=0.03, generator=stream())
    assert p_value(found.statistics) == pytest.approx(0.001)
    assert found.effect == pytest.approx(0.3)
    assert not found.lost
    assert found.effect < found.minimum_effect


def test_exactly_half_is_lost_and_the_sentence_says_so() -> None:
    found = class_shares(classes([400, 600]), classes([200, 800]), ["a", "b"], alpha=0.03, generator=stream())
    assert found.effect == found.minimum_effect == 0.5
    assert [row.mode for row in found.lost] == ["a"]
    assert "observed at half of the real share or less: a (40 % to 20 %)" in found.sentence


def test_only_a_shortfall_counts_not_an_excess() -> None:
    found = class_shares(
        classes([250, 250, 250, 250]), classes([700, 100, 100, 100]), list("abcd"), alpha=0.03, generator=stream()
    )
    assert {row.mode for row in found.lost} == {"b", "c", "d"}


def test_a_class_that_only_fakes_have_is_no_loss() -> None:
    found = class_shares(classes([100, 100, 0]), classes([95, 95, 10]), list("abc"), alpha=0.03, generator=stream())
    assert not found.lost
    assert found.effect < 0.2


def test_equal_classes_raise_alarms_as_rarely_as_alpha_says() -> None:
    draws = np.random.default_rng(0)
    p = []
    for seed in range(300):
        real, fake = draws.integers(0, 10, 200), draws.integers(0, 10, 150)
        found = class_shares(
            real, fake, [str(i) for i in range(10)], alpha=0.03, generator=stream(seed), assignments=199
        )
        p.append(p_value(found.statistics))
    share = np.mean(np.array(p) <= 0.1)
    assert abs(share - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 300)


def shares_found(n: int, m: int, *, repeats: int) -> tuple[float, float, int]:
    """How often ten equal classes, one made at half, have p at a level; its power and needed rows as stated."""
    draws, level, kept = np.random.default_rng(1), 0.03 / 4, np.full(10, 0.1)
    made = np.array([0.05, *[0.95 / 9] * 9])
    names = [str(i) for i in range(10)]
    found, stated = [], []
    for seed in range(repeats + 5):
        sides = [classes(draws.multinomial(rows, p)) for rows, p in ((n, kept), (m, kept if seed < 5 else made))]
        asked = class_shares(*sides, names, alpha=0.03, generator=stream(seed))
        if seed < 5:
            stated.append(asked.power(level))
        else:
            found.append(p_value(asked.statistics) <= level)
    return np.mean(found), np.mean([power for power, _ in stated]), int(np.mean([rows for _, rows in stated]))


def check_power(n: int, m: int, *, repeats: int, within: float) -> None:
    found, stated, needed = shares_found(n, m, repeats=repeats)
    assert stated == pytest.approx(found, abs=within)
    assert 800 < needed < 1_000  # whatever the sizes, as many rows a side are needed
    assert 0.72 <= shares_found(needed, needed, repeats=repeats)[0] <= 0.9


def test_power_and_needed_rows_hold_among_many_fakes() -> None:
    check_power(400, 5_000, repeats=200, within=0.08)


def test_power_and_needed_rows_hold_among_many_real_rows() -> None:
    check_power(50_000, 400, repeats=200, within=0.08)


@pytest.mark.long
@pytest.mark.parametrize(("n", "m"), [(500, 500), (400, 5_000), (400, 50_000), (300, 50_000), (50_000, 400)])
def test_power_and_needed_rows_hold_at_any_sizes(n: int, m: int) -> None:
    check_power(n, m, repeats=600, within=0.06)


@pytest.mark.parametrize(
    ("p", "q", "n", "expected"),
    [
        (0.1, 0.0, 500, 1 - (0.5 / 50.5) * math.exp(1.645 * math.sqrt(1 / 50.5 + 1 / 0.5))),
        (0.1, 0.02, 2_000, 1 - (40.5 / 200.5) * math.exp(1.645 * math.sqrt(1 / 200.5 + 1 / 40.5))),
        (0.05, 0.03, 2_000, 0.0),  # less than 3 % of all data
        (0.1, 0.2, 2_000, 0.0),
    ],
)
def test_the_sure_loss_by_hand(p: float, q: float, n: int, expected: float) -> None:
    assert sure_loss(p, q, n, n) == pytest.approx(expected, abs=1e-12)


def test_the_sure_loss_holds_in_95_of_100_samples() -> None:
    draws = np.random.default_rng(0)
    real, fake = draws.binomial(1_000, 0.12, 4_000), draws.binomial(1_000, 0.04, 4_000)
    bounds = np.array([sure_loss(a / 1_000, b / 1_000, 1_000, 1_000) for a, b in zip(real, fake, strict=True)])
    assert 0.94 <= np.mean(bounds <= 1 - 0.04 / 0.12) <= 0.98


def test_a_missing_group_is_the_lost_region_with_its_rows() -> None:
    draws = np.random.default_rng(0)
    real, kind = groups([50] * 6, draws)
    fake, _ = groups([60] * 5 + [0], draws)
    pool = pool_of(real, fake)
    found = region_shares(pool, Regions(pool), alpha=0.03)
    assert p_value(found.statistics) == pytest.approx(1 / 200)
    assert found.effect > 0.8
    worst = found.lost[0]
    assert set(worst.real) == set(np.flatnonzero(kind == 5).tolist())
    assert worst.fake == ()
    assert worst.share_real == pytest.approx(1 / 6, abs=0.001)
    assert worst.share_fake == 0.0
    assert "17 %" in found.sentence


def test_a_region_is_named_after_its_commonest_label() -> None:
    draws = np.random.default_rng(0)
    real, kind = groups([50] * 6, draws)
    fake, made = groups([60] * 5 + [0], draws)
    pool = pool_of(real, fake)
    labels = [f"k{(made if f else kind)[int(i)]}" for f, i in zip(pool.fake, pool.number, strict=True)]
    found = region_shares(pool, Regions(pool), alpha=0.03, label=labels)
    assert found.lost[0].mode == "region 1 (mostly k5, 100 %)"


def test_equal_sides_lose_no_region() -> None:
    draws = np.random.default_rng(1)
    pool = pool_of(groups([50] * 6, draws)[0], groups([50] * 6, draws)[0])
    found = region_shares(pool, Regions(pool), alpha=0.03)
    assert p_value(found.statistics) > 0.1
    assert not found.lost
    assert found.details["clusters"]
    assert found.sentence.startswith("The region that falls shortest holds")


def test_fakes_that_lie_elsewhere_are_not_told_as_two_equal_shares() -> None:
    draws = np.random.default_rng(1)
    pool = pool_of(draws.normal(size=(300, 5)), draws.normal(size=(300, 5)) + 6)
    found = region_shares(pool, Regions(pool), alpha=0.03)
    assert p_value(found.statistics) == pytest.approx(1 / 200)
    assert not found.lost
    assert found.sentence.startswith("Fakes lie elsewhere than real rows")


def test_too_few_rows_for_regions_are_said() -> None:
    draws = np.random.default_rng(1)
    pool = pool_of(draws.normal(size=(6, 2)), draws.normal(size=(6, 2)))
    found = region_shares(pool, Regions(pool), alpha=0.03)
    assert p_value(found.statistics) == 1.0
    assert "no regions" in found.sentence
