"""What tells a user's own task from another of its name, and that the project's tasks have none of it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import uncollapse
from uncollapse.draws import Draw
from uncollapse.errors import UserError
from uncollapse.spec import RunSpec, make_spec
from uncollapse.tasks import Arrays, Mixture, find, from_spec, register
from uncollapse.tasks.identity import is_own, own_code, own_fields, own_identity, where_defined
from uncollapse.tasks.task import Batch, Modes, Source, Task


@dataclass(frozen=True, kw_only=True, eq=False)
class Halves(Task):
    """Two modes, left and right."""

    options: ClassVar[tuple[str, ...]] = ("train_size", "radius")

    name: str = "halves"
    radius: float = 1.0
    table: Any = None
    notes: Any = field(default=None, compare=False)
    parts: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return (2,)

    @property
    def classes(self) -> int:
        return 0

    @property
    def modes(self) -> Modes:
        return Modes(names=("left", "right"), weights=torch.tensor([0.5, 0.5], dtype=torch.float64))

    def sample(self, n: int, draw: Draw) -> Batch:
        return self.radius * draw.normal(n, 2), None

    def held_out(self, n: int, draw: Draw) -> Batch:
        return self.sample(n, draw)

    def source(self, seed: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Source:
        return self.sample

    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        finite = torch.isfinite(x).all(1)
        return (x[:, 0] > 0).long().where(finite, torch.tensor(-1)), finite


@dataclass(frozen=True, kw_only=True, eq=False)
class Shifted(Mixture):
    """A built-in family with something of one's own."""

    shift: float = 0.0


@dataclass(frozen=True)
class Setting:
    """What a field may hold."""

    strength: float
    words: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Otherwise(Halves):
    """Another class of the same fields."""


def run_hash(task: Task) -> str:
    return make_spec("vanilla", task, seeds=[0]).hash


def test_the_projects_tasks_are_told_as_ever() -> None:
    """Their hashes name directories that results cite."""
    for task in (find("ring-8"), find("digits", train_size=50), Arrays(np.eye(60)), Mixture(**POINTS)):
        assert not is_own(task)
        assert (own_code(task), own_identity(task), own_fields(task)) == ({}, {}, [])
        assert "class" not in task.spec()
    assert run_hash(find("ring-8")) == "312937e4c50a"
    assert run_hash(dataclasses.replace(find("digits"), measure_size=77)) == "21efb990b700"


POINTS: dict[str, Any] = {"name": "points", "centres": ((-1.0, 0.0), (1.0, 0.0)), "sigma": 0.1}


def test_a_task_with_default_fields_is_found_by_the_hash_it_had() -> None:
    """The class is told beside the hash, because runs from before it was told are to be found."""
    assert Halves().spec() == {"name": "halves", "class": "Halves"}
    assert run_hash(Halves()) == run_hash(Otherwise())
    assert Halves() != Otherwise()
    assert own_code(Halves()).keys() == own_code(Otherwise()).keys() == {"task 'halves'"}
    assert own_code(Halves()) != own_code(Otherwise())


@pytest.mark.parametrize(
    "changes",
    [
        {"radius": 2.0},
        {"measure_size": 50},
        {"parts": [1, 2]},
        {"table": np.arange(3)},
        {"table": np.arange(3.0)},
        {"table": torch.arange(3)[:, None]},
        {"table": float("inf")},
        {"table": {"a": (1, Path("x"))}},
        {"table": Setting(0.5)},
        {"table": Setting(0.6)},
        {"table": nn.Linear(2, 1)},
        {"table": find("ring-8")},
        {"table": np.float64(0.25)},
    ],
)
def test_every_field_of_its_own_counts(changes: dict[str, Any]) -> None:
    plain, other = Halves(), Halves(**changes)
    assert run_hash(plain) != run_hash(other)
    again = Halves(**{key: value.copy() if isinstance(value, np.ndarray) else value for key, value in changes.items()})
    assert run_hash(again) == run_hash(other)
    assert json.loads(json.dumps(other.spec(), allow_nan=False)) == other.spec()
    register(other)
    assert RunSpec.from_json(make_spec("vanilla", other, seeds=[0]).to_json()).task.spec() == other.spec()


def test_different_values_are_told_apart() -> None:
    values = [np.arange(3), np.arange(3.0), np.arange(3)[:, None], Setting(0.5), Setting(0.6), [0, 1, 2], (0.0, 1, 2.5)]
    values += [nn.Linear(2, 1), nn.Linear(2, 1), float("inf"), float("-inf"), find("ring-8"), find("grid-25")]
    told = [json.dumps(Halves(table=value).spec()) for value in values]
    assert len(set(told)) == len(values)
    assert Halves(table=Setting(0.5, words="a")).spec() == Halves(table=Setting(0.5, words="b")).spec()


def test_what_is_declared_to_decide_nothing_does_not_count() -> None:
    assert Halves(notes=print).spec() == Halves().spec()


@pytest.mark.parametrize(("value", "kind"), [(threading.Lock(), "lock"), ([sys.__stderr__], "TextIOWrapper")])
def test_a_field_by_which_nothing_is_known_again_is_refused(value: object, kind: str) -> None:
    message = (
        rf"Field 'table' of task 'halves' holds a {kind}, by which no run is known again; .*field\(compare=False\)"
    )
    with pytest.raises(UserError, match=message):
        make_spec("vanilla", Halves(table=value), seeds=[0])


def test_a_field_of_a_family_of_the_project_is_its_own_business() -> None:
    task = Shifted(**POINTS, shift=0.5)
    assert own_fields(task) == ["shift"]
    assert task.spec() == {**Mixture(**POINTS).spec(), "class": "Shifted", "shift": 0.5}


def test_it_is_read_back_only_where_it_is_registered() -> None:
    """A mixture with something of one's own came back as a plain mixture, and was judged as one."""
    for task in (Shifted(**POINTS, shift=0.5), Halves(radius=2.0)):
        name, kind = task.name, type(task).__name__
        with pytest.raises(UserError, match=rf"Task '{name}' is the user's own \(class {kind}\) and not known here"):
            from_spec(task.spec())
        told = {"plugin": "", "file": "my.py"}
        with pytest.raises(UserError, match=rf"\(class {kind} in my\.py\) and .* `--plugin module:attr` that names it"):
            from_spec(task.spec(), told)
        told = {"plugin": "my:TASK", "file": "my.py"}
        with pytest.raises(
            UserError, match=r"not known here; repeat the command with the `--plugin my:TASK` that it was"
        ):
            from_spec(task.spec(), told)
        register(task)
        back = from_spec(task.spec())
        assert type(back) is type(task)
        assert back.spec() == task.spec()
        assert from_spec(json.loads(json.dumps(task.spec()))) == task


def test_another_definition_under_its_name_is_refused() -> None:
    register(Halves())
    for told in (Halves(table=[1]).spec(), Otherwise().spec()):
        with pytest.raises(UserError, match=r"Task 'halves' is defined otherwise than in this run; restore"):
            from_spec(told)
    assert from_spec(Halves(radius=3.0).spec()) == Halves(radius=3.0)  # an option may be another
    assert from_spec({"name": "halves"}) == Halves()  # a run from before specs told the class


def test_a_run_from_before_fields_were_told_is_read_with_the_fields_that_are_registered() -> None:
    task = Halves(table=[1], radius=2.0)
    register(task)
    assert from_spec({"name": "halves", "radius": 2.0}).spec() == task.spec()
    with pytest.raises(UserError, match="is defined otherwise than in this run"):
        from_spec({"name": "halves"})  # an option that was another


def test_the_default_of_a_field_moves_no_stream() -> None:
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Drawn(Halves):
        start: Any = field(default_factory=lambda: np.random.rand(2) + torch.rand(1).item())  # noqa: NPY002

    task = Drawn()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    task.spec()
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize(
    "task", [Halves(measure_size=500), Mixture(**POINTS, measure_size=500), Arrays(np.eye(60), measure_size=500)]
)
def test_the_number_of_judged_samples_comes_back(task: Task) -> None:
    """A registered mixture that judges another number was taken for another task."""
    spec = make_spec("vanilla", task, seeds=[0])
    if not isinstance(task, Arrays):
        register(dataclasses.replace(task, measure_size=700))
        assert RunSpec.from_json(spec.to_json()).task.measure_size == 500
        plain = make_spec("vanilla", dataclasses.replace(task, measure_size=10_000), seeds=[0])
        assert RunSpec.from_json(plain.to_json()).task.measure_size == 10_000
    register(task)
    back = RunSpec.from_json(spec.to_json())
    assert (back.task.measure_size, back.hash) == (500, spec.hash)


def test_the_file_is_told_without_its_folder() -> None:
    assert where_defined(Halves()) == "test_identity.py"


def test_the_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy, test_identity as t;"
        "from uncollapse.tasks.identity import own_code;"
        "task = t.Halves(table={'b': numpy.arange(4), 'a': t.Setting(1.0)}); print(own_code(task), t.run_hash(task))"
    )
    here = {**os.environ, "PYTHONPATH": str(Path(uncollapse.__file__).parents[1])}
    found = {
        subprocess.run(
            [sys.executable, "-c", script, str(Path(__file__).parent)], env={**here, "PYTHONHASHSEED": seed},
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    table = {"b": np.arange(4), "a": Setting(1.0)}
    (text,) = found
    assert text.strip() == f"{own_code(Halves(table=table))} {run_hash(Halves(table=table))}"


def code_after(edit: Callable[[str], str], folder: Path, name: str) -> dict[str, str]:
    """The code of a task in a module of one's own after an edit."""
    text = (
        "from dataclasses import dataclass\nfrom uncollapse.tasks import Mixture\nREACH = 3\n"
        "@dataclass(frozen=True, kw_only=True, eq=False)\nclass Mine(Mixture):\n"
        "    def assign(self, x):\n        return super().assign(x * REACH)  # words\n"
        "TASK = Mine(name='mine', centres=((0., 0.), (1., 1.)), sigma=.1)\n"
    )
    (folder / f"{name}.py").write_text(edit(text))
    sys.path.insert(0, str(folder))
    try:
        return own_code(__import__(name).TASK)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(name)


def test_its_code_counts_and_words_about_it_do_not(tmp_path: Path) -> None:
    before = code_after(str, tmp_path, "mine_a")
    assert before.keys() == {"task 'mine'"}
    assert code_after(lambda text: text.replace("words", "other words"), tmp_path, "mine_b") == before
    assert code_after(lambda text: text.replace("x * REACH", "x / REACH"), tmp_path, "mine_c") != before
    assert code_after(lambda text: text.replace("REACH = 3", "REACH = 4"), tmp_path, "mine_d") != before
