from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.report.synthetic import write_run

from uncollapse.report import sample_map
from uncollapse.report.curves import Panel
from uncollapse.report.load import load
from uncollapse.report.palette import styles
from uncollapse.report.real import Real, real_data
from uncollapse.report.records import Record
from uncollapse.report.sample_map import common_maps


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Maps of a hundred samples a method, which take a third of the time."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(sample_map, "SET_POINTS", 100)
        yield


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    folder = tmp_path_factory.mktemp("map")
    return load(write_run(folder, "a", "digits", [range(10)], hash_="ab", seeds=(0,), conditional=True))


@pytest.fixture(scope="module")
def real(record: Record) -> Real:
    return real_data(record, "digits", n=60)


@pytest.fixture(scope="module")
def maps(record: Record, real: Real) -> list[Panel]:
    return common_maps(record.cells, real, styles(["a"]), "averaged")


@pytest.mark.slow
def test_the_maps_are_seeded_and_say_what_they_are_made_of(record: Record, real: Real, maps: list[Panel]) -> None:
    assert maps == common_maps(record.cells, real, styles(["a"]), "averaged")
    by_set, by_class = maps
    assert by_set.caption.startswith("60 samples of each, one seed a method, on the features of the trained classifier")
    assert by_class.title == "The same map by class"
    assert "or by the label asked for where a method takes one" in by_class.caption


def test_every_sample_stands_in_both_maps(maps: list[Panel]) -> None:
    by_set, by_class = maps
    # 60 real ones and 100 of the method; matplotlib writes one <use> for each marker.
    assert by_set.markup.count("<use") == 160
    assert by_class.markup.count("<use") == 160
    assert by_set.markup.count("fill: var(--real)") > 0
    assert {f"var(--m{hue})" in by_class.markup for hue in range(8)} == {True}


def test_without_labels_there_is_one_map(record: Record, real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_map, "_embed", lambda features: features[:, :2])
    (alone,) = common_maps(record.cells, replace(real, labels=None), styles(["a"]), "averaged")
    assert "of each, one seed a method" in alone.caption


def test_a_task_without_a_classifier_is_mapped_by_its_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(100, 3)), labels=np.arange(100) % 2)
    record = load(write_run(tmp_path / "runs", "a", "blobs-2", [range(2)], hash_="ab", seeds=(0,)))
    run = record.cells[0].runs[0]
    run.__dict__["final"] = {"samples": rng.normal(size=(1, 50, 3)).astype(np.float32)}
    from uncollapse.tasks import find

    task = find(f"array:{tmp_path / 'x.npz'}")
    given = Real(name="x", task=task, samples=rng.normal(size=(40, 3)), labels=np.arange(40) % 2, shape=(3,))
    by_set, by_class = common_maps(record.cells, given, styles(["a"]), "averaged")
    assert "on the values themselves" in by_set.caption
    assert by_class.markup.count("<use") == 90


def test_without_samples_there_is_no_map(tmp_path: Path) -> None:
    record = load(write_run(tmp_path, "a", "digits", [None], hash_="ab", seeds=(0,)))
    assert common_maps(record.cells, real_data(record, "digits"), styles(["a"]), "averaged") == []
