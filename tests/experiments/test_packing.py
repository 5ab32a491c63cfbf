"""Packing into runs, the lock, and the refusal of a directory that holds another plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.packing import (
    blocks,
    chunks,
    differences,
    failed_before,
    freeze,
    frozen_choices,
    frozen_groups,
    note_failures,
    pack,
    read_lock,
    runs_of,
)
from uncollapse.experiments.plan import CellGroup, Plan
from uncollapse.experiments.search import Tuning

PLAN = Plan(name="p", seeds=(0, 1), groups=(CellGroup(methods=("vanilla", "wgan-gp"), tasks=("ring-8",)),), updates=10)


@pytest.mark.parametrize(("n", "sizes"), [(1, [1]), (16, [16]), (17, [8, 9]), (33, [11, 11, 11]), (40, [13, 14, 13])])
def test_seeds_are_split_evenly_into_the_fewest_groups(n: int, sizes: list[int]) -> None:
    groups = chunks(range(n), 16)
    assert [len(group) for group in groups] == sizes
    assert [seed for group in groups for seed in group] == list(range(n))


@pytest.mark.parametrize(
    ("n", "most", "sizes"),
    [
        (1, 32, [1]),
        (32, 32, [32]),
        (33, 32, [32, 1]),
        (80, 32, [32, 32, 16]),
        (64, 64, [64]),
        (100, 64, [64, 32, 4]),
        (31, 256, [31]),
        (600, 256, [192, 192, 192, 24]),
    ],
)
def test_blocks_are_whole_and_the_rest_is_by_itself(n: int, most: int, sizes: list[int]) -> None:
    groups = blocks(range(n), most)
    assert [len(group) for group in groups] == sizes
    assert [seed for group in groups for seed in group] == list(range(n))


def test_a_cell_with_many_seeds_becomes_several_runs() -> None:
    runs = pack(replace(PLAN, seeds=tuple(range(40))))
    assert [len(run.spec.seeds) for run in runs] == [32, 8, 32, 8]
    assert len({run.spec.directory_name for run in runs}) == 4


def test_a_packing_holds_for_its_cell_and_for_the_tuned_one_and_for_no_other_seeds() -> None:
    groups = {("vanilla", "ring-8"): ((0,), (1,)), ("wgan-gp", "ring-8"): ((0, 1, 2),)}
    assert [run.spec.seeds for run in pack(PLAN, groups)] == [(0,), (1,), (0, 1)]
    cell = replace(PLAN.cells()[0], label="tuned", untuned="vanilla")
    assert [run.spec.seeds for run in runs_of(cell, 1, groups)] == [(0,), (1,)]
    assert [run.spec.seeds for run in runs_of(replace(cell, seeds=(5, 6)), 1, groups)] == [(5, 6)]


def test_the_lock_gives_its_packing_back(tmp_path: Path) -> None:
    groups = {("vanilla", "ring-8"): ((1,), (0,)), ("wgan-gp", "ring-8"): ((0, 1),)}
    freeze(tmp_path, PLAN, pack(PLAN, groups), [])
    assert frozen_groups(tmp_path) == groups
    freeze(tmp_path, PLAN, pack(PLAN, frozen_groups(tmp_path)), [])
    with pytest.raises(UserError, match="another definition of vanilla on ring-8"):
        freeze(tmp_path, PLAN, pack(PLAN), [])


def test_two_cells_that_would_share_a_directory_are_refused() -> None:
    short = CellGroup(methods=("vanilla",), tasks=("ring-8",), updates=10, label="short")
    long = replace(short, updates=50, label="long")
    with pytest.raises(UserError, match=r"short.* and .*long.* on ring-8 would train the same run"):
        pack(replace(PLAN, groups=(short, long)))
    assert len(pack(replace(PLAN, groups=(short, replace(long, seeds=(2, 3)))))) == 2


def test_every_name_and_setting_is_checked_before_anything_trains() -> None:
    for group, message in [
        (CellGroup(methods=("vanila",), tasks=("ring-8",)), "Cell vanila on ring-8: .*did you mean 'vanilla'"),
        (CellGroup(methods=("vanilla",), tasks=("ring-9",)), "did you mean 'ring-8'"),
        (CellGroup(methods=("vanilla",), tasks=("ring-8",), set={"dynamics.lr_critc": 1.0}), "dynamics.lr_critic"),
        (CellGroup(methods=("vanilla",), tasks=("ring-8",), set={"networks.widht": 8}), "networks.width|width"),
        (CellGroup(methods=("vanilla",), tasks=("ring-8",), set={"task.train_sise": 8}), "train_size"),
        (CellGroup(methods=("vanilla",), tasks=("ring-8",), set={"penalties.0.weight": 1.0}), "penalties.0.weight"),
        (
            CellGroup(methods=("vanilla",), tasks=("ring-8",), set={"monitor.on_alarm": "stop"}),
            r"^Cell vanilla on ring-8: monitor\.on_alarm = stop is for `uncollapse train`, .*choose log or rollback\.$",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            pack(replace(PLAN, groups=(group,)))


def test_the_lock_accepts_its_own_plan_and_names_what_differs_in_another(tmp_path: Path) -> None:
    freeze(tmp_path, PLAN, pack(PLAN), ["mine:METHOD", object()])
    lock = read_lock(tmp_path)
    assert lock["plugins"] == ["mine:METHOD"]
    assert [run["directory"] for run in lock["runs"]] == [run.spec.directory_name for run in pack(PLAN)]
    freeze(tmp_path, PLAN, pack(PLAN), [])
    freeze(tmp_path, replace(PLAN, headline="modes_hit"), pack(PLAN), [])
    longer = replace(PLAN, updates=20)
    with pytest.raises(UserError, match=r"another plan: updates is 10 there and 20 here\. Choose another --out"):
        freeze(tmp_path, longer, pack(longer), [])
    fewer = replace(PLAN, groups=(CellGroup(methods=("vanilla",), tasks=("ring-8",)),))
    with pytest.raises(UserError, match=r"cells 1\.methods"):
        freeze(tmp_path, fewer, pack(fewer), [])


def test_the_weights_that_tuning_chose_by_are_part_of_the_plan(tmp_path: Path) -> None:
    for name, plan in (("plain", PLAN), ("tuned", replace(PLAN, tuning=Tuning(seeds=(90,), trials=1, rates=())))):
        freeze(tmp_path / name, plan, pack(plan), [])
    live = replace(PLAN, weights="live")
    freeze(tmp_path / "plain", live, pack(live), [])
    tuned = replace(live, tuning=Tuning(seeds=(90,), trials=1, rates=()))
    with pytest.raises(UserError, match='another plan: weights is "averaged" there and "live" here'):
        freeze(tmp_path / "tuned", tuned, pack(tuned), [])


def test_runs_without_a_lock_are_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "runs" / "somebody").mkdir(parents=True)
    with pytest.raises(UserError, match=r"holds runs but no plan\.lock\.json"):
        freeze(tmp_path, PLAN, pack(PLAN), [])


def test_a_lock_of_other_definitions_is_refused(tmp_path: Path) -> None:
    freeze(tmp_path, PLAN, pack(PLAN), [])
    path = tmp_path / "plan.lock.json"
    name = pack(PLAN)[0].spec.directory_name
    path.write_text(path.read_text(encoding="utf-8").replace(name, "vanilla-ring-8-000000000000"), encoding="utf-8")
    with pytest.raises(UserError, match="another definition of vanilla on ring-8"):
        freeze(tmp_path, PLAN, pack(PLAN), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ('{"schema": 9}', "has schema 9, and .* reads schema 1; use the version that"),
        ("{}", "'schema'"),
    ],
)
def test_a_damaged_lock_says_how_to_go_on(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "plan.lock.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_lock(tmp_path)


@pytest.mark.parametrize("runs", ["7", "[7]", "[{}]", '[{"method": "m", "task": "t", "seeds": 3}]'])
def test_a_lock_without_seeds_is_damaged(tmp_path: Path, runs: str) -> None:
    (tmp_path / "plan.lock.json").write_text(f'{{"schema": 1, "runs": {runs}}}', encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        frozen_groups(tmp_path)


@pytest.mark.parametrize("damage", [{"plan": None}, {"plan": 7}, {"runs": [{"method": "m"}]}, {"runs": None}])
def test_a_lock_of_other_forms_is_damaged(tmp_path: Path, damage: dict[str, Any]) -> None:
    freeze(tmp_path, PLAN, pack(PLAN), [])
    path = tmp_path / "plan.lock.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | damage), encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        freeze(tmp_path, PLAN, pack(PLAN), [])


@pytest.mark.parametrize("choices", ["7", "[7]", '[{"method": "m"}]'])
def test_a_choice_of_nothing_is_damaged(tmp_path: Path, choices: str) -> None:
    (tmp_path / "plan.lock.json").write_text(f'{{"schema": 1, "choices": {choices}}}', encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        frozen_choices(tmp_path)


@pytest.mark.parametrize("names", ["7", "null", "[7]", "[{}]"])
def test_failures_of_nothing_are_damaged(tmp_path: Path, names: str) -> None:
    (tmp_path / "plan.lock.json").write_text(f'{{"schema": 1, "failed_trials": {names}}}', encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        failed_before(tmp_path)


def test_failures_are_noted_once_and_kept_by_the_next_start(tmp_path: Path) -> None:
    freeze(tmp_path, PLAN, pack(PLAN), [])
    lock = json.loads((tmp_path / "plan.lock.json").read_text(encoding="utf-8"))
    assert failed_before(tmp_path) == frozenset(), "a lock of before has none"
    assert "failed_trials" not in lock
    note_failures(tmp_path, ["b", "a"])
    note_failures(tmp_path, ["a"])
    freeze(tmp_path, PLAN, pack(PLAN), [])
    assert failed_before(tmp_path) == {"a", "b"}


def test_a_folder_without_a_lock_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a comparison"):
        read_lock(tmp_path)


def test_differences_name_their_place() -> None:
    old = {"a": 1, "groups": [{"x": 1}, {"x": 2}]}
    assert list(differences(old, {"a": 2, "groups": [{"x": 1}, {"x": 3}]})) == [
        "a is 1 there and 2 here",
        "cells 2.x is 2 there and 3 here",
    ]
    assert list(differences(old, {"a": 1, "groups": [{"x": 1}]})) == ["it has 2 [[cells]] there and 1 here"]
