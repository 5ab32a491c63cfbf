from __future__ import annotations

import pytest
import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.tasks import TASKS, find


def test_the_list_holds_every_family() -> None:
    assert list(TASKS) == ["ring-8", "grid-25", "grid-100", "blobs-K", "unequal-K", "digits", "array:FILE"]
    assert all(family.summary.endswith(".") for family in TASKS.values())


@pytest.mark.parametrize("example", [family.example for family in TASKS.values() if family.example])
def test_every_example_can_be_sampled_and_judged(example: str, global_random_untouched: None) -> None:
    task = find(example)
    x, labels = task.sample(200, stream(0, "test"))
    assert x.shape == (200, *task.shape)
    assert labels.max() < task.classes
    mode, good = task.assign(x)
    assert good.double().mean() > 0.9
    assert (mode == labels).double().mean() > 0.95
    assert float(task.modes.weights.sum()) == pytest.approx(1)
    assert len(task.modes.names) == len(task.modes.weights)


@pytest.mark.parametrize(
    ("name", "nearest"), [("ring8", "ring-8"), ("blob-8", "blobs-K"), ("digit", "digits"), ("grid-52", "grid-25")]
)
def test_an_unknown_task_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UserError, match=rf"There is no task '{name}'; did you mean .*'{nearest}'"):
        find(name)


def test_a_task_is_found_as_itself() -> None:
    task = find("blobs-3")
    assert find(task) == task
    assert find(task, train_size=5).train_size == 5
