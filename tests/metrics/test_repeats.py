from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from uncollapse.errors import UserError
from uncollapse.metrics import Estimate, birthday, duplicates
from uncollapse.metrics.inputs import Features
from uncollapse.metrics.pairs import Pair
from uncollapse.metrics.repeats import Within, repeats


def column(*values: float) -> list[list[float]]:
    return [[value] for value in values]


def uniform(n: int, outcomes: int, seed: int) -> torch.Tensor:
    """Rows drawn from so many equally likely outcomes."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(outcomes, 3, generator=generator)
    return table[torch.randint(0, outcomes, (n,), generator=generator)]


def test_identical_rows_are_counted_by_hand() -> None:
    found = duplicates(fake=column(1, 1, 1, 2, 3, 3, -0.0, 0.0), real=column(5, 5, 6, 7))
    assert found.value == 7 / 8
    assert found.low < 7 / 8 < found.high
    assert found.details == {
        "tolerance": 0.0,
        "groups": 3,
        "largest_group": 3,
        "colliding_pairs": 5,
        "real_share": 0.5,
    }
    assert (found.n_real, found.n_fake) == (4, 8)


@pytest.mark.parametrize("tile", [2048, 3])
def test_rows_within_a_tolerance_are_linked_in_chains(tile: int) -> None:
    # 0 - .5 - 1 is a chain whose ends are 1 apart; 3 and 3.5 are exactly at the tolerance; 9 is alone.
    side = Features(column(0, 0.5, 1, 3, 3.5, 9), name="fake")
    within = Within(pair := Pair(side, side), "real", 0.5)
    pair.walk([within], tile=tile)
    rows = side.x[side.order][:, 0].tolist()
    assert dict(zip(rows, within.degree.tolist(), strict=True)) == {0: 1, 0.5: 2, 1: 1, 3: 1, 3.5: 1, 9: 0}
    label = dict(zip(rows, within.group.tolist(), strict=True))
    assert label[0] == label[0.5] == label[1]
    assert label[3] == label[3.5]
    assert len({label[0], label[3], label[9]}) == 3
    found = duplicates(fake=side.x, tolerance=0.5)
    assert (found.value, found.details["groups"], found.details["largest_group"]) == (5 / 6, 2, 3)
    # Far from the origin of float32 a tolerance still decides by the rows as given.
    far = torch.tensor(column(0, 1, 3, 4, 6.5)) + 2**20
    assert duplicates(fake=far, tolerance=1.0).value == 4 / 5


def test_both_ways_agree_when_outcomes_lie_apart_and_order_does_not_matter() -> None:
    fake = uniform(500, 300, seed=0)
    degree, _ = repeats(Features(fake, name="fake"), 0.0)
    near, _ = repeats(Features(fake, name="fake"), 1e-6)
    assert degree.tolist() == near.tolist()
    for tolerance in (0.0, 1e-6):
        first, again = (duplicates(fake=x, tolerance=tolerance) for x in (fake, fake.flip(0).numpy()))
        assert (first.value, first.low, first.high) == (again.value, again.low, again.high)
    # By NumPy's own count of equal rows.
    counts = np.unique(fake.numpy(), axis=0, return_counts=True)[1]
    assert first.value == pytest.approx(counts[counts > 1].sum() / 500)
    assert first.details["largest_group"] == counts.max()


def test_continuous_fakes_have_no_duplicates_and_the_interval_says_how_sure_that_is() -> None:
    found = duplicates(fake=torch.randn(400, 4, generator=torch.Generator().manual_seed(0)))
    assert (found.value, found.low) == (0, 0)
    # With a mean of 3.7 pairs, 7.4 rows of 400, none would be seen once in 40 times.
    assert 7.3 / 400 < found.high < 10 / 400
    same = duplicates(fake=torch.ones(100, 2))
    assert (same.value, same.high, same.details["largest_group"]) == (1, 1, 100)
    assert 0.8 < same.low < 1


@pytest.mark.parametrize("outcomes", [8, 200, 5000])
def test_the_birthday_estimate_finds_the_number_of_equally_likely_outcomes(outcomes: int) -> None:
    found = [birthday(fake=uniform(600, outcomes, seed)) for seed in range(60)]
    # 1 / value is unbiased for 1 / outcomes.
    inverse = np.array([1 / float(estimate) for estimate in found])
    assert inverse.mean() == pytest.approx(1 / outcomes, abs=4 * inverse.std() / math.sqrt(60))
    assert inverse.mean() == pytest.approx(1 / outcomes, rel=0.1)
    assert sum(estimate.holds(outcomes) for estimate in found) >= 54
    assert all(1 <= estimate.low < estimate.high for estimate in found)


def test_unequal_outcomes_give_one_over_the_sum_of_squares() -> None:
    generator = torch.Generator().manual_seed(1)
    chances = torch.cat([torch.tensor([0.5]), torch.full((500,), 0.001)])
    truth = 1 / float(chances.square().sum())
    found = [
        birthday(fake=torch.multinomial(chances, 500, replacement=True, generator=generator)[:, None])
        for _ in range(80)
    ]
    assert np.mean([float(estimate) for estimate in found]) == pytest.approx(truth, rel=0.05)
    assert np.mean([estimate.holds(truth) for estimate in found]) >= 0.88


def test_without_a_collision_there_is_a_lower_bound_only() -> None:
    fake = torch.randn(100, 3, generator=torch.Generator().manual_seed(2))
    found = birthday(fake=fake)
    assert (found.value, found.high) == (None, None)
    # An outcome of share p that comes at most once in 100 draws in 5 % of cases, by scipy's binomial.
    share = 1 / found.low**0.5
    assert stats.binom.cdf(1, 100, share) == pytest.approx(0.05)
    assert str(found.reason) == "no two of 100 fakes are alike; the support is at least 461 at the 95 % level"
    assert birthday(fake=fake, level=None).low is None
    assert float(birthday(fake=fake, tolerance=100.0)) == 1


@pytest.mark.parametrize("atoms", [1, 2, 5, 30])
def test_the_bound_without_a_collision_holds_whatever_the_outcomes_are(atoms: int) -> None:
    """Even outcomes are the kindest: a bound of 4,950 / 3 pairs failed in a fifth of draws with one common outcome."""
    generator = torch.Generator().manual_seed(atoms)
    share, wrong = 0.03 / atoms**0.5, 0
    for _ in range(400):
        drawn = torch.rand(100, generator=generator, dtype=torch.float64)
        # The last part of (0, 1) is continuous; the first holds the atoms, each of this share.
        rows = torch.where(drawn < atoms * share, torch.floor(drawn / share), 2 + drawn)
        found = birthday(fake=rows[:, None])
        wrong += found.low is not None and found.low > 1 / (atoms * share**2)
    assert wrong / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_one_repeated_fake_has_support_1_but_not_surely() -> None:
    found = birthday(fake=torch.ones(200, 2))
    assert (found.value, found.low) == (1, 1)
    # A rare other outcome of 3.7 / 200 would often have stayed unseen.
    assert 1.03 < found.high < 1.1


@pytest.mark.parametrize("function", [duplicates, birthday])
def test_wrong_input_is_refused_in_one_sentence(function: object) -> None:
    assert callable(function)
    for tolerance in (-1.0, math.nan, math.inf):
        with pytest.raises(UserError, match=r"tolerance must be 0 \(identical rows\) or a positive distance, not"):
            function(fake=column(1, 2), tolerance=tolerance)
    with pytest.raises(UserError, match=r"fake has 1 row, but this needs at least 2"):
        function(fake=column(1))
    with pytest.raises(UserError, match=r"level must be between 0 and 1"):
        function(fake=column(1, 2), level=0)
    assert isinstance(function(fake=column(1, 2), level=None), Estimate)
