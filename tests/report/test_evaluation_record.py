from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.synthetic_evaluation import digit_images, write_evaluation

from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_record import Evidence


@pytest.mark.parametrize(
    ("effect", "minimum", "reached"), [(0.5, 0.5, True), (0.49, 0.5, False), (None, 0.5, False), (0.6, None, False)]
)
def test_an_effect_reaches_the_minimum_or_not(effect: float | None, minimum: float | None, reached: bool) -> None:
    row = Evidence(
        metric="m", value_real=None, value_fake=None, effect=effect, minimum_effect=minimum, p_adjusted=0.001,
        significant=True, sentence="",
    )  # fmt: skip
    assert row.reached is reached


def test_galleries_are_found_by_kind_in_their_order(tmp_path: Path) -> None:
    record = load_evaluation(write_evaluation(tmp_path, *digit_images(n_real=300, n_fake=300)))
    assert [gallery.key for gallery in record.of("uncovered")] == ["uncovered-0", "uncovered-1"]
    assert record.of("no such kind") == ()
    assert record.fake_name == "runs/vanilla/samples"
