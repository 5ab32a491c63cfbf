"""The estimate of a plan: its packing, and times that add up as slots do; benchmarks/estimates.py says how near."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments import throughput
from uncollapse.experiments.compare import compare
from uncollapse.experiments.estimate import HEAD_SECONDS, HEAD_SECONDS_OF_A_RUN, estimate, run_seconds
from uncollapse.experiments.packing import key_of, pack
from uncollapse.experiments.plan import Plan
from uncollapse.experiments.planner import makespan
from uncollapse.experiments.throughput import update_cost

TOML = """
[plan]
name = "tiny"
seeds = [0, 1]
updates = 1000
batch = 8
[[cells]]
methods = ["vanilla", "cgan"]
tasks = ["blobs-4", "blobs-8"]
set = { networks.width = 4 }
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path))


@pytest.mark.slow
def test_each_run_has_a_time_and_equal_kinds_share_one() -> None:
    found = estimate(Plan.from_toml(TOML), jobs=2, device="cpu")
    times = {(run.method, run.task): run.seconds for run in found.runs}
    updates = {key: update_cost(run.spec, "cpu") for run in pack(Plan.from_toml(TOML)) if (key := key_of(run.cell))}
    assert updates["vanilla", "blobs-4"] == updates["vanilla", "blobs-8"]
    assert min(times.values()) > 0
    assert found.seconds > makespan([run.seconds for run in found.runs], 2)
    assert found.sentence.startswith("4 runs, up to 2 seeds in a stack, about ")
    assert "an estimate" in found.sentence
    assert found.to_json()["runs"][0]["seeds"] == [0, 1]


def test_the_whole_is_start_runs_and_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "update_cost", lambda spec, device: {"seconds": 0.1, "memory": 1.0})
    monkeypatch.setattr(throughput, "beside_cost", lambda spec, device: {"seconds": 5.0, "look": 2.0})
    monkeypatch.setattr(throughput, "start_seconds", lambda: 3.0)
    plan = Plan.from_toml(TOML)
    rest = HEAD_SECONDS + 4 * HEAD_SECONDS_OF_A_RUN
    found = estimate(plan, jobs=2, device="cpu")
    assert [run.seconds for run in found.runs] == [105.0] * 4
    assert found.seconds == pytest.approx(2 * 105 + 2 * 3 + rest)
    assert found.processor_seconds == pytest.approx(4 * 105 + 3 * 3 + rest)
    assert estimate(plan, jobs=1, device="cpu").seconds == pytest.approx(4 * 105 + 3 + rest)
    assert estimate(plan, jobs=9, device="cpu").seconds == pytest.approx(105 + 2 * 3 + rest)
    watched = estimate(replace(plan, monitor=100), jobs=1, device="cpu")
    assert watched.runs[0].seconds == 105 + 10 * 2
    assert run_seconds(pack(plan)[0].spec, "cpu", trained=400) == pytest.approx(0.1 * 600 + 5)


def test_the_longest_run_bounds_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "update_cost", lambda spec, device: {"seconds": 0.1, "memory": 1.0})
    monkeypatch.setattr(throughput, "beside_cost", lambda spec, device: {"seconds": 5.0, "look": 2.0})
    monkeypatch.setattr(throughput, "start_seconds", lambda: 3.0)
    plan = Plan.from_toml(TOML)
    longer = replace(plan, groups=(*plan.groups, replace(plan.groups[0], updates=50_000, label="long", seeds=(5,))))
    assert estimate(longer, jobs=99, device="cpu").seconds >= 5_005


def test_the_packing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "update_cost", lambda spec, device: {"seconds": 0.1, "memory": 1.0})
    monkeypatch.setattr(throughput, "beside_cost", lambda spec, device: {"seconds": 5.0, "look": 2.0})
    monkeypatch.setattr(throughput, "start_seconds", lambda: 3.0)
    found = estimate(replace(Plan.from_toml(TOML), seeds=tuple(range(34)), updates=5), jobs=2, device="cpu")
    assert [run.lanes for run in found.runs] == [32, 2] * 4
    assert "8 runs, up to 32 seeds in a stack, about " in found.sentence
    assert "with 2 at a time of 1 thread each" in found.sentence


def test_a_wrong_plan_has_no_estimate() -> None:
    with pytest.raises(UserError, match="did you mean 'vanilla'"):
        estimate(Plan.from_toml(TOML.replace('"vanilla"', '"vanila"')))


def test_what_the_comparison_would_refuse_is_refused_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(directory: Path, spec: object) -> None:
        raise UserError(f"The code has changed since {directory.parent.name}.")

    plan = Plan.from_toml(TOML)
    compare(plan, out=tmp_path / "c", jobs=1, device="cpu", time_limit=0.0001, progress=False)
    estimate(plan, out=tmp_path / "c", jobs=2, device="cpu")
    monkeypatch.setattr("uncollapse.run_files.check_code", changed)
    with pytest.raises(UserError, match=r"The code has changed since runs\."):
        estimate(plan, out=tmp_path / "c", jobs=2, device="cpu")
