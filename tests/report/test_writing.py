from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.report.synthetic import write_run
from tests.report.synthetic_evaluation import digit_images, write_evaluation

from uncollapse.errors import UserError
from uncollapse.report import build, write


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    return write_run(folder, "vanilla", "ring-8", [range(8), range(7)], hash_="ab", seeds=(4, 5))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_evaluation(tmp_path_factory.mktemp("judged"), *digit_images(healthy=False, n_real=300, n_fake=200))


@pytest.mark.parametrize("form", ["md", "csv", "json", "latex"])
def test_tables_go_to_standard_output_or_into_a_file(
    run: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(run, form) is None
    printed = capsys.readouterr().out
    assert "vanilla" in printed
    target = tmp_path / "new" / "report.txt"
    assert write(run, form, str(target)) == target
    assert target.read_text() == printed
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("form", ["md", "csv", "json", "latex"])
def test_an_evaluation_and_a_comparison_have_every_format(
    judged: Path, comparison: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(judged, form, "-")
    assert "collapsed" in capsys.readouterr().out
    write(comparison, form, "-")
    assert "cwgan-gp" in capsys.readouterr().out


def test_a_run_as_data_says_its_mean_by_hand(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(run, "json")
    tables = {table["name"]: table for table in json.loads(capsys.readouterr().out)["tables"]}
    (row,) = tables["measures"]["rows"]
    assert row["modes_solid"]["value"] == 7.5  # 8 and 7 of 8 modes
    assert row["all_modes_solid"]["text"].startswith("1 of 2")


def test_a_page_is_written_beside_the_results_or_where_it_is_asked_for(judged: Path, tmp_path: Path) -> None:
    assert write(judged) == build(judged) == judged / "report.html"
    elsewhere = tmp_path / "page.html"
    assert write(judged, "html", str(elsewhere)) == elsewhere
    assert elsewhere.read_bytes() == (judged / "report.html").read_bytes()


def test_mistakes_are_one_sentence(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no report format 'tex'.*csv, html, json, latex, md"):
        write(run, "tex")
    with pytest.raises(UserError, match="is a directory; give --out the name of a file"):
        write(run, "md", str(tmp_path))
    with pytest.raises(UserError, match="No report can be made"):
        write(tmp_path, "md")
