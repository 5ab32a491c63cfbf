"""What a kind of run costs here: measured once, kept, measured again where the entry is damaged."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from uncollapse.experiments import throughput
from uncollapse.experiments.throughput import beside_cost, expected_memory, kind, start_seconds, update_cost
from uncollapse.loop import Trainer
from uncollapse.monitor.choices import MonitorChoice
from uncollapse.run import make_spec
from uncollapse.spec import RunSpec


def small(seeds: int = 2, task: str = "blobs-4", **more: Any) -> RunSpec:
    """A run that trains in no time."""
    return make_spec("vanilla", task, seeds=range(seeds), updates=400, batch=16, settings={"networks.width": 8}, **more)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path))
    return tmp_path / throughput.FOLDER


def test_runs_of_one_kind_are_measured_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = update_cost(small(), "cpu")
    monkeypatch.setattr(throughput, "_measured_update", lambda spec, device: {"seconds": 9.0, "memory": 9.0})
    assert update_cost(small(), "cpu") == first
    assert update_cost(replace(small(), seeds=(7, 9), updates=5), "cpu") == first
    assert update_cost(small(task="blobs-8"), "cpu") == first
    assert update_cost(small(3), "cpu")["seconds"] == 9.0
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "[" * 200_000,
        '{"key": "another", "cost": {"seconds": 1.0}}',
        "KEY{}",
        'KEY{"seconds": -1}',
        'KEY{"seconds": NaN}',
    ],
)
def test_a_damaged_entry_is_measured_again(damage: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "_measured_update", lambda spec, device: {"seconds": 2.0, "memory": 1.0})
    update_cost(small(), "cpu")
    (path,) = cache.iterdir()
    if damage.startswith("KEY"):
        damage = f'{{"key": {json.dumps(json.loads(path.read_text())["key"])}, "cost": {damage[3:]}}}'
    path.write_text(damage, encoding="utf-8")
    assert update_cost(small(), "cpu") == {"seconds": 2.0, "memory": 1.0}
    assert json.loads(path.read_text(encoding="utf-8"))["cost"]["seconds"] == 2.0


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(throughput, "_measured_update", lambda spec, device: {"seconds": 2.0, "memory": 1.0})
    assert update_cost(small(), "cpu")["seconds"] == 2.0


def test_kinds_differ_where_the_time_does() -> None:
    spec = small()
    assert kind(spec) == kind(replace(spec, updates=9, seeds=(3, 4), method=spec.method.but(name="mine")))
    others = [small(3), replace(spec, batch=32), replace(spec, threads=2), replace(spec, dtype="float64")]
    assert len({kind(item) for item in (spec, *others, make_spec("lsgan", "blobs-4", seeds=range(2)))}) == 6


@pytest.mark.long
def test_the_measured_speed_is_the_speed_of_training() -> None:
    spec = make_spec("vanilla", "blobs-4", seeds=(0, 1), updates=400, batch=64)
    trainer = Trainer(spec)
    trainer.advance(50)
    start = time.process_time()
    trainer.advance(250)
    real = (time.process_time() - start) / 200
    assert 0.4 < update_cost(spec, "cpu")["seconds"] / real < 2.5


@pytest.mark.long
def test_all_else_is_timed_with_its_snapshots_and_looks() -> None:
    beside_cost(small(1), "cpu")  # which imports what judges
    spec = small()
    plain = beside_cost(spec, "cpu")
    assert plain["look"] == 0
    assert 0 < plain["seconds"] < 30
    assert beside_cost(replace(spec, task=spec.task.but(measure_size=300_000)), "cpu")["seconds"] > plain["seconds"]
    assert beside_cost(replace(spec, monitor=MonitorChoice(every=10)), "cpu")["look"] > 0


def test_memory_grows_with_seeds_width_and_batch() -> None:
    one = expected_memory(small(1))
    assert expected_memory(small(4)) == 4 * one
    wide = make_spec("vanilla", "blobs-4", seeds=[0], batch=16, settings={"networks.width": 512})
    assert expected_memory(wide) > 10 * one
    assert update_cost(small(4), "cpu")["memory"] >= 4 * one


@pytest.mark.slow
def test_a_process_takes_a_while_to_start(cache: Path) -> None:
    assert 0.05 < start_seconds() < 120
    assert len(list(cache.iterdir())) == 1
