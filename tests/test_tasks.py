from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test

import uncollapse
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.tasks import TASKS, Mixture, find, register

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


def test_a_task_is_found_as_itself() -> None:
    task = find("blobs-3")
    assert find(task) == task
    assert find(task, train_size=5).train_size == 5
