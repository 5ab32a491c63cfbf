"""Specs: what the hash covers, the way through JSON and back, and every refusal with its sentence."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA
from uncollapse.monitor import MonitorChoice
from uncollapse.networks.mlp import MLP
from uncollapse.parts.dynamics import Cosine, Dynamics
from uncollapse.parts.losses import Loss
from uncollapse.parts.penalties import GradientPenalty, ZeroCentred
from uncollapse.parts.registry import PARTS
from uncollapse.parts.scene import Judgement, Scene
from uncollapse.parts.views import Packed
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks import Arrays, Mixture, find

PLUGIN = '''
from dataclasses import dataclass

from uncollapse.parts.losses import Loss


@dataclass(frozen=True, kw_only=True)
class Gentle(Loss):
    """A loss that hardly moves."""

    scale: float = 0.5

    def critic(self, real, fake, state, scene):
        return self.scale * (fake.score - real.score).mean()

    def generator(self, real, fake, scene):
        return -self.scale * fake.score.mean()
'''


@dataclass(frozen=True, kw_only=True)
class Timid(Loss):
    """A user's own loss."""

    scale: float = 0.5

    def critic(self, real: Judgement, fake: Judgement, state: Mapping[str, Tensor], scene: Scene) -> Tensor:
        return self.scale * (fake.score - real.score).mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        return -self.scale * fake.score.mean()


@pytest.fixture(autouse=True)
def _own_parts_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncollapse.parts.registry.PARTS", dict(PARTS))


def spec(method: str | Method = "vanilla", task: Any = "blobs-4", **options: Any) -> RunSpec:
    return make_spec(method, task, **{"seeds": (3, 5), "updates": 100, "batch": 16, **options})


def through_json(document: dict[str, Any]) -> dict[str, Any]:
    back: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return back


def rows(n: int = 60, labelled: bool = True) -> Arrays:
    x = np.random.default_rng(0).normal(size=(n, 3))
    return Arrays(x, np.arange(n) % 2) if labelled else Arrays(x, clusters=2)


# --- the hash -------------------------------------------------------------------------------------------------------


def test_the_hash_is_twelve_digits_and_names_the_directory() -> None:
    one = spec("wgan-gp", "unequal-3")
    assert re.fullmatch("[0-9a-f]{12}", one.hash)
    assert one.cell == "wgan-gp-unequal-3"
    assert one.directory_name == f"wgan-gp-unequal-3-{one.hash}"
    assert one.to_json()["hash"] == one.hash


def test_the_hash_does_not_know_updates_or_facts() -> None:
    assert spec(updates=100).hash == spec(updates=10**6).hash
    stranger = VANILLA.but(facts=METHODS["wgan"].facts)
    assert spec(stranger).hash == spec().hash


CHANGES: dict[str, dict[str, Any]] = {
    "method": {"method": METHODS["lsgan"]},
    "its name": {"method": VANILLA.but(name="other")},
    "an axis": {"method": VANILLA.but(view=Packed(2))},
    "a penalty": {"method": VANILLA.but(penalties=(ZeroCentred(),))},
    "a schedule": {"method": VANILLA.with_setting("dynamics.ramp", 0.1)},
    "task": {"task": find("blobs-5")},
    "train_size": {"task": find("blobs-4", train_size=100)},
    "other train_size": {"task": find("blobs-4", train_size=101)},
    "width": {"networks": MLP(width=8, bounded=True)},
    "depth": {"networks": MLP(depth=2, bounded=True)},
    "latent": {"networks": MLP(latent=3, bounded=True)},
    "bounded": {"networks": MLP(bounded=False)},
    "octaves": {"networks": MLP(bounded=True, octaves=2)},
    "a seed": {"seeds": (3, 6)},
    "one more seed": {"seeds": (3, 5, 6)},
    "one seed less": {"seeds": (3,)},
    "order of seeds": {"seeds": (5, 3)},
    "batch": {"batch": 17},
    "threads": {"threads": 2},
    "dtype": {"dtype": "float64"},
    "a monitor": {"monitor": MonitorChoice()},
    "its interval": {"monitor": MonitorChoice(every=100)},
    "its margin": {"monitor": MonitorChoice(margin=0.05)},
    "a rollback": {"monitor": MonitorChoice(on_alarm="rollback")},
}


def changed(change: str) -> RunSpec:
    # Packs of two need an even batch, which every other change has too.
    return replace(spec(), **CHANGES[change])


@pytest.mark.parametrize("change", CHANGES)
def test_the_hash_knows_everything_else(change: str) -> None:
    assert changed(change).hash != spec().hash


def test_no_two_changes_share_a_hash() -> None:
    assert len({changed(change).hash for change in CHANGES} | {spec().hash}) == len(CHANGES) + 1


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return {"real": "fake", "fake": "real", "images": "packs", "packs": "images"}[value]
    if isinstance(value, tuple):
        return (0.25, 0.75)
    return value + 1 if isinstance(value, int) else value * 0.5 + 0.3


@pytest.mark.parametrize("name", METHODS)
def test_the_hash_knows_every_setting_of_a_method(name: str) -> None:
    method = METHODS[name]
    same = {"task": "digits" if method.view.images_only else "blobs-4", "batch": 60}
    hashes = {spec(method, **same).hash}
    settings = method.settings()
    if name in ("sngan", "projection", "began"):  # what they carry from step to step cannot be foreseen
        del settings["dynamics.unroll"]
    for path, value in settings.items():
        hashes.add(spec(method, **same, settings={path: other(value)}).hash)
    assert len(hashes) == 1 + len(settings) > 9


def test_the_hash_does_not_care_whether_a_number_was_written_whole() -> None:
    first, second = (spec(VANILLA.but(penalties=(ZeroCentred(weight=weight),))) for weight in (2, 2.0))
    assert first == second
    assert first.hash == second.hash


def test_the_hash_knows_the_data_of_arrays() -> None:
    one, same, moved = rows(), rows(), rows(61)
    assert spec(task=one).hash == spec(task=same).hash
    assert spec(task=one).hash != spec(task=moved).hash


# --- through JSON and back ------------------------------------------------------------------------------------------

RICH = VANILLA.but(
    name="rich",
    view=Packed(2),
    penalties=(ZeroCentred(on="fake"), ZeroCentred(weight=0.3)),
    dynamics=replace(VANILLA.dynamics, schedule=Cosine(final=0.5), betas=(0.1, 0.2)),
)


TASKS = ("ring-8", "grid-25", "grid-100", "blobs-12", "unequal-3", "digits")
PLAYED = [
    pytest.param(method, task, id=f"{method.name}-{task}")
    for method in (*METHODS.values(), RICH)
    for task in (("digits",) if method.view.images_only else TASKS)
]


@pytest.mark.parametrize(("method", "task"), PLAYED)
def test_every_method_comes_back_equal(method: Method, task: str) -> None:
    one = spec(method, find(task, train_size=50), threads=2, dtype="float64", networks=MLP(width=9, latent=5))
    back = RunSpec.from_json(through_json(one.to_json()))
    assert back == one
    assert back.hash == one.hash
    assert back.to_json() == one.to_json()
    assert (back.method.loss, back.seeds, back.task.train_size) == (method.loss, (3, 5), 50)


def test_json_says_what_there_is() -> None:
    document = spec("wgan-gp", settings={"task.train_size": 70, "networks.width": 9}).to_json()
    content = ["method", "task", "networks", "seeds", "updates", "batch", "threads", "dtype"]
    assert list(document) == ["schema", "hash", *content]
    assert document["schema"] == 1
    assert document["task"] == {"name": "blobs-4", "train_size": 70}
    assert document["networks"] == {"width": 9, "depth": 3, "latent": 2, "bounded": True, "octaves": 0}
    penalty = {"part": "GradientPenalty", "weight": 10.0, "one_sided": False, "schedule": {"part": "Constant"}}
    assert document["method"]["penalties"] == [penalty]
    kept = {name: document[name] for name in ("seeds", "updates", "batch", "threads", "dtype")}
    assert kept == {"seeds": [3, 5], "updates": 100, "batch": 16, "threads": 1, "dtype": "float32"}


def test_a_mixture_of_the_user_comes_back_equal() -> None:
    own = Mixture(name="mine", centres=((0.0, 1.0), (2.0, 3.0)), sigma=0.3, weights=(1.0, 3.0))
    one = spec("cgan", own)
    back = RunSpec.from_json(through_json(one.to_json()))
    assert back == one
    assert back.task.modes.weights.tolist() == [0.25, 0.75]


def test_keys_beside_the_spec_are_ignored_when_reading() -> None:
    assert RunSpec.from_json({**spec().to_json(), "versions": {"torch": "1.0"}, "command": "train"}) == spec()


@pytest.mark.parametrize("key", ["method", "task", "networks", "seeds", "updates", "batch", "threads", "dtype"])
def test_a_spec_that_lacks_something_is_refused(key: str) -> None:
    document = {name: value for name, value in spec().to_json().items() if name != key}
    with pytest.raises(UserError, match=f"^This spec lacks '{key}'; it was not written by uncollapse or was edited.$"):
        RunSpec.from_json(document)


def test_arrays_of_a_file_come_back_and_changed_contents_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "points.npz"
    rows().save(file)
    one = spec("cgan", f"array:{file}")
    document = through_json(one.to_json())
    back = RunSpec.from_json(document)
    assert back == one
    assert (back.task.classes, back.task.shape) == (2, (3,))
    assert one.cell == "cgan-array-points"
    rows(61).save(file)
    with pytest.raises(UserError, match=rf"^The contents of {file} have changed since this run; restore the file\.$"):
        RunSpec.from_json(document)


def test_arrays_in_memory_cannot_come_back() -> None:
    with pytest.raises(UserError, match=r"^Task 'arrays' was given as arrays in memory, .* save\(FILE\) and train on"):
        RunSpec.from_json(through_json(spec(task=rows()).to_json()))


# --- plugins --------------------------------------------------------------------------------------------------------


def test_a_part_of_the_user_needs_the_flag_and_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gentle_losses.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    loss = {"part": "Gentle", "plugin": "gentle_losses:Gentle", "scale": 0.25}
    document = spec().to_json()
    document["method"] = {**document["method"], "name": "gentle", "loss": loss}
    sentence = (
        r"^This method uses the part 'gentle_losses:Gentle', which is not built in; repeat the command with "
        r"`--plugin gentle_losses:Gentle` \(or .*`plugins=`\) if you trust that code\.$"
    )
    try:
        with pytest.raises(UserError, match=sentence):
            RunSpec.from_json(document)
        assert "gentle_losses" not in sys.modules  # nothing is imported because a file asks for it
        back = RunSpec.from_json(document, plugins=["gentle_losses:Gentle"])
    finally:
        sys.modules.pop("gentle_losses", None)
    assert back.method.loss.scale == 0.25  # type: ignore[attr-defined]
    assert back.to_json()["method"] == document["method"]


def test_a_part_of_the_user_may_be_given_as_an_object() -> None:
    one = spec(VANILLA.but(name="timid", loss=Timid(scale=0.125)))
    document = through_json(one.to_json())
    assert document["method"]["loss"] == {"part": "Timid", "plugin": f"{__name__}:Timid", "scale": 0.125}
    with pytest.raises(UserError, match=re.escape(f"`--plugin {__name__}:Timid`")):
        RunSpec.from_json(document)
    assert RunSpec.from_json(document, plugins=[Timid]) == one


# --- refusals -------------------------------------------------------------------------------------------------------


def edited(**changes: Any) -> dict[str, Any]:
    document = spec("wgan-gp").to_json()
    for path, value in changes.items():
        inner = document
        *outer, last = path.split("__")
        for key in outer:
            inner = inner[key]
        inner[last] = value
    return document


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method__loss": {"part": "Wassertein"}}, "^There is no part 'Wassertein'; did you mean 'Wasserstein'?"),
        ({"method__view": {"part": "Paked", "size": 2}}, "^There is no part 'Paked'; did you mean 'Packed'"),
        ({"method__los": {}}, "^There is no axis of a method 'los'; did you mean 'loss'? Known: conditioning, "),
        ({"method__dynamics__lr": 1.0}, "^There is no field of Dynamics 'lr'; did you mean 'lr_critic' or 'lr_gen"),
        ({"task": {"name": "ring-9"}}, "^There is no task 'ring-9'; did you mean 'ring-8'"),
        ({"task": {"name": "ring-8", "train": 3}}, "^There is no task option 'train'; did you mean 'train_size'"),
        ({"networks__widht": 8}, "'widht'; did you mean 'width'"),
        ({"networks__width": 0}, "^networks.width = 0 is not a whole number of 1 or more."),
        ({"dtype": "float63"}, "^There is no dtype 'float63'; did you mean 'float64'"),
        ({"updates": "100"}, "^updates = '100' is not possible; give a whole number of 1 or more.$"),
        ({"seeds": [1, 1]}, "^seeds = [1, 1] must be different whole numbers of 0 or more, at least one.$"),
        ({"seeds": ["1"]}, "^seeds = ['1'] must be different whole numbers of 0 or more, at least one.$"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_edited_spec_is_refused_with_the_nearest_name(changes: dict[str, Any], sentence: str) -> None:
    pattern = re.escape(sentence).replace(r"\^", "^").replace(r"\$", "$")
    with pytest.raises(UserError, match=pattern):
        RunSpec.from_json(edited(**changes))


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1,), (2, 0, 2), (1.5,), ("1",), (True,)], ids=str)
def test_impossible_seeds_are_refused(seeds: Any) -> None:
    sentence = f"seeds = {list(seeds)} must be different whole numbers of 0 or more, at least one."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        spec(seeds=seeds)


@pytest.mark.parametrize("name", ["updates", "batch", "threads"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_impossible_numbers_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"^{name} = {value} is not possible; give a whole number of 1 or more\.$"):
        spec(**{name: value})


def test_an_unknown_dtype_is_refused() -> None:
    known = "bfloat16, float32, float64"
    with pytest.raises(UserError, match=rf"^There is no dtype 'float23'; did you mean .* Known: {known}\.$"):
        spec(dtype="float23")


def test_float16_is_refused_with_its_reason() -> None:
    with pytest.raises(UserError, match=r"^float16 is not offered, because slopes .*; choose dtype bfloat16\.$"):
        spec(dtype="float16")


def test_the_hashes_of_runs_that_exist_stay_as_they_are() -> None:
    """Long comparisons are resumed by hash: what a later field adds must not move it while it is at its default."""
    assert make_spec("wgan-gp", "ring-8").hash == "8c3896bc9ed3"
    assert make_spec("vanilla", "digits").hash == "7c704d13d521"


def test_shares_and_types_are_part_of_a_run_and_survive_json() -> None:
    usual = spec()
    assert "accumulate" not in usual.content()
    for other in (spec(accumulate=2), spec(dtype="bfloat16"), spec(accumulate=2, dtype="bfloat16")):
        again = RunSpec.from_json(other.to_json())
        assert again == other
        assert again.hash == other.hash != usual.hash


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_a_number_of_shares_is_a_whole_number_of_one_or_more(value: object) -> None:
    with pytest.raises(UserError, match=f"^accumulate = {value!r} is not possible; give a whole number of 1 or more"):
        spec(accumulate=value)


def test_what_shares_or_bfloat16_would_change_is_refused_before_anything_starts() -> None:
    with pytest.raises(UserError, match="TopK depends on the whole batch at once, so that 2 shares of it"):
        make_spec("top-k", "ring-8", accumulate=2)
    with pytest.raises(UserError, match="BoundaryEquilibrium scores by the small difference between a sample and"):
        make_spec("began", "ring-8", dtype="bfloat16")


@pytest.mark.parametrize("batch", [16, 17])
def test_a_batch_must_hold_whole_packs(batch: int) -> None:
    sentence = rf"^Packed\(3\) cannot split a batch of {batch}; choose a multiple of 3\.$"
    with pytest.raises(UserError, match=sentence):
        spec(VANILLA.but(name="pacgan-3", view=Packed(3)), batch=batch)
    assert spec(VANILLA.but(name="pacgan-3", view=Packed(3)), batch=18).batch == 18


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.labelled])
def test_a_conditional_method_needs_labels(name: str) -> None:
    assert spec(name, rows()).task.classes == 2
    sentence = f"^{name} needs labels, and this task has none; choose a labelled task, or an unconditional method"
    with pytest.raises(UserError, match=sentence):
        spec(name, rows(labelled=False))
    assert {name for name, row in METHODS.items() if row.labelled} == {"cgan", "cwgan-gp", "projection", "ac-gan"}


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("dynamics.lr_crit", 1.0, "There is no setting of vanilla 'dynamics.lr_crit'; did you mean 'dynamics.lr_c"),
        ("dynamic.clip", 1.0, "There is no setting 'dynamic.clip'; did you mean 'dynamics.clip'"),
        ("dynamics", 1.0, "There is no setting 'dynamics'; did you mean 'dynamics."),
        ("penalties.0.weight", 1.0, "There is no setting of vanilla 'penalties.0.weight'. Known: dynamics.betas, "),
        ("name", "mine", "There is no setting 'name'. Known: dynamics.betas, "),
        ("networks.widht", 8, "There is no setting 'networks.widht'; did you mean 'networks.width'"),
        ("networks", 8, "There is no setting 'networks'; did you mean 'networks."),
        ("task.trainsize", 8, "There is no task option 'trainsize'; did you mean 'train_size'? Known: measure_size, "),
        ("task.train_size", 0, "train_size must be a whole number of at least 1, not 0; leave it out for a fresh"),
        ("dynamics.lr_critic", "fast", "dynamics.lr_critic = 'fast' is not of the right kind; give a number, as "),
        ("dynamics.critic_steps", 1.5, "dynamics.critic_steps = 1.5 is not of the right kind; give a whole number"),
        ("dynamics.betas", ["a", "b"], "dynamics.betas = ['a', 'b']"),
        ("loss", 1.0, "There is no setting 'loss'"),
        ("dynamics.schedule", 1.0, "dynamics.schedule is a part, not a number; set one of its own numbers"),
        ("networks.depth", 2.0, "networks.depth = 2.0 is not a whole number of 1 or more."),
    ],
)
def test_an_impossible_setting_is_refused(path: str, value: Any, sentence: str) -> None:
    with pytest.raises(UserError, match="^" + re.escape(sentence)):
        spec(settings={path: value})


def test_unknown_methods_and_tasks_are_refused() -> None:
    sentence = "^There is no method 'wgan-pg'; did you mean 'wgan-gp'.*`uncollapse methods` lists them"
    with pytest.raises(UserError, match=sentence):
        spec("wgan-pg")
    with pytest.raises(UserError, match=r"^There is no task 'ring-9'; did you mean 'ring-8'\? Known: "):
        spec(task="ring-9")


# --- names and defaults ---------------------------------------------------------------------------------------------


def test_settings_reach_method_task_and_networks() -> None:
    one = spec(
        "wgan-gp",
        settings={
            "penalties.0.weight": 1, "penalties.0.one_sided": True, "dynamics.betas": [0.1, 0.2],
            "task.train_size": 40, "networks.width": 9, "networks.bounded": False,
        },
    )  # fmt: skip
    assert one.method.penalties == (GradientPenalty(weight=1.0, one_sided=True),)
    assert one.method.dynamics.betas == (0.1, 0.2)
    assert (one.task.train_size, one.networks) == (40, MLP(width=9, bounded=False))
    assert METHODS["wgan-gp"].penalties == (GradientPenalty(weight=10.0),)  # the row itself stays


def test_what_is_left_out_is_the_task_s_own() -> None:
    one = make_spec("vanilla", "digits")
    task = find("digits")
    assert (one.updates, one.batch, one.networks) == (task.updates, task.batch, task.networks)
    assert (one.seeds, one.threads, one.dtype) == (tuple(range(8)), 1, "float32")
    assert one.networks == MLP(latent=16, bounded=True)


def test_objects_may_be_given_in_place_of_names() -> None:
    assert spec(METHODS["wgan"], find("ring-8"), networks=MLP()) == spec("wgan", "ring-8", networks=MLP())
    for seeds in ([3, 5], iter((3, 5)), range(3, 6, 2), np.array([3, 5])):
        assert spec(seeds=seeds).hash == spec().hash


def test_a_setting_that_is_not_finite_is_refused() -> None:
    with pytest.raises(UserError, match=r"penalties\.0\.weight = nan is not a finite number"):
        make_spec("wgan-gp", "ring-8", seeds=[0], settings={"penalties.0.weight": float("nan")})


def test_updates_belong_to_the_hash_only_where_a_part_reads_the_budget() -> None:
    falling = VANILLA.but(name="falling", dynamics=Dynamics(schedule=Cosine(final=0.1)))
    for method, same in ((VANILLA, True), (falling, False)):
        few, many = (make_spec(method, "ring-8", seeds=[0], updates=updates).hash for updates in (10, 1000))
        assert (few == many) is same


def test_the_number_of_judged_samples_counts_for_arrays_in_memory_too() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    usual, given, fewer = (
        make_spec("vanilla", Arrays(rows, **size), seeds=[0])
        for size in ({}, {"measure_size": 10_000}, {"measure_size": 100})
    )
    assert usual.hash == given.hash != fewer.hash
    assert "measure_size" not in usual.content()["task"]
    assert fewer.content()["task"]["measure_size"] == 100


def test_the_number_of_judged_samples_survives_json_and_counts() -> None:
    task = Mixture(name="mine", centres=((0.0, 0.0), (1.0, 1.0)), sigma=0.1)
    usual = make_spec("vanilla", task, seeds=[0])
    more = make_spec("vanilla", replace(task, measure_size=50_000), seeds=[0])
    assert "measure_size" not in usual.content()["task"]
    assert RunSpec.from_json(more.to_json()).task.measure_size == 50_000
    assert more.hash != usual.hash


def test_a_monitor_survives_json_and_its_absence_leaves_the_hash_as_it_was() -> None:
    usual, watched = spec(), spec(monitor=MonitorChoice(every=100, weights="averaged"))
    assert "monitor" not in usual.content()
    assert watched.content()["monitor"]["every"] == 100
    again = RunSpec.from_json(json.loads(json.dumps(watched.to_json())))
    assert again == watched
    assert again.hash == watched.hash


def test_a_monitor_is_asked_for_by_number_by_choice_or_by_setting() -> None:
    def monitor(**options: Any) -> MonitorChoice | None:
        return make_spec("vanilla", "ring-8", seeds=[0], **options).monitor

    assert monitor() is None
    assert monitor(monitor=250) == MonitorChoice(every=250)
    assert monitor(monitor=MonitorChoice(margin=0.05)) == MonitorChoice(margin=0.05)
    assert monitor(settings={"monitor.every": 250}) == MonitorChoice(every=250)
    both = monitor(monitor=250, settings={"monitor.on_alarm": "stop", "monitor.samples": 40})
    assert both == MonitorChoice(every=250, on_alarm="stop", samples=40)
    with pytest.raises(UserError, match=r"no setting 'monitor\.evry'; did you mean 'monitor\.every'"):
        monitor(settings={"monitor.evry": 250})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"networks": "mlp"}, r"^networks must be settings of a family, such as uc\.MLP\(width=64\), not 'mlp'\.$"),
        ({"networks": {}}, "networks must be settings of a family"),
        ({"settings": "dynamics.lr_critic=1"}, "settings must be values by path, such as .*not 'dynamics"),
        ({"settings": [1]}, r"settings must be values by path, .*, not \[1\]"),
    ],
    ids=str,
)
def test_networks_and_settings_of_another_type_are_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make_spec("vanilla", "ring-8", **given)


def test_a_run_from_before_names_were_looked_at_is_read() -> None:
    document = spec(VANILLA.but(name="mine")).to_json()
    document["method"]["name"] = "mine/other"
    assert RunSpec.from_json(document).method.name == "mine/other"
    with pytest.raises(UserError, match=r"A method cannot be called 'mine/other'"):
        spec(VANILLA.but(name="mine/other"))
