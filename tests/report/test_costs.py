from __future__ import annotations

from pathlib import Path

import pytest

from uncollapse.report.amounts import whole
from uncollapse.report.costs import COSTS, RUNS, costs, runs
from uncollapse.report.load import load
from uncollapse.report.records import Record


@pytest.fixture(scope="module")
def record(comparison: Path) -> Record:
    return load(comparison)


def test_costs_are_amounts_with_their_texts(record: Record) -> None:
    told = dict(zip(COSTS, costs(record)[0].amounts, strict=True))
    # 4,000 updates of 256 samples each.
    assert (told["real_samples"].value, told["real_samples"].text) == (1_024_000, "1,024,000")
    assert told["seconds"].text == "20 s"
    assert len(costs(record)) == len(record.cells)


def test_each_run_says_what_it_takes_to_repeat_it(record: Record) -> None:
    first = runs(record)[0]
    assert len(first) == len(RUNS)
    assert first[:3] == ("vanilla on ring-8", "1000-1003", whole(4000))
    assert first[-1] == "a1"
