"""Which seeds are trained together: what pays, what fits, no idle worker, and no table that depends on it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from uncollapse.experiments import planner, throughput
from uncollapse.experiments.compare import compare
from uncollapse.experiments.packing import Groups, Key, freeze, key_of, pack, read_lock
from uncollapse.experiments.plan import CellGroup, Plan
from uncollapse.experiments.planner import Place, choose, longest_first, makespan, memory_of_a_run
from uncollapse.loop import Trainer
from uncollapse.spec import RunSpec

SMALL: Mapping[str, Any] = {"networks.width": 5, "networks.depth": 1, "task.measure_size": 200}
CONVOLUTIONS: Mapping[str, Any] = {"networks.family": "dcgan", "networks.width": 4}


def plan_of(count: int, *methods: str, task: str = "blobs-4", updates: int = 30, **more: Any) -> Plan:
    """A plan of so many seeds; odd sizes, so that last bits would show."""
    group = CellGroup(methods=methods or ("vanilla",), tasks=(task,), set=more.pop("set", SMALL))
    return Plan(name="p", seeds=tuple(range(count)), groups=(group,), updates=updates, batch=7, **more)


def sizes(groups: Groups) -> list[list[int]]:
    """Seeds of each run of each cell."""
    return [[len(group) for group in cell] for cell in groups.values()]


def packed(plan: Plan, jobs: int = 2, *, measure: bool = True) -> list[list[int]]:
    """What the planner chooses; each seed of each cell must be there once."""
    runs = pack(plan)
    found = choose(runs, Place(jobs=jobs, device="cpu", measure=measure))
    for run in runs:
        assert Counter(seed for group in found[key_of(run.cell)] for seed in group) == Counter(run.cell.seeds)
    return sizes(found)


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A machine on which an update of n seeds takes ``base + each * n`` seconds and ``memory * n`` bytes."""
    law = {"base": 1.0, "each": 0.01, "memory": 1.0, "asked": 0.0}

    def cost(spec: RunSpec, device: str) -> dict[str, float]:
        law["asked"] += 1
        n = len(spec.seeds)
        return {"seconds": law["base"] + law["each"] * n, "memory": law["memory"] * n}

    monkeypatch.setattr(throughput, "update_cost", cost)
    return law


@pytest.mark.parametrize(
    ("seconds", "jobs", "whole"),
    [([], 2, 0), ([], 0, 0), ([5], 3, 5), ([1, 2, 3, 4], 1, 10), ([4, 3, 3], 2, 6), ([1, 1, 1, 3], 2, 3)],
)
def test_runs_fill_the_slots_longest_first(seconds: list[float], jobs: int, whole: float) -> None:
    assert makespan(seconds, jobs) == whole


def test_stacks_are_as_large_as_pays(costs: dict[str, float]) -> None:
    assert packed(plan_of(64), jobs=1) == [[64]]
    costs |= {"base": 0.0, "each": 1.0}
    # Where nothing is gained the largest is taken all the same, because it is the fewest jobs.
    assert packed(plan_of(64), jobs=1) == [[64]]
    assert packed(plan_of(64), jobs=2) == [[32, 32]]


def test_a_stack_too_large_for_the_cache_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {32: 1.0, 64: 2.0, 256: 16.0}
    monkeypatch.setattr(
        throughput, "update_cost", lambda spec, device: {"seconds": seconds[len(spec.seeds)], "memory": 0.0}
    )
    assert packed(plan_of(256), jobs=1) == [[64] * 4]


@pytest.mark.parametrize(("fits", "runs"), [(0, [32, 32]), (32, [32, 32]), (64, [64])])
def test_what_cannot_be_measured_is_no_stack(fits: int, runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(spec: RunSpec, device: str) -> dict[str, float]:
        if len(spec.seeds) > fits:
            raise RuntimeError("CUDA out of memory")
        return {"seconds": 1.0, "memory": 0.0}

    monkeypatch.setattr(throughput, "update_cost", cost)
    assert packed(plan_of(64), jobs=1) == [runs]


def test_a_stack_is_cut_only_where_workers_would_wait(costs: dict[str, float]) -> None:
    many = plan_of(64, "vanilla", "lsgan", "wgan-gp", "sngan")
    assert packed(many, jobs=4) == [[64]] * 4
    assert packed(plan_of(64), jobs=4) == [[32, 32]]  # each takes 1.32 instead of the whole's 1.64 seconds
    costs["base"] = 10.0
    assert packed(plan_of(64), jobs=4) == [[64]]  # 10.32 instead of 10.64 is not worth twice the processors


def test_the_rest_of_a_cell_is_by_itself_so_that_bits_do_not_depend_on_the_stack(costs: dict[str, float]) -> None:
    assert packed(plan_of(101), jobs=1) == [[64, 32, 5]]
    assert packed(plan_of(101), jobs=1, measure=False) == [[32, 32, 32, 5]]
    assert packed(plan_of(33)) == [[32, 1]]


def test_what_cannot_be_chosen_is_not_measured(costs: dict[str, float]) -> None:
    assert packed(plan_of(32)) == [[32]]
    assert packed(plan_of(63)) == [[32, 31]]
    assert packed(plan_of(64), measure=False) == [[32] * 2]
    assert packed(plan_of(64, threads=2)) == [[32] * 2]  # bits depend on where two threads cut a stack
    runs = pack(plan_of(64))
    assert sizes(choose(runs, Place(jobs=1, device="cpu", measure=True), stop=lambda: True)) == [[32] * 2]
    assert costs["asked"] == 0
    assert choose([], Place(jobs=1, device="cpu", measure=True)) == {}


def test_thirty_methods_on_four_tasks_with_64_seeds_are_a_few_hundred_jobs(costs: dict[str, float]) -> None:
    methods = ("vanilla", "lsgan", "wgan", "wgan-gp", "dragan", "sngan", "r1", "rpgan", "r3gan", "d2gan")
    labels = [CellGroup(methods=methods, tasks=("ring-8", "grid-25", "blobs-4", "blobs-8"), label=x) for x in "abc"]
    plan = replace(plan_of(64), groups=tuple(replace(group, updates=30 + i) for i, group in enumerate(labels)))
    plan = replace(plan, groups=tuple(replace(g, set={"networks.width": 4 + i}) for i, g in enumerate(plan.groups)))
    for jobs in (2, 16, 128):
        assert 120 <= sum(map(len, packed(plan, jobs))) <= 240


def test_seeds_that_take_turns_are_cut_until_all_workers_are_busy() -> None:
    long = {"task": "digits", "updates": 2000, "set": CONVOLUTIONS}
    assert packed(plan_of(8, **long), jobs=1) == [[8]]
    assert packed(plan_of(8, **long), jobs=4) == [[2, 2, 2, 2]]
    assert packed(plan_of(4, "vanilla", "lsgan", **long), jobs=2) == [[4], [4]]
    assert packed(plan_of(4, **long), jobs=99) == [[1] * 4]
    assert packed(plan_of(4, **long | {"updates": 20}), jobs=4) == [[4]]  # too short to be worth a set-up each
    slow = packed(plan_of(4, "vanilla", "unrolled-5", **long), jobs=3)
    assert len(slow[1]) > len(slow[0])


def test_the_longest_run_comes_first_as_far_as_costs_are_known() -> None:
    runs = pack(plan_of(2, "vanilla", "unrolled-5", "r3gan"))
    assert [run.cell.method for run in longest_first(runs)] == ["unrolled-5", "r3gan", "vanilla"]
    assert longest_first([]) == []


def test_nothing_is_packed_beyond_the_memory(costs: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    one = throughput.expected_memory(pack(plan_of(1))[0].spec)
    monkeypatch.setattr(planner, "memory_of_a_run", lambda place: 70 * one)
    assert packed(plan_of(256), jobs=1) == [[64] * 4]
    costs["memory"] = 1.5 * one  # a measurement knows of more than the estimate does
    assert packed(plan_of(256), jobs=1) == [[32] * 8]
    monkeypatch.setattr(planner, "memory_of_a_run", lambda place: 5 * one)
    assert packed(plan_of(20), jobs=1) == [[5, 5, 5, 5]]
    monkeypatch.setattr(planner, "memory_of_a_run", lambda place: 0.0)
    assert packed(plan_of(3), jobs=1) == [[1, 1, 1]]


def test_the_memory_of_a_run_is_a_share_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "free_memory", lambda: 10_000_000_000)
    one, four = (memory_of_a_run(Place(jobs=jobs, device="cpu", measure=True)) for jobs in (1, 4))
    assert one == pytest.approx(8e9 - throughput.BARE_PROCESS)
    assert four == pytest.approx(2e9 - throughput.BARE_PROCESS)
    assert math.isinf(memory_of_a_run(Place(jobs=1_000, device="cpu", measure=True)))  # no packing helps there
    assert math.isinf(memory_of_a_run(Place(jobs=1, device="cpu", measure=False)))
    monkeypatch.setattr(planner, "free_memory", lambda: None)
    assert math.isinf(memory_of_a_run(Place(jobs=1, device="cpu", measure=True)))


def table(out: Path, plan: Plan, groups: Groups, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A comparison with this packing, without clocks and directories."""
    monkeypatch.setattr(planner, "choose", lambda runs, place, **more: groups)
    done = compare(plan, out=out, jobs=1, device="cpu", progress=False)
    assert done.exit_code == 0
    document: dict[str, Any] = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    found = {row["method"]: row["seeds"] for row in read_lock(out)["runs"]}
    assert found == {key[0]: list(parts[-1]) for key, parts in groups.items()}
    del document["seconds"]
    for cell in document["cells"]:
        del cell["runs"], cell["cost"]["seconds"]
    return document


def cut(plan: Plan, *edges: int) -> Groups:
    """Every cell's seeds cut at these places."""
    parts = tuple(plan.seeds[a:b] for a, b in zip((0, *edges), (*edges, len(plan.seeds)), strict=True))
    keys: list[Key] = [key_of(cell) for cell in plan.cells()]
    return dict.fromkeys(keys, parts)


@pytest.mark.slow
def test_tables_do_not_depend_on_how_blocks_are_stacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(64, "cgan", updates=3)
    whole = table(tmp_path / "a", plan, cut(plan), monkeypatch)
    assert table(tmp_path / "b", plan, cut(plan, 32), monkeypatch) == whole
    assert whole["cells"][0]["measures"]["high_quality_share"]["n"] == 64


@pytest.mark.slow
def test_tables_do_not_depend_on_how_turns_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(2, "vanilla", task="digits", updates=2, set=CONVOLUTIONS)
    whole = table(tmp_path / "a", plan, cut(plan), monkeypatch)
    assert table(tmp_path / "b", plan, cut(plan, 1), monkeypatch) == whole


def test_a_second_start_takes_the_frozen_packing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(6, updates=5)
    runs = pack(plan, {("vanilla", "blobs-4"): (tuple(range(5)), (5,))})
    freeze(tmp_path, plan, runs, [])
    monkeypatch.setattr(planner, "choose", None)  # which nobody may ask
    first = compare(plan, out=tmp_path, jobs=1, device="cpu", progress=False)
    assert first.document["cells"][0]["runs"] == [run.spec.directory_name for run in runs]
    assert first.document["cells"][0]["seeds"] == list(range(6))
    assert [row["seeds"] for row in read_lock(tmp_path)["runs"]] == [list(range(5)), [5]]


def test_a_comparison_that_the_old_packing_began_goes_on_as_it_was(tmp_path: Path) -> None:
    """20 seeds were ten and ten; the lock is written here as it was then."""
    plan = plan_of(20, updates=5)
    halves = [tuple(range(10)), tuple(range(10, 20))]
    old = pack(plan, {("vanilla", "blobs-4"): tuple(halves)})
    rows = [
        {"directory": run.spec.directory_name, "method": "vanilla", "task": "blobs-4"}
        | {"seeds": list(run.spec.seeds), "updates": 5}
        for run in old
    ]
    lock = {"schema": 1, "plan": plan.to_json(), "plugins": [], "runs": rows}
    (tmp_path / "plan.lock.json").write_text(json.dumps(lock), encoding="utf-8")
    from uncollapse.run import execute

    done = tmp_path / "runs" / old[0].spec.directory_name
    execute(old[0].spec, done, device="cpu")
    before = (done / "result.json").stat().st_mtime_ns
    found = compare(plan, out=tmp_path, jobs=1, device="cpu", progress=False)
    assert found.document["status"] == "finished"
    assert found.document["cells"][0]["runs"] == [run.spec.directory_name for run in old]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {run.spec.directory_name for run in old}
    assert (done / "result.json").stat().st_mtime_ns == before
    assert read_lock(tmp_path) == lock | {"choices": []}


def moved(method: str, seeds: range, updates: int, task: str = "blobs-4", **more: Any) -> torch.Tensor:
    """All weights of each seed that was trained in one run with these others, by seed."""
    plan = replace(plan_of(1, method, task=task, **more), seeds=tuple(seeds))
    (run,) = pack(plan, {(method, task): (tuple(seeds),)})
    trainer = Trainer(run.spec)
    trainer.advance(updates)
    lanes = trainer.lanes
    whole = torch.cat([lanes.state.critic.parameters, lanes.state.generator.parameters, lanes.average], -1)
    return whole.reshape(len(seeds), -1)


@pytest.mark.parametrize("method", ["vanilla", "cgan"])
def test_the_bits_of_a_seed_are_those_of_any_stack_of_whole_blocks(method: str) -> None:
    apart = torch.cat([moved(method, range(32), 12), moved(method, range(32, 64), 12)])
    assert torch.equal(moved(method, range(64), 12), apart)


def test_the_bits_of_a_seed_that_takes_its_turn_are_those_of_the_seed_alone() -> None:
    more: dict[str, Any] = {"task": "digits", "set": CONVOLUTIONS}
    alone = torch.cat([moved("vanilla", range(seed, seed + 1), 4, **more) for seed in range(3)])
    assert torch.equal(moved("vanilla", range(3), 4, **more), alone)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["wgan-gp", "began", "mgan-4", "ensemble-4", "minibatch-discrimination", "bures"])
def test_the_bits_of_a_seed_do_not_depend_on_the_stack_for_any_kind_of_part(method: str) -> None:
    apart = torch.cat([moved(method, range(32), 10), moved(method, range(32, 64), 10)])
    assert torch.equal(moved(method, range(64), 10), apart)
