from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.report.synthetic import write_run

from uncollapse.report.load import load
from uncollapse.report.real import final_samples, finite, real_data, typical


def test_the_typical_seed_is_the_lower_median_of_those_that_did_not_diverge(tmp_path: Path) -> None:
    kept = [range(8), range(2), None, range(5)]
    run = write_run(tmp_path, "vanilla", "ring-8", kept, hash_="ab", seeds=(10, 11, 12, 13))
    (cell,) = load(run).cells
    lane = typical(cell)
    # Solid modes 8, 2 and 5: the median is 5, seed 13.
    assert lane is not None
    assert lane.seed == 13


def test_samples_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8), None], hash_="ab", seeds=(0, 1))
    good, bad = load(run).cells[0].lanes
    assert len(final_samples(good, "averaged")) == 2500
    assert len(final_samples(bad, "averaged")) == 0
    assert finite(np.array([[1.0, 2.0], [np.inf, 0.0]])).tolist() == [[1.0, 2.0]]


def test_a_task_of_ones_own_that_is_not_loaded_is_said_to_be_so(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)], hash_="ab", seeds=(0,))
    document = json.loads((run / "spec.json").read_text())
    assert real_data(load(run), "ring-8").reason == ""
    own = {"task": {"name": "ring-8", "class": "Mine"}, "own_task": {"plugin": "my:TASK", "file": "my.py"}}
    (run / "spec.json").write_text(json.dumps(document | own))
    found = real_data(load(run), "ring-8")
    assert found.task is None
    assert found.reason.startswith(
        "Task 'ring-8' is the user's own and not known here; repeat the command with the `--plug"
    )
