from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from scipy.stats import binom
from tests.evaluation.making import cloud, ring, side

from uncollapse.evaluation import lost
from uncollapse.evaluation.lost import beyond_chance, clusters, ratio_interval, uncovered


def test_the_rows_of_two_lost_modes_make_the_two_largest_groups() -> None:
    real, place = ring(400, 0)
    found = uncovered(side(real), side(ring(400, 1, modes=range(6))[0], "fake"), seed=0)
    assert found.share == pytest.approx(0.25, abs=0.04)
    assert [set(place[list(group)].tolist()) for group in found.groups[:2]] in ([{6}, {7}], [{7}, {6}])
    assert len(found.groups) <= 3
    assert found.looked_at == found.of == 400
    assert (found.p_value, found.beyond_chance) == (pytest.approx(0.001), True)
    assert found.rows == round(found.share * 400) >= sum(map(len, found.groups))
    assert found.found >= len(found.groups)
    assert found.sentence.startswith(f"{100 * found.share:.2g} % of the real rows have no fake as near as their 5th")


def test_the_row_farthest_from_all_fakes_comes_first() -> None:
    far = np.column_stack([30 + np.arange(20), np.zeros(20)])
    found = uncovered(side(np.concatenate([cloud(100, 0, 2), far])), side(cloud(100, 1, 2), "fake"), seed=0)
    assert found.groups[0] == tuple(range(119, 99, -1))


@pytest.mark.parametrize(("n", "m"), [(300, 300), (60, 600), (600, 60)])
def test_a_perfect_generator_leaves_what_is_expected(n: int, m: int) -> None:
    shares = [uncovered(side(cloud(n, s)), side(cloud(m, 100 + s), "fake"), seed=0) for s in range(8)]
    mean, expected = np.mean([found.share for found in shares]), shares[0].expected
    # Each row's fate hangs on its neighbours', so the spread is taken from the repeats.
    error = np.std([found.share for found in shares], ddof=1) / np.sqrt(8)
    assert abs(mean - expected) < 4 * error + 0.005


def test_nothing_is_uncovered_where_all_rows_are_alike() -> None:
    same = np.ones((30, 3))
    found = uncovered(side(same), side(same, "fake"), seed=0)
    assert (found.groups, found.share, found.rows) == ((), 0, 0)
    assert not found.beyond_chance


def drawn(kind: str, n: int, seed: int) -> np.ndarray:
    rows = cloud(n, seed, 3)
    # Rounded rows are alike in great number, and ties must know nothing of the sides.
    return np.round(rows * 0.8) if kind == "ties" else rows


@pytest.mark.parametrize("kind", ["plain", "ties"])
@pytest.mark.parametrize(("n", "m"), [(60, 60), (40, 90)])
def test_a_perfect_generator_is_said_to_leave_too_many_no_more_often_than_the_level(kind: str, n: int, m: int) -> None:
    alarms = 0
    for s in range(100):
        real, fake = side(drawn(kind, n, s)), side(drawn(kind, m, 1_000 + s), "fake")
        alarms += uncovered(real, fake, seed=s, alpha=0.1).beyond_chance
    assert alarms <= binom.ppf(0.98, 100, 0.1)


def test_a_share_that_chance_may_explain_is_told_as_such() -> None:
    told = {True: 0, False: 0}
    for s in range(20):
        found = uncovered(side(cloud(60, s)), side(cloud(60, 100 + s), "fake"), seed=0)
        unsure = found.share > found.expected and not found.beyond_chance
        told[unsure] += 1
        assert found.sentence.endswith(", and chance may explain the rest.") is unsure
        assert "looked at" not in found.sentence
    assert min(told.values()) > 2


def test_the_file_holds_counts_and_no_rows() -> None:
    found = uncovered(side(cloud(60, 0)), side(cloud(60, 1) + 3, "fake"), seed=0)
    told = found.to_json()
    assert set(told) == {
        "rows", "share", "expected", "looked_at", "p_value", "beyond_chance", "groups", "sentence",
    }  # fmt: skip
    assert told["groups"] == found.found > 1


def test_units_do_not_matter() -> None:
    real, fake = ring(200, 0)[0], ring(200, 1, modes=range(6))[0]
    plain = uncovered(side(real), side(fake, "fake"), seed=0)
    for scale, shift in ((1e14, 0), (1e-14, 0), (1, 1e8)):
        found = uncovered(side(real * scale + shift), side(fake * scale + shift, "fake"), seed=0)
        assert found.share == pytest.approx(plain.share, abs=0.011)


def test_a_choice_of_many_rows_depends_on_their_content_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost, "LOOKED_AT", 150)
    real, fake = ring(400, 0)[0], ring(400, 1, modes=range(6))[0]
    order = np.random.default_rng(0).permutation(400)
    one = uncovered(side(real), side(fake, "fake"), seed=0)
    two = uncovered(side(real[order]), side(fake[order], "fake"), seed=0)
    assert (one.looked_at, one.of) == (150, 400)
    assert "(150 of 400 were looked at); a perfect generator" in one.sentence
    assert one.p_value == two.p_value
    assert one.share == two.share
    assert [set(group) for group in one.groups] == [set(order[list(group)].tolist()) for group in two.groups]


def test_groups_beyond_chance_as_in_its_examples() -> None:
    assert doctest.testmod(lost).failed == 0
    assert beyond_chance([10], 0) == 1
    assert beyond_chance([3, 2, 1], 0) == 3


def parts(*counts: tuple[int, int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(tuple(range(real)), tuple(range(fake))) for real, fake in counts]


def test_starved_clusters_come_before_over_fed_ones_before_even_ones() -> None:
    found = clusters(parts((100, 100), (100, 40), (100, 170), (100, 90)), alpha=0.03)
    assert [(row.name, row.state) for row in found] == [
        ("cluster 2", "starved"), ("cluster 3", "over-fed"), ("cluster 4", "even"), ("cluster 1", "even"),
    ]  # fmt: skip
    assert found[0].share_real == 0.25
    assert found[0].share_fake == 0.1
    assert found[0].low is not None
    assert found[0].low < 0.4 < (found[0].high or 0)
    assert len(found[0].real) == 100


def test_a_single_part_and_none_at_all_are_even() -> None:
    assert [row.state for row in clusters(parts((50, 60)), alpha=0.5)] == ["even"]
    assert clusters([], alpha=0.03) == []
    rest, only_fakes = clusters(parts((0, 30), (100, 70)), alpha=0.03)
    assert (only_fakes.state, only_fakes.low, only_fakes.high) == ("over-fed", None, None)
    assert (rest.state, rest.share_fake) == ("starved", 0.7)


def test_equal_shares_are_called_uneven_no_more_often_than_alpha() -> None:
    draws = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        real, fake = (draws.multinomial(200, [0.1, 0.2, 0.3, 0.4]) for _ in range(2))
        alarms += any(row.state != "even" for row in clusters(parts(*zip(real, fake, strict=True)), alpha=0.05))
    # At 5 % each, more than 23 of 300 have a chance of about 2 %.
    assert alarms <= binom.ppf(0.98, 300, 0.05)


def test_the_interval_of_a_ratio_of_shares_holds_the_truth() -> None:
    draws = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        low, high = ratio_interval(int(draws.binomial(300, 0.2)), 300, int(draws.binomial(200, 0.1)), 200)
        assert low is not None
        assert high is not None
        held += low <= 0.5 <= high
    assert 0.925 <= held / 400 <= 0.985


def test_the_interval_of_nothing_reaches_to_zero() -> None:
    low, high = ratio_interval(50, 200, 0, 200)
    assert low == 0
    assert high is not None
    assert 0 < high < 0.2
    assert ratio_interval(0, 200, 5, 200) == (None, None)


@pytest.mark.parametrize(("share", "ratio"), [(0.01, 1.0), (0.02, 0.5), (0.02, 2.0)])
def test_a_ratio_of_small_shares_is_missed_on_either_side_as_often(share: float, ratio: float) -> None:
    draws = np.random.default_rng(2)
    ends = np.array(
        [
            ratio_interval(int(a), 1_000, int(b), 1_000)
            for a, b in zip(
                draws.binomial(1_000, share, 2_000), draws.binomial(1_000, share * ratio, 2_000), strict=True
            )
            if a
        ]
    )
    assert 0.01 <= (ends[:, 0] > ratio).mean() <= 0.04
    assert 0.01 <= (ends[:, 1] < ratio).mean() <= 0.04


def test_few_real_rows_leave_the_ratio_open_even_where_no_fake_is() -> None:
    few, many = ratio_interval(3, 1_000, 0, 1_000)[1], ratio_interval(300, 1_000, 0, 1_000)[1]
    assert few is not None
    assert many is not None
    # The upper end of no fake in 1,000 is .0038; .003 real could as well be .001.
    assert few > 1.3 * 0.0038 / 0.003
    assert many < 1.1 * 0.0038 / 0.3


def test_labels_that_were_asked_for_in_equal_numbers_leave_no_real_row_alone() -> None:
    kinds = [np.repeat([0, 1], n) for n in ((900, 100), (500, 500))]
    classes = torch.from_numpy(kinds[0]), torch.from_numpy(kinds[1])
    surplus: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(6):
        draws = np.random.default_rng(seed)
        rows = [draws.normal(size=(1_000, 2)) + 6.0 * kind[:, None] for kind in kinds]
        real, fake = (side(x, role) for x, role in zip(rows, ("real", "fake"), strict=True))
        for alike in surplus:
            found = uncovered(real, fake, seed=0, classes=classes if alike else None)
            surplus[alike].append(found.share / found.expected)
    assert np.mean(surplus[False]) > 2.5  # the larger class has too few fakes
    assert np.mean(surplus[True]) == pytest.approx(1, abs=0.15)
