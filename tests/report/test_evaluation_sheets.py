from __future__ import annotations

import pytest
from tests.report.synthetic_evaluation import digit_images, write_evaluation

from uncollapse.report.amounts import Amount
from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_sheets import evaluation_sheets
from uncollapse.report.sheets import Sheet


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sheet]:
    directory = write_evaluation(
        tmp_path_factory.mktemp("judged"), *digit_images(healthy=False, n_real=300, n_fake=200)
    )
    return {sheet.name: sheet for sheet in evaluation_sheets(load_evaluation(directory))}


def test_the_verdict_leads_and_every_table_follows(sheets: dict[str, Sheet]) -> None:
    assert list(sheets)[:4] == ["verdict", "evidence", "lost", "metrics"]
    assert sheets["verdict"].rows[0][1] == "collapsed"


def test_a_metric_keeps_its_interval_its_level_and_both_sizes(sheets: dict[str, Sheet]) -> None:
    estimates = [row[2] for row in sheets["metrics"].rows if isinstance(row[2], Amount) and row[2].low is not None]
    assert estimates
    assert all(amount.level == 0.95 and amount.n == 200 for amount in estimates)
    assert all(amount.basis == "n = 300 real, 200 generated" for amount in estimates)


def test_what_was_lost_has_the_interval_of_its_share(sheets: dict[str, Sheet]) -> None:
    share = sheets["lost"].rows[0][3]
    assert isinstance(share, Amount)
    assert share.kind == "share"
    assert share.low is not None
    assert share.high is not None
    assert share.low <= (share.value or 0) <= share.high
