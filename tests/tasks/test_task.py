from __future__ import annotations

from dataclasses import InitVar, dataclass

import pytest
import sklearn.neighbors  # noqa: F401 - sets OpenMP's environment variables at its first import, which is no leak of a test
import torch

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.tasks import Arrays, Mixture, find, from_spec
from uncollapse.tasks.task import rows, training_rows


def pair(weights: tuple[float, ...]) -> Mixture:
    centres = tuple((float(10 * k), 0.0) for k in range(len(weights)))
    return Mixture(name="mine", centres=centres, sigma=0.1, weights=weights)


def test_balanced_labels_are_the_largest_remainder_apportionment() -> None:
    # Exact shares of 10: 4.7, 3.3, 2.0 -> floors 4, 3, 2, and the one seat left goes to the largest remainder .7.
    labels = pair((0.47, 0.33, 0.20)).balanced_labels(10)
    assert labels.tolist() == [0] * 5 + [1] * 3 + [2] * 2
    assert pair((0.5, 0.5)).balanced_labels(5).tolist() == [0, 0, 0, 1, 1]
    assert torch.bincount(find("blobs-4").balanced_labels(10_000)).tolist() == [2500] * 4


def test_balanced_labels_need_labels() -> None:
    task = Arrays(torch.randn(60, 2).numpy(), clusters=2)
    with pytest.raises(UserError, match="has no labels"):
        task.balanced_labels(10)


def test_options_change_the_spec_and_survive_json() -> None:
    task = find("blobs-16").but(train_size=10_000)
    assert task.spec() == {"name": "blobs-16", "train_size": 10_000}
    assert from_spec(task.spec()) == task
    assert hash(from_spec(task.spec())) == hash(task)
    assert task != find("blobs-16")
    assert find("ring-8").spec() == {"name": "ring-8"}


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no task option 'train_sise'; did you mean 'train_size'"):
        find("ring-8").but(train_sise=3)


class Grown(Mixture):
    """A user's own with an `__init__` in place of fields."""

    def __init__(self, count: int) -> None:
        super().__init__(name="grown", centres=tuple((float(k), 0.0) for k in range(count)), sigma=0.1)


class Swallowing(Grown):
    """One whose `__init__` takes everything and keeps nothing."""

    def __init__(self, count: int = 3, **others: object) -> None:
        super().__init__(count)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seeded(Mixture):
    """One that needs more than its fields."""

    start: InitVar[int]

    def __post_init__(self, start: int) -> None:
        super().__post_init__()


def test_a_class_with_an_init_of_its_own_is_taken_as_it_is_and_says_what_it_cannot_change() -> None:
    task = Grown(3)
    assert find(task) is task
    with pytest.raises(UserError, match=r"Task 'grown' cannot be made again with train_size changed .* Grown holds as"):
        find(task, train_size=100)
    with pytest.raises(UserError, match=r"Task 'grown' does not take up train_size=100; declare what Swallowing holds"):
        find(Swallowing(), train_size=100)
    seeded = Seeded(name="seeded", centres=((0.0, 0.0), (1.0, 1.0)), sigma=0.1, start=3)
    with pytest.raises(UserError, match=r"Task 'seeded' cannot be made again with train_size changed .*'start'"):
        find(seeded, train_size=100)


@pytest.mark.parametrize("size", [0, -3, 2.5, "ten", True])
def test_train_size_is_a_positive_whole_number(size: object) -> None:
    with pytest.raises(UserError, match=r"train_size must be a whole number of at least 1, not .*fresh sample"):
        find("ring-8", train_size=size)


def test_train_size_cannot_exceed_real_data() -> None:
    with pytest.raises(UserError, match=r"train_size=5000 is more than the 1352 training rows of task 'digits'"):
        find("digits", train_size=5000)


def test_rows_come_from_the_set_with_their_own_labels() -> None:
    x = torch.arange(12.0).reshape(6, 2)
    real, labels = rows(x, torch.arange(6), device="cpu", dtype=torch.float64)(1000, stream(0, "batch"))
    assert real.dtype == torch.float64
    assert labels is not None
    torch.testing.assert_close(real[:, 0], 2 * labels.double())
    assert set(labels.tolist()) == set(range(6))


def test_training_rows_are_a_fixed_subset_of_each_seed() -> None:
    assert training_rows(0, 5, None).tolist() == [0, 1, 2, 3, 4]
    first = training_rows(3, 100, 20)
    assert len(set(first.tolist())) == 20
    assert torch.equal(first, training_rows(3, 100, 20))
    assert not torch.equal(first, training_rows(4, 100, 20))


def test_slugs_are_file_names() -> None:
    assert find("ring-8").slug == "ring-8"
    assert Mixture(name="my own/mixture!", centres=((0, 0), (1, 1)), sigma=0.1).slug == "my-own-mixture"


@pytest.mark.parametrize(("name", "share"), [("ring-8", 0.98889), ("digits", 0.95), ("stacked-digits", 0.857)])
def test_the_quality_of_real_data_is_what_real_data_show(name: str, share: float) -> None:
    task = find(name)
    real, _ = task.held_out(4_000, stream(0, "quality"))
    assert task.real_quality == pytest.approx(share, abs=0.001)
    assert float(task.assign(real)[1].double().mean()) == pytest.approx(share, abs=0.02)
