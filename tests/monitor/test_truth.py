"""References of our own tasks: cells are true modes with true shares, counted by hand and from outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from uncollapse.draws import stream
from uncollapse.monitor import CollapseMonitor, truth
from uncollapse.monitor.reference import Reference
from uncollapse.monitor.truth import MOST_MODES, Places, look_size
from uncollapse.tasks import Mixture, find
from uncollapse.tasks.arrays import Arrays
from uncollapse.tasks.task import Task


@dataclass(frozen=True, kw_only=True, eq=False)
class Mine(Mixture):
    """A task of one's own."""


def task_reference(task: Task, *, samples: int) -> Reference:
    return truth.task_reference(task, samples=samples, cache=False)


@pytest.mark.parametrize(
    ("name", "size"),
    [("blobs-8", 500), ("blobs-25", 500), ("blobs-26", 520), ("blobs-100", 2_000), ("blobs-101", 500)],
)
def test_a_look_has_twenty_fakes_for_each_mode(name: str, size: int) -> None:
    assert look_size(find(name)) == size
    assert MOST_MODES == 100


def test_shares_are_the_true_ones_and_not_those_of_the_rows() -> None:
    task = find("unequal-4")
    found = task_reference(task, samples=500)
    assert found.cells.names == task.modes.names
    # 1, 1/2, 1/3 and 1/4 out of 25/12.
    np.testing.assert_allclose(found.cells.weights, np.array([12, 6, 4, 3]) / 25, rtol=1e-12)
    counted = np.bincount(found.cells.of_real) / len(found)
    assert (counted != found.cells.weights).all()
    assert abs(counted - found.cells.weights).max() < 0.05


def test_a_fake_is_in_the_cell_of_its_mode_or_in_none() -> None:
    task = find("blobs-4")
    found = task_reference(task, samples=500)
    x, component = task.sample(400, stream(7, "test"))
    assert component is not None
    encoded = found.encode(x)
    cells = found.cells.assign(encoded.rows, encoded.classes)
    inside = cells >= 0
    assert inside.mean() > 0.98
    assert (cells[inside] == component.numpy()[inside]).all()
    away = found.encode(x + 5)
    assert (found.cells.assign(away.rows, away.classes) == -1).all()


def test_another_code_of_a_users_own_task_is_another_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells of the code before were taken from the cache; `assign` may say otherwise of the same rows."""
    theirs, mine = find("blobs-4"), Mine(name="mine", centres=((0.0, 0.0), (1.0, 1.0)), sigma=0.1)
    before = [task_reference(task, samples=500).digest for task in (theirs, mine)]
    monkeypatch.setattr("uncollapse.tasks.identity.digest", lambda kind: "another")
    after = [task_reference(task, samples=500).digest for task in (theirs, mine)]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_what_is_not_finite_is_in_no_cell() -> None:
    task = find("blobs-4")
    x = task.sample(60, stream(7, "test"))[0]
    x[:50] = torch.nan
    monitor = CollapseMonitor(task_reference(task, samples=60), samples=60)
    verdict = monitor.update(fake=x, step=0)
    assert sum(made for _, made in verdict.shares.values()) <= 10 / 60 + 1e-9
    assert "50 fakes are not finite" in verdict.sentence


def test_lost_modes_are_named_by_the_task() -> None:
    task = find("digits")
    x, labels = task.sample(1_500, stream(3, "test"))
    assert labels is not None
    kept = x[(labels != 3) & (labels != 8)][:500]
    monitor = CollapseMonitor(task_reference(task, samples=500), samples=500)
    verdict = monitor.update(fake=kept, step=0)
    assert {lost.mode for lost in verdict.what_is_missing} == {"digit 3", "digit 8"}
    assert verdict.coverage == pytest.approx(0.8, abs=0.03)


def test_many_modes_are_watched_as_clusters() -> None:
    found = task_reference(find("blobs-121"), samples=500)
    assert found.cells.kind == "cluster"
    assert 2 <= len(found.cells) <= 40


def test_a_mode_that_no_real_row_shows_is_in_no_cell() -> None:
    places = Places(np.array([0, 2]), 4)
    assert places(np.array([0, 1, 2, 3, -1])).tolist() == [0, -1, 1, -1, -1]


def test_a_users_own_labels_are_its_cells() -> None:
    draws = np.random.default_rng(5)
    labels = np.repeat(["left", "right"], [150, 50])
    x = draws.standard_normal((200, 3)) + 8 * (labels == "right")[:, None]
    found = task_reference(Arrays(x, labels), samples=100)
    assert found.cells.names == ("label left", "label right")
    np.testing.assert_allclose(found.cells.weights, [0.75, 0.25], atol=0.01)


def test_two_references_of_a_task_are_the_same_to_the_last_bit() -> None:
    one, other = (task_reference(find("blobs-4"), samples=100) for _ in range(2))
    assert one.digest == other.digest
    assert task_reference(find("blobs-4"), samples=101).digest != one.digest
    assert torch.equal(one.cells.centres, other.cells.centres)
    assert torch.equal(one.ordinary.anchor_rows, other.ordinary.anchor_rows)


def test_the_cache_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path))
    task = find("unequal-4")
    first, again = (truth.task_reference(task, samples=100) for _ in range(2))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
    without = task_reference(task, samples=100)
    for one in (again, without):
        assert one.digest == first.digest
        assert torch.equal(one.cells.centres, first.cells.centres)
        np.testing.assert_array_equal(one.cells.weights, first.cells.weights)
        np.testing.assert_array_equal(one.ordinary.low, first.ordinary.low)
        assert one.examples == first.examples
