"""The estimate of a plan's time: adds up as slots do, and is near what training takes."""

from __future__ import annotations

import time

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.estimate import estimate, makespan, seconds_per_update
from uncollapse.experiments.plan import Plan
from uncollapse.loop import Trainer
from uncollapse.run import make_spec

TOML = """
[plan]
name = "tiny"
seeds = [0, 1]
updates = 1000
batch = 8
[[cells]]
methods = ["vanilla", "cgan"]
tasks = ["blobs-4", "blobs-8"]
set = { networks.width = 4 }
"""


@pytest.mark.parametrize(
    ("seconds", "jobs", "whole"),
    [([], 2, 0), ([5], 3, 5), ([1, 2, 3, 4], 1, 10), ([4, 3, 3], 2, 6), ([1, 1, 1, 3], 2, 3)],
)
def test_runs_fill_the_slots_longest_first(seconds: list[float], jobs: int, whole: float) -> None:
    assert makespan(seconds, jobs) == whole


def test_each_run_has_a_time_and_equal_kinds_share_one() -> None:
    found = estimate(Plan.from_toml(TOML), jobs=2, device="cpu")
    times = {(run.method, run.task): run.seconds for run in found.runs}
    assert times["vanilla", "blobs-4"] == times["vanilla", "blobs-8"]
    assert min(times.values()) > 0
    assert found.seconds == pytest.approx(makespan(list(times.values()), 2))
    assert found.sentence.startswith("4 runs, about ")
    assert "an estimate" in found.sentence
    assert found.to_json()["runs"][0]["seeds"] == [0, 1]


def test_the_measured_speed_is_the_speed_of_training() -> None:
    spec = make_spec("vanilla", "blobs-4", seeds=(0, 1), updates=400, batch=64)
    trainer = Trainer(spec)
    trainer.advance(50)
    start = time.perf_counter()
    trainer.advance(350)
    real = (time.perf_counter() - start) / 300
    assert 0.2 < seconds_per_update(spec, "cpu") / real < 5


def test_a_wrong_plan_has_no_estimate() -> None:
    with pytest.raises(UserError, match="did you mean 'vanilla'"):
        estimate(Plan.from_toml(TOML.replace('"vanilla"', '"vanila"')))
