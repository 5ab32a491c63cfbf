from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.synthetic_evaluation import digit_images, write_evaluation

from uncollapse.report.amounts import Amount
from uncollapse.report.evaluation import compose
from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_record import Evaluation
from uncollapse.report.evaluation_sheets import evaluation_sheets
from uncollapse.report.sheets import Sheet


@pytest.fixture(scope="module")
def namesakes(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Two generators of one name: the first collapsed, the second healthy."""
    sides = digit_images(healthy=False, n_real=300, n_fake=200)
    record = load_evaluation(write_evaluation(tmp_path_factory.mktemp("namesakes"), *sides, versus=True))
    assert record.versus is not None
    healthy = replace(record.versus.verdict, status="healthy")
    return replace(record, versus=replace(record.versus, name=record.fake_name, verdict=healthy))


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


def test_generators_of_one_name_keep_their_own_verdicts_and_numbers(namesakes: Evaluation) -> None:
    sheets = {sheet.name: sheet for sheet in evaluation_sheets(namesakes)}
    name = namesakes.fake_name
    mine, theirs = f"{name} (generated)", f"{name} (other generator)"
    assert [row[:2] for row in sheets["verdict"].rows] == [(mine, "collapsed"), (theirs, "healthy")]
    counts = [sum(row[0] == one for row in sheets["metrics"].rows) for one in (mine, theirs)]
    assert namesakes.versus is not None
    assert counts == [len(namesakes.metrics), len(namesakes.versus.metrics)]
    assert sheets["differences"].title == f"Differences: {mine} minus {theirs}"


def test_the_page_tells_generators_of_one_name_apart(namesakes: Evaluation) -> None:
    page = compose(namesakes)
    name = namesakes.fake_name
    assert f"Difference: {name} (generated) minus {name} (other generator)" in page
    assert f"{name} is better" not in page
    assert f"{name} (generated) is better" in page or f"{name} (other generator) is better" in page
