from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.report.synthetic import measure

from uncollapse.report.image_table import DRAWS, image_table
from uncollapse.report.real import Real
from uncollapse.report.records import Cell
from uncollapse.tasks.digits import digits, split


def cell(method: str, **measures: Mapping[str, object]) -> Cell:
    return Cell(method=method, task="digits", seeds=(0, 1), runs=(), measures=measures)


@pytest.fixture(scope="module")
def real() -> Real:
    data = split()
    samples, labels = data.held_out.numpy(), data.held_out_labels.numpy()
    return Real(name="digits", task=digits(), samples=samples, labels=labels, shape=(8, 8))


CELLS = (
    cell("wgan-gp", class_entropy=measure([3.0, 3.2], 2.9, 3.3), recall=measure([0.2, 0.4], 0.1, 0.5)),
    cell("cwgan-gp", recall=measure([0.5, 0.5], 0.3, 0.6), label_agreement=measure([0.9, 1.0], 0.8, 1.0)),
)


def test_the_rows_are_the_seeds_of_each_method_and_only_what_was_measured(real: Real) -> None:
    table = image_table(CELLS, real)
    assert table is not None
    assert [column.key for column in table.columns] == ["class_entropy", "recall", "label_agreement"]
    (first, one), (second, other) = table.rows
    assert (first, second) == ("wgan-gp", "cwgan-gp")
    assert tuple(amount.texts for amount in one) == (
        ("3.10", "2.90 to 3.30", "2 seeds"),
        ("30 %", "10 to 50 %", "2 seeds"),
        ("", "", ""),
    )
    assert other[0].texts == ("", "", "")
    assert other[2].texts == ("95 %", "80 to 100 %", "2 seeds")


def test_real_training_images_are_measured_like_a_generator(real: Real) -> None:
    if not digits().further_measures(split().train[:500], None):
        pytest.fail("the task digits measures no images")
    table = image_table(CELLS, real)
    assert table is not None
    entropy, recall, agreement = table.real
    assert entropy.texts == ("3.32", "", "true shares")
    # Real digits among real digits: about nine in ten, in each of four draws.
    assert 80 < int(recall.text.removesuffix(" %")) < 100
    assert recall.basis == f"{DRAWS} draws"
    # The classifier names 445 of 445 held-out digits.
    assert agreement.texts == ("100 %", "99.1 to 100 %", "445 images")
    assert "First row: real training images" in table.note


def test_a_task_that_is_not_there_leaves_the_real_row_out() -> None:
    gone = Real(name="digits", task=None, samples=None, labels=None, shape=(8, 8), reason="gone")
    table = image_table(CELLS, gone)
    assert table is not None
    assert (table.real, table.note) == ((), "")
    assert len(table.rows) == 2


def test_a_comparison_without_image_measures_has_no_table(real: Real) -> None:
    assert image_table((cell("wgan-gp", class_entropy=measure([3.0, 3.2], 2.9, 3.3)),), real) is None
