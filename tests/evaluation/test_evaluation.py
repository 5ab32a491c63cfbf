from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.making import cloud, digits, pngs

import uncollapse.report
from uncollapse.errors import UserError
from uncollapse.evaluation import Evaluation, evaluate
from uncollapse.evaluation.evaluation import DOCUMENT, PICTURES, REPORT
from uncollapse.report.evaluation_load import load_evaluation

IMAGES, _ = digits()


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate(IMAGES[:60], IMAGES[60:120], metrics=["coverage"], cache=False)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_it_says_its_verdict(found: Evaluation) -> None:
    assert str(found) == f"{found.verdict.status}: {found.verdict.sentence}"


def test_a_directory_holds_what_the_report_reads(found: Evaluation, tmp_path: Path) -> None:
    report = found.save(tmp_path / "new" / "out")
    assert report == tmp_path / "new" / "out" / REPORT
    assert files(tmp_path / "new") == {"out"}
    assert files(report.parent) == {DOCUMENT, PICTURES, REPORT}
    record = load_evaluation(report.parent)
    assert record.verdict.status == found.verdict.status
    assert record.pictures.damaged == ()
    assert record.pictures.thumbs is not None
    np.testing.assert_array_equal(record.pictures.thumbs, found.pictures["thumbs"])
    assert json.loads((report.parent / DOCUMENT).read_text()) == json.loads(json.dumps(found.document))
    # The files are readable for others, as any file that a user makes.
    (tmp_path / "plain").write_text("")
    assert report.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_saving_again_replaces_everything(found: Evaluation, tmp_path: Path) -> None:
    other = evaluate(cloud(40, 0, 2), cloud(40, 1, 2), metrics=[])
    for item in (found, other, other):
        report = item.save(str(tmp_path / "out"))
    assert files(report.parent) == {DOCUMENT, PICTURES, REPORT}
    assert load_evaluation(report.parent).pictures.thumbs is None
    assert "ndarray of shape (40, 2)" in report.read_text(encoding="utf-8")


def test_what_an_earlier_interruption_left_is_overwritten(found: Evaluation, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / DOCUMENT).write_text('{"schema": 1, "kind": "eval')
    (out / PICTURES).write_bytes(b"PK\x03\x04")
    found.save(out)
    assert load_evaluation(out).verdict.status == found.verdict.status


def test_an_interruption_leaves_nothing_behind_or_what_was_there(
    found: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found.save(tmp_path / "old")
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}

    def interrupted(folder: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(uncollapse.report, "build", interrupted)
    for name in ("new", "old"):
        with pytest.raises(KeyboardInterrupt):
            found.save(tmp_path / name)
    assert files(tmp_path) == {"old"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before


def test_the_report_alone_goes_where_it_is_wanted(
    found: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert found.report() == Path("report.html")
    assert found.report(tmp_path / "a" / "new folder" / "page.html").read_text() == Path("report.html").read_text()
    (tmp_path / "there").mkdir()
    assert found.report("there") == Path("there") / "report.html"
    assert files(tmp_path) == {"report.html", "a", "there"}
    assert files(tmp_path / "a" / "new folder") == {"page.html"}
    assert found.verdict.status.capitalize() in Path("report.html").read_text(encoding="utf-8")


def hold(folder: str, held: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event) -> None:
    from uncollapse.lease import only_writer

    with only_writer(Path(folder)):
        held.set()
        done.wait(30)


def test_a_directory_that_another_process_writes_is_left_alone(found: Evaluation, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(tmp_path / "out"), held, done))
    other.start()
    try:
        assert held.wait(30)
        with pytest.raises(UserError, match="is being written by pid "):
            found.save(tmp_path / "out")
    finally:
        done.set()
        other.join()
    assert files(tmp_path) == {"out"}
    assert files(tmp_path / "out") == set()


def test_a_table_for_a_terminal(found: Evaluation) -> None:
    assert found.verdict.status.upper() in str(found.table().renderables[0])  # type: ignore[union-attr]


def test_names_of_files_are_inert_in_the_page_and_writable_in_the_document(tmp_path: Path) -> None:
    hostile = ["<script>alert(1)<%2fscript>", "a\x1b[31mb", "x\u202egnp", "ünï ☃", "{{ 7 * 7 }}"]
    names = [f"<b>cats{number % 2}/{hostile[number % 5]} {number}.png" for number in range(40)]
    place = pngs(tmp_path / "real<img src=x>", list(IMAGES[:40]), names)
    undecodable = (bytes(place) + b"/<b>cats0/caf\xe9.png").decode("utf-8", "surrogateescape")
    (place / names[0]).rename(undecodable)
    found = evaluate(place, place, metrics=[], cache=False, features="pixels")
    page = found.save(tmp_path / "out").read_text(encoding="utf-8")
    assert "&lt;b&gt;cats" in page
    for piece in ("<script>alert", "<img src=x>", "<b>cats", "\x1b", "\u202e", "49.png"):
        assert piece not in page
    document = (tmp_path / "out" / DOCUMENT).read_text(encoding="utf-8")
    json.loads(document, parse_constant=lambda name: pytest.fail(name))


def test_the_report_has_the_ending_of_what_it_is(found: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"The report is an HTML file, so .*page.pdf would be a wrong name for it; end it in .html"
    ):
        found.report(tmp_path / "page.pdf")
    assert not list(tmp_path.iterdir())
