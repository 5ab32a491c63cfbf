"""Records: merging by seed, the rule for diverged seeds, bounds, success rate, cost; numbers counted by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.record import cell_record, merge, seconds

EVEN = [0.25] * 4


def result(
    values: dict[int, float | None], *, key: str = "modes_solid", diverged: tuple[int, ...] = ()
) -> dict[str, Any]:
    """A run's result with one measure, equal for both weights except that the live one is 1 lower."""
    return {
        "status": "finished",
        "hash": "abc",
        "updates": 10,
        "seeds": list(values),
        "modes": {"names": ["a", "b", "c", "d"], "weights": EVEN},
        "cost": {"critic_updates": 10, "generator_updates": 2, "device": "cpu"},
        "lanes": [
            {
                "seed": seed,
                "diverged_at": 5 if seed in diverged else None,
                "measures": {
                    "averaged": {key: value},
                    "live": {key: None if value is None else value - 1},
                },
            }
            for seed, value in values.items()
        ],
    }


def test_runs_of_a_cell_are_merged_by_seed_and_measured_for_both_weights() -> None:
    results = {"b": result({2: 4.0, 3: 3.0}), "a": result({1: 4.0, 0: 1.0})}
    cell = cell_record("m", "t", results, run_seconds=3.0)
    assert cell["seeds"] == [0, 1, 2, 3]
    assert cell["runs"] == ["b", "a"]
    assert cell["measures"]["modes_solid"]["per_seed"] == [1.0, 4.0, 4.0, 3.0]
    assert cell["measures"]["modes_solid"]["mean"] == 3.0
    assert cell["measures"]["modes_solid_live"]["per_seed"] == [0.0, 3.0, 3.0, 2.0]
    assert cell["success_rate"] | {"low": 0, "high": 0} == {"value": 0.5, "low": 0, "high": 0, "successes": 2, "n": 4}
    assert cell["cost"] == {"critic_updates": 10, "generator_updates": 2, "device": "cpu", "seconds": 3.0}


def test_the_plans_weights_own_the_plain_keys() -> None:
    cell = cell_record("m", "t", {"a": result({0: 4.0})}, weights="live")
    assert cell["measures"]["modes_solid"]["per_seed"] == [3.0]
    assert cell["measures"]["modes_solid_averaged"]["per_seed"] == [4.0]
    assert cell["success_rate"]["successes"] == 0


def test_the_success_rate_carries_wilsons_interval() -> None:
    # Wilson for 3 of 4 at 95 %: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.959964
    cell = cell_record("m", "t", {"a": result({0: 4.0, 1: 4.0, 2: 4.0, 3: 3.0})})
    z, n, p = 1.959963984540054, 4, 0.75
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    assert cell["success_rate"]["low"] == pytest.approx(centre - half, abs=1e-9)
    assert cell["success_rate"]["high"] == pytest.approx(centre + half, abs=1e-9)


def test_a_diverged_seed_covers_nothing() -> None:
    cell = cell_record("m", "t", {"a": result({0: 4.0, 1: 4.0}, diverged=(1,))})
    assert cell["diverged"] == [1]
    assert cell["measures"]["modes_solid"]["per_seed"] == [4.0, 0.0]
    assert cell["measures"]["modes_solid"]["mean"] == 2.0
    assert "note" not in cell["measures"]["modes_solid"]
    assert cell["success_rate"]["value"] == 0.5


def test_where_zero_would_be_praise_a_diverged_seed_is_left_out_by_name() -> None:
    runs = {"a": result({0: 1.25, 1: 1.0, 2: None}, key="core_sigma_ratio", diverged=(1,))}
    row = cell_record("m", "t", runs)["measures"]["core_sigma_ratio"]
    assert row["per_seed"] == [1.25, None, None]
    assert (row["mean"], row["n"]) == (1.25, 1)
    assert row["note"] == (
        "left out because training diverged: seed 1; left out because the measure has no value there: seed 2"
    )


def test_a_measure_that_does_not_apply_is_no_key() -> None:
    cell = cell_record("m", "t", {"a": result({0: None, 1: 0.0}, key="tutorial_coverage", diverged=(1,))})
    assert "tutorial_coverage" not in cell["measures"]


def test_all_seeds_diverged_is_a_result() -> None:
    cell = cell_record("m", "t", {"a": result({0: None, 1: None}, diverged=(0, 1))})
    assert cell["measures"]["modes_solid"]["per_seed"] == [0.0, 0.0]
    assert cell["success_rate"]["value"] == 0.0


def test_a_cell_without_results_keeps_its_failures() -> None:
    failed = [{"run": "a", "seeds": [0], "error": "OutOfMemoryError: too large"}]
    cell = cell_record("m", "t", {}, failed=failed, unfinished=[1])
    assert (cell["seeds"], cell["measures"], cell["cost"]) == ([], {}, {})
    assert cell["failed"] == failed
    assert cell["unfinished"] == [1]
    assert (cell["success_rate"]["value"], cell["success_rate"]["n"]) == (0.0, 1)
    assert cell_record("m", "t", {}, unfinished=[1])["success_rate"]["value"] is None


def test_a_seed_in_two_runs_is_refused() -> None:
    with pytest.raises(UserError, match="Seed 1 is in run b"):
        merge({"a": result({0: 1.0, 1: 1.0}), "b": result({1: 1.0})})


@pytest.mark.parametrize(
    ("key", "expected"),
    [("modes_hit", [0, 4]), ("class_entropy", [0, 2]), ("kl_all", [0, math.log(4)]), ("core_sigma_ratio", None)],
)
def test_the_interval_respects_what_a_measure_cannot_leave(key: str, expected: list[float] | None) -> None:
    row = cell_record("m", "t", {"a": result({0: 1.0, 1: 1.25}, key=key)})["measures"][key]
    assert row["bounds"] == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("key", "value"),
    [("class_entropy", 0.0), ("high_quality_share", 0.0), ("kl_all", None), ("core_sigma_ratio", None)],
)
def test_a_diverged_seed_counts_by_the_one_rule_of_the_measures(key: str, value: float | None) -> None:
    row = cell_record("m", "t", {"a": result({0: 1.0, 1: 1.0}, key=key, diverged=(1,))})["measures"][key]
    assert row["per_seed"] == [1.0, value]
    assert ("note" in row) == (value is None)


def test_seeds_of_failed_runs_stay_in_the_denominator() -> None:
    results = {"a": result({0: 4.0, 1: 4.0})}
    failed = [{"run": "b", "seeds": [2, 3], "error": "OutOfMemoryError: too large"}]
    rates = [cell_record("m", "t", results, failed=rows)["success_rate"] for rows in ([], failed)]
    assert [(rate["successes"], rate["n"], rate["value"]) for rate in rates] == [(2, 2, 1.0), (2, 4, 0.5)]
    assert rates[1]["low"] < 0.5 < rates[1]["high"] < rates[0]["high"]


def test_identical_seeds_have_an_interval_with_a_width() -> None:
    row = cell_record("m", "t", {"a": result(dict.fromkeys(range(4), 4.0))})["measures"]["modes_solid"]
    assert row["high"] == 4.0
    assert row["low"] < 3.5


def test_seconds_add_up_over_sittings_and_ignore_a_torn_last_line(tmp_path: Path) -> None:
    lines = ['{"seconds": 1.0}', '{"seconds": 2.5}', '{"seconds": 0.5}', '{"seconds": 4.0}', '{"seco']
    (tmp_path / "timing.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert seconds(tmp_path) == 6.5
    assert seconds(tmp_path / "nowhere") == 0.0


def test_a_sitting_whose_first_clock_is_later_than_the_last_ones_end_counts_whole(tmp_path: Path) -> None:
    lines = ['{"from": 0, "seconds": 20.0}', '{"from": 400, "seconds": 30.0}', '{"from": 400, "seconds": 45.0}']
    (tmp_path / "timing.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert seconds(tmp_path) == 65.0
