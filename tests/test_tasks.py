from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch

import uncollapse
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.spec import make_spec
from uncollapse.tasks import TASKS, Arrays, Mixture, Task, find, from_spec, register, registered_as


@dataclass(frozen=True, kw_only=True, eq=False)
class Mine(Mixture):
    """A task of one's own."""


NEED_DATA = ("mnist", "fashion-mnist", "stacked-mnist")


def test_the_list_holds_every_family() -> None:
    mixtures = ["ring-8", "grid-25", "grid-100", "blobs-K", "unequal-K"]
    images = ["digits", "mnist", "fashion-mnist", "stacked-digits", "stacked-mnist"]
    assert list(TASKS) == [*mixtures, *images, "array:FILE", "folder:PATH"]
    assert all(family.summary.endswith(".") for family in TASKS.values())


def test_the_list_needs_no_data(tmp_path: Path) -> None:
    code = "from uncollapse.console import list_tasks, show_json; show_json([list_tasks(None), list_tasks('mnist')])"
    nowhere = {"UNCOLLAPSE_DATA": str(tmp_path), "UNCOLLAPSE_CACHE": str(tmp_path), "UNCOLLAPSE_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, **nowhere, "PYTHONPATH": str(Path(uncollapse.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    families, (mnist,) = json.loads(done.stdout)
    assert [family["name"] for family in families] == list(TASKS)
    assert (mnist["shape"], mnist["weights"][1], mnist["networks"]["family"]) == ([28, 28], 0.112367, "dcgan")


@pytest.mark.parametrize("example", [family.example for family in TASKS.values() if family.example])
def test_every_example_can_be_sampled_and_judged(
    example: str, request: pytest.FixtureRequest, global_random_untouched: None
) -> None:
    if example in NEED_DATA:
        request.getfixturevalue("data_folder")
    task = find(example)
    x, labels = task.sample(200, stream(0, "test"))
    assert x.shape == (200, *task.shape)
    assert labels.max() < task.classes
    mode, good = task.assign(x)
    # Of a stack all three digits have to be of high quality.
    assert good.double().mean() > (0.75 if example.startswith("stacked") else 0.9)
    assert (mode == labels).double().mean() > 0.95
    assert float(task.modes.weights.sum()) == pytest.approx(1)
    assert len(task.modes.names) == len(task.modes.weights)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("ring8", "ring-8"), ("blob-8", "blobs-K"), ("digit", "digits"), ("grid-52", "grid-25"), ("mnits", "mnist")],
)
def test_an_unknown_task_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UserError, match=rf"There is no task '{name}'; did you mean .*'{nearest}'"):
        find(name)


@pytest.mark.parametrize(
    "name", ["digits", "mnist", "fashion-mnist", "stacked-digits", "stacked-mnist", "ring-8", "blobs-9", "array:a.npz",
             "folder:photos"]
)  # fmt: skip
def test_a_built_in_name_cannot_be_taken(name: str) -> None:
    mine = Mixture(name=name, centres=((0, 0), (1, 1)), sigma=0.1)
    with pytest.raises(UserError, match=rf"A task named '{name}' is built in; give yours another name"):
        register(mine)


@pytest.mark.parametrize(
    "task",
    [
        Mixture(name="ring-8", centres=((0, 0), (1, 1)), sigma=0.1),
        Mixture(name="ring-8", centres=find("ring-8").centres, sigma=0.01, weights=(2, *(1,) * 7)),  # type: ignore[attr-defined]
        Arrays(np.eye(60), name="digits"),
        Arrays(np.eye(60), name="folder:photos"),
        Mine(name="array:a.npz", centres=((0, 0), (1, 1)), sigma=0.1),
        Mine(name="ring-8", centres=find("ring-8").centres, sigma=0.01),  # type: ignore[attr-defined]
    ],
)
def test_a_task_of_ones_own_is_not_trained_under_a_built_in_name(task: Task) -> None:
    """Its runs would be shown as those of the built-in task."""
    with pytest.raises(UserError, match=rf"A task named '{task.name}' is built in; give yours another name"):
        make_spec("vanilla", task, seeds=[0])
    other = "mine" if isinstance(task, Mixture) else "points"
    assert make_spec("vanilla", replace(task, name=other), seeds=[0]).task.name == other


@pytest.mark.parametrize("name", ["ring-8", "grid-100", "blobs-12", "unequal-7", "digits", "stacked-digits"])
def test_the_projects_own_tasks_keep_their_names_with_every_option(name: str) -> None:
    task = find(name)
    changes: dict[str, object] = {"train_size": 100} | ({"scale": 0.3} if isinstance(task, Mixture) else {})
    assert find(replace(task.but(**changes), measure_size=50)).name == name


@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_a_task_has_a_name(name: Any) -> None:
    with pytest.raises(UserError, match=rf"The name of a task is {name!r}; give it a text"):
        make_spec("vanilla", Mine(name=name, centres=((0, 0), (1, 1)), sigma=0.1), seeds=[0])


def test_a_class_is_no_task() -> None:
    with pytest.raises(UserError, match=r"Task Mine is a class; give an instance, such as Mine\(\)"):
        make_spec("vanilla", Mine, seeds=[0])  # type: ignore[arg-type]


def test_what_named_a_task_is_known_while_it_is_registered_so() -> None:
    task = Mine(name="mine", centres=((0, 0), (1, 1)), sigma=0.1)
    assert registered_as(task) is None
    register(task, "my:TASK")
    assert registered_as(task.but(scale=2)) == "my:TASK"
    register(task)
    assert registered_as(task) == ""


def test_a_spec_of_a_task_that_is_nowhere_says_what_to_do() -> None:
    message = (
        r"no task 'digitz'; did you mean 'digits' .*\? If it is the user's own, name it with `--plugin module:attr`\."
    )
    with pytest.raises(UserError, match=message):
        from_spec({"name": "digitz"})
    arrays = Arrays(np.eye(60), name="ring-8").spec()
    with pytest.raises(UserError, match=r"Task 'ring-8' was given as arrays in memory"):
        from_spec(arrays)
    with pytest.raises(UserError, match=r"Task 'ring-8' is the user's own .* `--plugin my:X` that it was trained with"):
        from_spec(arrays, {"plugin": "my:X"})
    with pytest.raises(UserError, match="There is no task 'gone'"):
        from_spec({"name": "gone"}, ["my:X"])  # what a damaged file may hold


def test_a_task_is_found_as_itself() -> None:
    task = find("blobs-3")
    assert find(task) == task
    assert find(task, train_size=5).train_size == 5


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            np.zeros((60, 2)),
            r"^task is data \(ndarray of shape \(60, 2\)\), not a task; give uc\.tasks\.Arrays\(x\), or",
        ),
        (torch.zeros(60, 2), r"^task is data \(Tensor of shape \(60, 2\)\), not a task"),
        ([[0.0, 1.0]], r"^task is data \(list\), not a task"),
        (None, r"^task must be a name, such as 'ring-8', or a task, such as uc\.tasks\.Arrays\(x\), not NoneType\.$"),
        ("points.NPZ", r"^There is no task 'points\.NPZ'; a file or folder of your own is 'array:points\.NPZ'\.$"),
        (Path("rows.csv"), r"a file or folder of your own is 'array:rows\.csv'"),
        (str(Path(__file__).parent), r"a file or folder of your own is 'folder:.*tests'"),
        ("x" * 5_000, "^There is no task 'x+'. Known: "),
        ("", "^There is no task ''; did you mean 'array:FILE'"),
    ],
    ids=str,
)
def test_what_is_given_in_place_of_a_task_is_told_what_to_become(given: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        find(given)
