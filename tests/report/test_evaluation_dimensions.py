from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.synthetic_evaluation import Samples, write_evaluation

from uncollapse.report.evaluation_dimensions import dimensions
from uncollapse.report.evaluation_exhibits import Dimension, DimensionTest
from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_record import Evaluation

MOVED = Dimension(name="x", real_mean=0.0, fake_mean=1.0, real_sd=1.0, fake_sd=0.5, effect=0.7, sentence="Moved.")
GONE = Dimension(name="y", real_mean=None, fake_mean=1.0, real_sd=1.0, fake_sd=0.5, effect=None, sentence="")
NONE = DimensionTest(sentence="None of the 50 dimensions differs.", beyond_chance=0, n_real=40, n_fake=25)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    import numpy as np

    rows = Samples(features=np.random.default_rng(0).normal(size=(40, 3)))
    directory: Path = tmp_path_factory.mktemp("dimensions")
    return load_evaluation(write_evaluation(directory, rows, rows, clusters=2))


def test_dimensions_are_listed_with_their_spread_and_counted(record: Evaluation) -> None:
    found = dimensions(replace(record, dimensions=(MOVED, GONE, *[MOVED] * 48)))
    first, second = found.rows[:2]
    assert (len(found.rows), found.left_out) == (40, 10)
    assert (first.real, first.fake, first.difference) == ("0.00 ± 1.00", "1.00 ± 0.50", "0.70")
    assert first.strip is not None
    # From -1 to 1.5 with 8 % of that on each side: 0 stands at 1.2 / 2.9.
    assert first.strip.marks[0] == (pytest.approx(100 * 1.2 / 2.9, abs=0.01), "mean upper")
    assert (second.strip, second.difference) == (None, "none")


@pytest.mark.parametrize(
    ("p", "beyond", "text", "chance"),
    [(0.279, False, "0.28", "no more than chance"), (0.001, True, "0.001", "beyond chance")],
)
def test_each_has_its_chance(record: Evaluation, p: float, beyond: bool, text: str, chance: str) -> None:
    row = replace(MOVED, p_adjusted=p, beyond_chance=beyond)
    found = dimensions(replace(record, dimensions=(row,), dimension_test=NONE))
    assert (found.rows[0].p, found.rows[0].chance, found.tested) == (text, chance, True)
    assert found.answer == "None of the 50 dimensions differs."
    assert "n = 40 real and 25 generated rows for each dimension." in found.note
    assert "No test was recorded" not in found.note


def test_files_of_old_say_that_there_was_no_test(record: Evaluation) -> None:
    found = dimensions(replace(record, dimensions=(MOVED,), dimension_test=None))
    assert (found.rows[0].p, found.rows[0].chance, found.tested, found.answer) == ("", "", False, "")
    assert "any of these differences may be chance" in found.note
    assert not dimensions(replace(record, dimensions=())).rows
