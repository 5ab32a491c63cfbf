"""Plans: what is read, what is refused and with which sentence, the built-in ones, the way to JSON and back."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.compare import compare
from uncollapse.experiments.estimate import estimate
from uncollapse.experiments.packing import pack
from uncollapse.experiments.plan import Plan, builtin_plan, builtin_plans, load_plan, parse_seeds
from uncollapse.experiments.search import Tuning
from uncollapse.experiments.tuning import trials
from uncollapse.methods import _ROWS
from uncollapse.monitor import MonitorChoice
from uncollapse.parts.dynamics import Cosine, PerPlayer
from uncollapse.report.words import needed_seeds
from uncollapse.run import make_spec
from uncollapse.tasks.mixtures import Mixture

BUILT_IN = {row.name: row for row in _ROWS}  # other tests may add methods of their own

GOOD = """
[plan]
name = "two"
seeds = { first = 1000, count = 3 }
updates = 200
[[cells]]
methods = ["vanilla", "wgan-gp"]
tasks = ["ring-8", "grid-25"]
set = { "dynamics.lr_critic" = 2e-4, networks.width = 16 }
[[cells]]
methods = ["wgan-gp"]
tasks = ["ring-8"]
label = "small penalty"
seeds = [3, 5]
updates = 100
batch = 32
set = { "penalties.0.weight" = 0.1 }
[compare]
baseline = "vanilla"
headline = "modes_hit"
weights = "live"
[claims]
source = "a paper"
measure = "modes_hit"
[claims.values.vanilla]
"ring-8" = 5
"""


def test_cells_are_methods_times_tasks_with_their_groups_settings() -> None:
    cells = Plan.from_toml(GOOD).cells()
    assert [(cell.name, cell.task) for cell in cells] == [
        ("vanilla", "ring-8"),
        ("vanilla", "grid-25"),
        ("wgan-gp", "ring-8"),
        ("wgan-gp", "grid-25"),
        ("wgan-gp (small penalty)", "ring-8"),
    ]
    assert cells[0].seeds == (1000, 1001, 1002)
    assert (cells[0].updates, cells[0].batch) == (200, None)
    assert dict(cells[0].set) == {"dynamics.lr_critic": 2e-4, "networks.width": 16}
    assert (cells[4].seeds, cells[4].updates, cells[4].batch) == ((3, 5), 100, 32)


def test_presentation_and_claims_are_read() -> None:
    plan = Plan.from_toml(GOOD)
    assert (plan.baseline_name, plan.headline, plan.weights) == ("vanilla", "modes_hit", "live")
    assert plan.claims is not None
    assert plan.claims.values == {"vanilla": {"ring-8": 5}}


def test_a_plan_survives_json() -> None:
    plan = Plan.from_toml(GOOD)
    tuned = replace(plan, tuning=Tuning(seeds=(7,), trials=2, rates=(3.0,), sensitive=(0.1,)))
    parts = replace(plan.groups[0], set={"dynamics.schedule": PerPlayer(critic=Cosine(final=0.3))})
    told = {"part": "Cosine", "final": 0.3}
    assert parts.set["dynamics.schedule"]["critic"] == told
    assert parts == replace(
        plan.groups[0], set={"dynamics.schedule": {**parts.set["dynamics.schedule"], "critic": told}}
    )
    for each in (plan, tuned, replace(plan, groups=(parts,))):
        assert Plan.from_json(json.loads(json.dumps(each.to_json()))) == each


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", (0, 1, 2)),
        ("1", (0,)),
        ("3,5", (3, 5)),
        ("100-103", (100, 101, 102, 103)),
        ("1-2,9", (1, 2, 9)),
        *((wrong, None) for wrong in ("7,", "0", "5-3", "a", "-1", "1.5", "", "2,2")),
    ],
)
def test_seeds_of_the_command_line(text: str, seeds: tuple[int, ...] | None) -> None:
    if seeds is None:
        with pytest.raises(UserError, match="seed"):
            parse_seeds(text)
    else:
        assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["9999999999", "0-9999999999", "3,5-9999999999", "100001"])
def test_too_many_seeds_are_refused_before_they_are_counted_out(text: str) -> None:
    with pytest.raises(UserError, match="more than 100,000 seeds"):
        parse_seeds(text)
    assert len(parse_seeds("100000")) == 100_000


def test_built_in_plans_are_plans() -> None:
    names = list(builtin_plans())
    known = [
        "cures",
        "demo",
        "mode-coverage",
        "mode-coverage-small-penalty",
        "mode-coverage-tuned",
        "pacgan-grid",
        "pacgan-ring",
        "records",
    ]
    assert {*known, "smoke", "veegan-ring", "wgan-gp-toy"} <= set(names)
    for name in names:
        assert load_plan(name).name == name


def test_the_big_table_asks_every_method_for_the_same() -> None:
    plan = load_plan("cures")
    planar = {row.name for row in _ROWS if not row.view.images_only}
    assert {cell.method for cell in plan.cells()} == planar
    assert {cell.task for cell in plan.cells()} == {"ring-8", "blobs-32", "grid-25"}
    assert len({repr((cell.set, cell.updates, cell.batch)) for cell in plan.cells()}) == 1
    assert len(plan.seeds) >= 12  # fewer cannot pass the test corrected for 32 methods


@pytest.mark.parametrize("which", ["", "-mnist", "-fashion-mnist"])
def test_the_image_experiment_is_that_of_the_tutorial(which: str) -> None:
    plan = load_plan(f"conditional-vs-unconditional{which}")
    cells = plan.cells()
    assert [cell.name for cell in cells] == ["wgan-gp", "cwgan-gp"]
    assert {cell.task for cell in cells} == {which.removeprefix("-") or "digits"}
    for cell in cells:
        spec = make_spec(cell.method, cell.task, seeds=cell.seeds, updates=cell.updates, settings=cell.set)
        assert spec.method.dynamics.critic_steps == 5
        assert [part["weight"] for part in spec.method.spec()["penalties"]] == [10.0]
    # Fewer seeds could establish none of the six differences that the report tests.
    assert len(plan.seeds) >= (4 if which else needed_seeds(6))


def test_the_records_stay_within_their_budget() -> None:
    plan = load_plan("records")
    assert len(plan.seeds) >= 10
    assert not set(plan.seeds) & set(range(9000, 9004))  # chosen on these
    assert plan.updates <= 30_000
    assert plan.batch <= 512
    shared = [{path: value for path, value in cell.set.items() if "penalties" not in path} for cell in plan.cells()]
    assert all(one == shared[0] for one in shared)


def test_the_tutorials_plan_is_to_the_letter() -> None:
    plan = load_plan("mode-coverage")
    assert (plan.updates, plan.batch, len(plan.seeds), plan.weights) == (39_500, 128, 5, "live")
    cells = {(cell.method, cell.task): cell for cell in plan.cells()}
    assert len(cells) == 12
    for (method, _), cell in cells.items():
        assert cell.set["dynamics.lr_critic"] == cell.set["dynamics.lr_generator"] == 2e-4
        assert cell.set["dynamics.betas"] == ([0.5, 0.999] if method == "vanilla" else [0.0, 0.9])
        assert cell.set.get("penalties.0.weight") == (None if method == "vanilla" else 10.0)
        assert (cell.set["networks.width"], cell.set["networks.depth"], cell.set["networks.latent"]) == (128, 3, 2)
        assert cell.set["networks.bounded"] is True
        assert cell.set["task.train_size"] == 10_000
    assert plan.claims is not None
    table = {name: list(row.values()) for name, row in plan.claims.values.items()}
    assert table["vanilla"] == [0.75, 0.5, 0.3, 0.15]
    assert table["wgan-gp"] == [1, 0.88, 0.7, 0.45]
    assert table["cwgan-gp"] == [1, 1, 0.95, 0.8]


def test_the_small_penalty_plan_differs_in_the_penalty_only() -> None:
    large, small = (load_plan(name).cells() for name in ("mode-coverage", "mode-coverage-small-penalty"))
    for one, other in zip(large, small, strict=True):
        changed = {key for key in one.set if one.set[key] != other.set[key]}
        assert changed == (set() if one.method == "vanilla" else {"penalties.0.weight"})
        assert other.set.get("penalties.0.weight") in (None, 0.1)
        assert (one.method, one.task, one.seeds, one.updates, one.batch) == (
            other.method,
            other.task,
            other.seeds,
            other.updates,
            other.batch,
        )


def test_the_tuned_plan_holds_every_unconditional_method_that_fits_the_plane() -> None:
    plan = load_plan("mode-coverage-tuned")
    fitting = []
    for name, method in BUILT_IN.items():
        with suppress(UserError):
            make_spec(name, "ring-8", batch=plan.batch)
            fitting += [] if method.labelled else [name]
    assert Counter(cell.method for cell in plan.cells()) == Counter(fitting)
    assert len(plan.seeds) >= needed_seeds(len(fitting) - 1)
    found = trials(plan)
    assert Counter(trial.key for trial in found) == dict.fromkeys([(cell.name, cell.task) for cell in plan.cells()], 5)


def test_the_tuned_plan_asks_what_tuning_changes_in_the_cures() -> None:
    cures = {run.spec.directory_name for run in pack(load_plan("cures"))}
    plan = load_plan("mode-coverage-tuned")
    assert {run.spec.directory_name for run in pack(plan)} <= cures, (
        "as they stand they are the very runs of the plan cures"
    )
    lengths = {(trial.of.updates, run.spec.updates) for trial in trials(plan) for run in trial.runs}
    assert lengths == {(6000, 6000)}, "what is best after a short trial need not be best after a long run"


PROTOCOLS = {
    # name: (tasks, methods, seeds, updates, batch, centres' largest coordinate, sigma, N, train size)
    "pacgan-ring": ("ring-8", 4, 10, 400_000, 100, 1.0, 0.01, 2500, 100_000),
    "pacgan-grid": ("grid-25", 4, 10, 400_000, 100, 4.0, 0.05, 2500, 100_000),
    "veegan-ring": ("ring-8", 3, 5, 25_000, 512, 1.0, 0.01, 2500, None),
    "wgan-gp-toy": ("ring-8", 1, 8, 500_000, 256, 2 / 1.414, 0.02 / 1.414, 10_000, None),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_published_protocol_is_to_the_letter_where_it_is_known(name: str) -> None:
    task, methods, seeds, updates, batch, reach, sigma, judged, rows = PROTOCOLS[name]
    runs = [run for run in pack(load_plan(name)) if run.cell.task == task]
    assert len(runs) == methods
    for run in runs:
        learnt = run.spec.task
        assert isinstance(learnt, Mixture)
        assert (len(run.spec.seeds), run.spec.updates, run.spec.batch) == (seeds, updates, batch)
        assert max(c for centre in learnt.centres for c in centre) == pytest.approx(reach, rel=1e-6)
        assert learnt.sigma == pytest.approx(sigma, rel=1e-6)
        assert (learnt.measure_size, learnt.train_size) == (judged, rows)


def test_the_grid_of_the_wgan_gp_toy_has_its_own_scale() -> None:
    (run,) = [run for run in pack(load_plan("wgan-gp-toy")) if run.cell.task == "grid-25"]
    assert isinstance(run.spec.task, Mixture)
    assert run.spec.task.sigma == pytest.approx(0.05 / 2.828, rel=1e-6)
    assert run.spec.method.settings()["penalties.0.weight"] == 0.1
    assert run.spec.method.dynamics.critic_steps == 5


@pytest.mark.parametrize("name", [*PROTOCOLS, "mode-coverage-tuned"])
def test_a_long_plan_trains_two_updates(name: str, tmp_path: Path) -> None:
    plan = load_plan(name)
    task = plan.groups[0].tasks[0]
    groups = tuple(
        replace(group, tasks=(task,), methods=group.methods[:2], set={**group.set, "networks.width": 8})
        for group in plan.groups
        if task in group.tasks
    )
    small = replace(plan, groups=groups, seeds=(0,), updates=2, text="", tuning=None)
    assert estimate(small, jobs=1, device="cpu").seconds > 0
    result = compare(small, out=tmp_path / "c", jobs=1, device="cpu", progress=False)
    assert result.document["status"] == "finished"
    assert all(cell["seeds"] == [0] for cell in result.document["cells"])


def test_a_file_wins_over_a_built_in_name_and_unknown_names_show_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        Path("smoke").write_text(GOOD, encoding="utf-8")
        assert load_plan("smoke").name == "two"
        Path("smoke").write_text(GOOD, encoding="utf-8-sig")  # as some editors begin it
        assert load_plan("smoke") == Plan.from_toml(GOOD)
    with pytest.raises(UserError, match="did you mean 'demo'"):
        load_plan("demmo")
    with pytest.raises(UserError, match=r"no plan file 'here/plan\.toml'"):
        load_plan("here/plan.toml")
    binary = tmp_path / "plan.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file"):
        load_plan(binary)


def test_a_plan_is_read_up_to_a_size_and_a_depth(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("a = " + "[" * 200_000)
    with pytest.raises(UserError, match=rf"^{path} is nested more than 100 levels deep, so it cannot be a plan\.$"):
        load_plan(path)
    path.write_text(GOOD)
    os.truncate(path, 4_000_001)
    with pytest.raises(UserError, match=rf"^{path} has 4\.0 MB, more than the 4\.0 MB that are read, so it cannot be"):
        load_plan(path)
    with pytest.raises(UserError, match=r"^the plan is not valid TOML: a whole number has more than 64 bits\.$"):
        Plan.from_toml(f"{GOOD}\nlarge = {10**400}")


def test_the_built_in_plan_is_meant_whatever_lies_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text("a diary", encoding="utf-8")
    assert builtin_plan("demo").name == "demo"
    with pytest.raises(UserError, match="demo is not valid TOML"):
        load_plan("demo")


def test_a_plan_has_a_monitor_and_cells_may_choose_the_rest_of_it() -> None:
    text = """
[plan]
name = "watched"
seeds = [3]
updates = 100
monitor = 50
[[cells]]
methods = ["vanilla"]
tasks = ["ring-8"]
[[cells]]
methods = ["wgan-gp"]
tasks = ["ring-8"]
set = { "monitor.on_alarm" = "rollback", "monitor.every" = 20 }
"""
    plan = Plan.from_toml(text)
    first, second = (run.spec.monitor for run in pack(plan))
    assert first == MonitorChoice(every=50)
    assert second == MonitorChoice(every=20, on_alarm="rollback")
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    without = Plan.from_toml(text.replace("monitor = 50\n", ""))
    assert "monitor" not in without.to_json()  # as in locks from before there was one
    assert [run.spec.monitor is None for run in pack(without)] == [True, False]


@pytest.mark.parametrize("given", [None, {"tasks": []}, 3], ids=str)
def test_what_names_no_plan_is_refused(given: object) -> None:
    with pytest.raises(UserError, match=rf"^plan must be a Plan, .*, not of type {type(given).__name__}\.$"):
        load_plan(given)  # type: ignore[arg-type]
