from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from uncollapse.report.records import Cell, RunRecord
from uncollapse.report.words import difference_sentence, joined, lead, method_sentence


def cell(method: str, mean: float, low: float | None, high: float | None, per_seed: list[float] | None = None) -> Cell:
    values = per_seed or [mean] * 4
    entry = {"mean": mean, "low": low, "high": high, "level": 0.95, "per_seed": values}
    return Cell(method=method, task="t", seeds=(0, 1, 2, 3), runs=(), measures={"modes_solid": entry})


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "method": "a", "baseline": "b", "difference": 2.0, "low": 1.0, "high": 3.0, "p_adjusted": 0.03, "n": 8,
        "smallest_p": 0.0078, "test": "paired sign-flip test, exact",
    }  # fmt: skip
    return base | changes


def named(method: str, difference: float, p: float, n: int = 8, **more: Any) -> dict[str, Any]:
    return row(method=method, difference=difference, p_adjusted=p, n=n, **more)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([named("a", 2.0, 0.03)], "On t, a kept 2.0 more modes than b, beyond chance."),
        ([named("a", -2.0, 0.03)], "On t, a kept 2.0 fewer modes than b, beyond chance."),
        (
            [named("a", 2.0, 0.03), named("c", 1.0, 0.4)],
            "On t, a kept 2.0 more modes than b, beyond chance; c cannot be told apart from it.",
        ),
        (
            [named("a", 2.0, 0.06)],
            "no difference from b is established beyond chance on 8 seeds; against b, a kept 2.0",
        ),
        # Two-sided sign flips: 2 / 2^n <= .05 from n = 6 on; Holm over two needs 4 / 2^n <= .05, so n = 7.
        ([named("a", 2.0, 0.125, 4)], "4 seeds are too few for the paired test to tell (it takes at least 6 for one"),
        ([named("a", 2.0, 0.06, 6)], "On t, no difference from b is established beyond chance on 6 seeds;"),
        (
            [named("a", 2.0, 0.25, 6), named("c", -1.0, 0.25, 6)],
            "On t, 6 seeds are too few for the paired test to tell (it takes at least 7 for 2 comparisons); "
            "seen so far: against b, a kept 2.0 more modes and c kept 1.0 fewer modes.",
        ),
        ([], "On t, b has the best solid modes (5.0), but no paired test was made."),
    ],
)
def test_lead_claims_only_what_the_paired_test_says(rows: list[dict[str, Any]], sentence: str) -> None:
    # The intervals of a and b are far apart or overlap as they like: they decide nothing.
    cells = [cell("a", 3, 2.9, 3.1), cell("b", 5, 4.9, 5.1), cell("c", 4, 0, 8)]
    assert sentence in lead("t", cells, rows, "modes_solid")


@pytest.mark.parametrize(
    ("key", "means", "winner"),
    [
        ("modes_solid", (3, 5), "b"), ("kl_all", (0.1, 0.9), "a"), ("kl_high_quality", (0.9, 0.1), "b"),
        ("core_sigma_ratio", (0.5, 1.2), "b"), ("core_sigma_ratio", (0.9, 1.4), "a"),
    ],
)  # fmt: skip
def test_the_best_is_best_in_the_direction_of_its_measure(key: str, means: tuple[float, float], winner: str) -> None:
    cells = [
        Cell(method=name, task="t", seeds=(0,), runs=(), measures={key: {"mean": mean, "per_seed": [mean]}})
        for name, mean in zip("ab", means, strict=True)
    ]
    assert f"On t, {winner} has the best" in lead("t", cells, [], key)
    higher = row(method="a", difference=means[0] - means[1])
    told = lead("t", cells, [higher], key)
    assert (f"({winner} is better" in told) is (key != "modes_solid")


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        ((0, 0), "On t, a and b are equal with the best solid modes (0.0), but no paired test was made."),
        ((2, 3, 3), "On t, b and c are equal with the best solid modes (3.0), but"),
        ((1, 1, 1, 1, 1), "On t, a, b, c and 2 more are equal with the best solid modes (1.0), but"),
        ((1, 1.2), "On t, b has the best solid modes (1.2), but"),
    ],
)
def test_a_tie_has_no_winner(means: tuple[float, ...], sentence: str) -> None:
    cells = [cell(name, mean, None, None) for name, mean in zip("abcde", means, strict=False)]
    assert lead("t", cells, [], "modes_solid").startswith(sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "a kept 2.0 more modes"),
        ({}, "a difference beyond chance"),
        ({"p_adjusted": 0.06}, "the interval leaves out zero, but the test alone does not establish it."),
        ({"p_adjusted": 0.12, "n": 4, "smallest_p": 0.125}, "so few seeds can reach no p below 0.12"),
        ({"low": -1.0, "p_adjusted": 0.4}, "chance may explain it, so no difference is established"),
        ({"difference": -2.0, "low": -3.0, "high": -1.0}, "a kept 2.0 fewer modes"),
        ({"difference": None, "low": None, "high": None}, "share no finished seed"),
    ],
)
def test_difference_says_how_much_it_weighs(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in difference_sentence(row(**changes), [], "modes_solid")


def test_equal_on_every_seed_is_no_difference_seen() -> None:
    equal = [cell("a", 4, 3, 5, [4, 3, 5, 4]), cell("b", 4, 3, 5, [4, 3, 5, 4])]
    only_on_average = [cell("a", 4, 3, 5, [3, 5, 4, 4]), cell("b", 4, 3, 5, [4, 4, 3, 5])]
    zero = row(difference=0.0, low=-0.5, high=0.5, p_adjusted=1.0, n=4)
    assert (
        difference_sentence(zero, equal, "modes_solid")
        == "No difference seen between a and b: equal on each of 4 seeds."
    )
    assert "No difference seen" not in difference_sentence(zero, only_on_average, "modes_solid")


def test_joined() -> None:
    assert [joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


@pytest.mark.parametrize(("count", "some"), [(4, False), (5, True)])
def test_a_long_list_of_open_differences_keeps_the_three_largest(count: int, some: bool) -> None:
    rows = [named(f"m{i}", float(i), 0.9, 20) for i in range(1, count + 1)]
    told = lead("t", [cell("a", 3, 2, 4), cell("b", 5, 4, 6)], rows, "modes_solid")
    assert (f"(the 3 largest of {count} differences), m5 kept 5.0 more modes, m4" in told) is some
    assert ("m1 kept" in told) is not some


@pytest.mark.parametrize(("count", "few"), [(7, False), (8, True)])
def test_of_many_differences_beyond_chance_the_largest_are_named_and_the_rest_counted(count: int, few: bool) -> None:
    rows = [*(named(f"m{i}", float(i), 0.01, 20) for i in range(1, count + 1)), named("open", 9.0, 0.5, 20)]
    told = lead("t", [cell("a", 3, 2, 4), cell("b", 5, 4, 6)], rows, "modes_solid")
    if few:
        assert told == (
            "On t, beyond chance 8 methods kept more modes than b (m8 by 8.0, m7 by 7.0, m6 by 6.0 and 5 more); "
            "1 of 9 methods cannot be told apart from it."
        )
    else:
        assert told.startswith("On t, m1 kept 1.0 more modes, m2 kept")
        assert told.endswith("; open cannot be told apart from it.")


def test_of_many_differences_gains_are_not_hidden_behind_larger_losses() -> None:
    """Nine of fifteen differences were gains, and a sentence sorted by size named none of them."""
    losses = [named(f"worse{i}", -10.0 - i, 0.01, 20) for i in range(4)]
    gains = [named(f"better{i}", 1.0 + i, 0.01, 20) for i in range(5)]
    cells = [cell("a", 3, 2, 4), cell("b", 5, 4, 6)]
    assert lead("t", cells, [*losses, *gains], "modes_solid") == (
        "On t, beyond chance 5 methods kept more modes than b (better4 by 5.0, better3 by 4.0, better2 by 3.0 and 2 "
        "more) and 4 methods kept fewer modes than b (worse3 by 13.0, worse2 by 12.0, worse1 by 11.0 and 1 more)."
    )
    kl = {"kl_all": {"mean": 0.5, "per_seed": [0.5]}}
    lower = [replace(one, measures=kl) for one in cells]
    rows = [{**named(f"m{i}", -0.25, 0.01, 20), "measure": "kl_all"} for i in range(9)]
    assert lead("t", lower, rows, "kl_all") == (
        "On t, beyond chance 9 methods had a lower KL, all samples than b (m0 by 0.25, m1 by 0.25, m2 by 0.25 and 6 "
        "more) (the sampling floor is best)."
    )


def silent(method: str, finished: bool, diverged: tuple[int, ...] = (), **measures: Any) -> Cell:
    run = RunRecord(directory=Path(), spec={}, result={} if finished else None, history=(), seconds=None)
    return Cell(method=method, task="t", seeds=(0, 1), runs=(run,), measures=measures, diverged=diverged)


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([silent("a", False)], "On t nothing is finished yet, so there is no answer so far."),
        ([silent("a", True, (0, 1)), silent("b", True, (0, 1))], "On t every seed diverged, so there is no answer."),
        (
            [silent("a", True, modes_hit={"mean": 3.0}), silent("b", True, (0, 1))],
            "On t no finished seed has a core sigma ratio, so there is no answer.",
        ),
    ],
)
def test_without_a_headline_the_lead_says_why(cells: list[Cell], sentence: str) -> None:
    assert lead("t", cells, [], "core_sigma_ratio") == sentence


def test_a_finished_method_without_the_headline_has_none_of_it_and_an_open_one_no_result() -> None:
    done = silent("a", True, modes_hit={"mean": 3.0})
    assert method_sentence(done, "core_sigma_ratio") == "a has no core sigma ratio."
    assert method_sentence(silent("a", False), "core_sigma_ratio") == "a has no result."
