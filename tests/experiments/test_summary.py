"""What `comparison.json` says of the cells together: who is compared with whom, and what no cell can hide."""

from __future__ import annotations

from typing import Any

import pytest

from uncollapse.experiments.plan import Plan
from uncollapse.experiments.summary import differences

TOML = """
[plan]
name = "tiny"
seeds = { first = 0, count = 2 }
updates = 60
batch = 8
[[cells]]
methods = ["vanilla", "lsgan", "cgan"]
tasks = ["blobs-4"]
set = { networks.width = 4, networks.depth = 1 }
[compare]
baseline = "lsgan"
"""


def cell(method: str, task: str, values: list[float]) -> dict[str, Any]:
    """A cell's record with one measure."""
    row = {"per_seed": values, "bounds": [0.0, 8.0]}
    return {"method": method, "task": task, "seeds": list(range(len(values))), "measures": {"modes_solid": row}}


def test_a_task_without_the_plans_baseline_takes_its_first_method() -> None:
    plan = Plan.from_toml(TOML)
    found = [cell("lsgan", "a", [1, 1, 1]), cell("cgan", "a", [3, 3, 4]), cell("cgan", "b", [5, 5, 5])]
    found.append(cell("vanilla", "b", [5, 5, 5]))
    rows = differences(found, plan)
    assert [(row["task"], row["method"], row["baseline"]) for row in rows] == [
        ("a", "cgan", "lsgan"),
        ("b", "vanilla", "cgan"),
    ]
    assert rows[0]["difference"] == pytest.approx(7 / 3)
    assert "No difference seen" in str(rows[1]["sentence"])


def test_a_cell_without_a_result_hides_no_other_cells_difference() -> None:
    plan = Plan.from_toml(TOML)
    found = [cell("lsgan", "a", [1, 1, 1]), cell("cgan", "a", [3, 3, 4]), cell("vanilla", "a", [])]
    found[2]["measures"] = {}
    assert [(row["method"], row["n"]) for row in differences(found, plan)] == [("cgan", 3)]
    found[0]["measures"] = {}
    assert differences(found, plan) == []


def test_tuned_methods_are_compared_with_the_tuned_baseline() -> None:
    plan = Plan.from_toml(TOML)
    names = ["lsgan", "lsgan (tuned)", "cgan", "cgan (tuned)"]
    found = [cell(name, "a", [value] * 3) for name, value in zip(names, (1, 4, 3, 5), strict=True)]
    rows = differences(found, plan, {"lsgan": "lsgan (tuned)", "cgan": "cgan (tuned)"})
    assert [(row["method"], row["baseline"], row["difference"]) for row in rows] == [
        ("cgan", "lsgan", 2),
        ("cgan (tuned)", "lsgan (tuned)", 1),
    ]


def test_without_a_tuned_baseline_tuned_methods_are_not_compared() -> None:
    names = ["lsgan", "cgan", "cgan (tuned)", "vanilla", "vanilla (tuned)"]
    found = [cell(name, "a", [value] * 3) for name, value in zip(names, (1, 4, 3, 5, 2), strict=True)]
    rows = differences(found, Plan.from_toml(TOML), {"cgan": "cgan (tuned)", "vanilla": "vanilla (tuned)"})
    assert [(row["method"], row["baseline"]) for row in rows] == [("cgan", "lsgan"), ("vanilla", "lsgan")]
