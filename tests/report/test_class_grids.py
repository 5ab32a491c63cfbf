from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.report.synthetic import write_run

from uncollapse.report.class_grids import class_grids, class_names
from uncollapse.report.load import load
from uncollapse.report.real import real_data


@pytest.mark.parametrize(
    ("conditional", "how"), [(True, "by the label they were drawn for"), (False, "by the classifier")]
)
def test_grids_say_how_they_are_sorted(tmp_path: Path, conditional: bool, how: str) -> None:
    run = write_run(tmp_path, "a", "digits", [range(10)], hash_="ab", conditional=conditional, seeds=(0,))
    record = load(run)
    real, made = class_grids(record.cells, real_data(record, "digits"), "averaged")
    assert (real.method, real.note) == ("real data", "sorted by their labels")
    assert how in made.note


def test_a_class_that_is_never_produced_is_named(tmp_path: Path) -> None:
    record = load(write_run(tmp_path, "a", "digits", [range(10)], hash_="ab", conditional=True, seeds=(0,)))
    final = dict(record.cells[0].runs[0].final)
    keep = ~np.isin(final["labels"][0], [3, 7])
    np.savez(record.directory / "samples" / "final.npz", **{name: array[:, keep] for name, array in final.items()})
    record = load(record.directory)
    made = class_grids(record.cells, real_data(record, "digits"), "averaged")[1]
    assert made.pictures[0].alt.endswith("no sample of class 3, 7")


def test_names_are_short_where_only_the_last_word_differs(tmp_path: Path) -> None:
    record = load(write_run(tmp_path, "a", "digits", [range(10)], hash_="ab", seeds=(0,)))
    assert class_names(real_data(record, "digits")) == tuple("0123456789")
