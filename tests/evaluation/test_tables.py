from __future__ import annotations

import copy
import io
from typing import Any

import pytest
from rich.console import Console
from tests.evaluation.making import cloud, ring

from uncollapse.evaluation import evaluate
from uncollapse.evaluation.tables import better, evaluation_table, interval, number, reading_lines


def text(document: dict[str, Any]) -> str:
    stream = io.StringIO()
    Console(file=stream, width=160, force_terminal=False).print(evaluation_table(document))
    return stream.getvalue()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    labels = ["left", "right"] * 100
    real, fake = ring(200, 0)[0], ring(200, 1, modes=range(5))[0]
    found = evaluate(real, fake, versus=ring(200, 2)[0], train=ring(200, 3)[0], metrics=["coverage", "birthday"])
    per_class = [
        {"label": label, "n_real": 100, "n_fake": 100, "status": "healthy", "sentence": "None.", "evidence": []}
        for label in labels[:25]
    ]
    return {**found.document, "per_class": per_class}


def test_the_answer_comes_first_and_everything_found_follows(document: dict[str, Any]) -> None:
    lines = text(document).splitlines()
    assert lines[0] == "COLLAPSED"
    assert lines[1].startswith(document["verdict"]["sentence"][:60])
    page = "\n".join(lines)
    assert document["memorisation"]["sentence"] in page
    for row in document["verdict"]["evidence"]:
        assert row["metric"] in page
    assert "region 1 (x1 near" in page
    assert "Coverage [identity]" in page
    assert "no two of 200 fakes are alike" in page
    assert "and 5 more" in page  # of 25 classes
    assert "Features: identity: the data are rows of numbers and are taken as they are." in page
    assert "95 % interval" in page


def test_flags_and_notes_are_told(document: dict[str, Any]) -> None:
    changed = copy.deepcopy(document)
    changed["verdict"]["flags"] = ["memorised"]
    changed["notes"] = ["The images differ in size."]
    changed["verdict"]["quality"] = None
    page = text(changed)
    assert page.startswith("COLLAPSED, memorised\n")
    assert "The images differ in size." in page


def test_what_reading_left_out_or_did_is_told_and_nothing_where_nothing_was(document: dict[str, Any]) -> None:
    assert "Read " not in text(document)
    changed = copy.deepcopy(document)
    changed["inputs"]["fake"] |= {
        "rows": 540, "bad_count": 3, "bad": [{"name": "a\x1b.png", "reason": "is empty"}] * 3,
        "policies": {"16 bits a channel scaled to 8": 540},
    }  # fmt: skip
    assert reading_lines(changed["inputs"]) == [
        "Read fake: 3 of 543 rows could not be read and are left out (the first: a.png is empty); "
        "540 x 16 bits a channel scaled to 8."
    ]
    assert text(changed).endswith(f"{reading_lines(changed['inputs'])[0]}\n")


def test_names_with_markup_and_control_characters_are_inert(document: dict[str, Any]) -> None:
    changed = copy.deepcopy(document)
    changed["verdict"]["lost"][0]["mode"] = "[bold red]x\x1b[31m[/]\u202e"
    changed["versus"]["name"] = "[link=file:///etc/passwd]\x1b]0;title\x07"
    page = text(changed)
    assert "[bold red]x[31m[/]" in page
    assert "[link=file:///etc/passwd]]0;title" in page
    assert not set("\x1b\x07\u202e") & set(page)


def test_many_lost_modes_are_counted(document: dict[str, Any]) -> None:
    changed = copy.deepcopy(document)
    changed["verdict"]["lost"] = [{**document["verdict"]["lost"][0], "mode": f"mode {k}"} for k in range(15)]
    page = text(changed)
    assert "mode 11" in page
    assert "mode 12" not in page
    assert "and 3 more" in page


def test_a_sparse_document_is_enough() -> None:
    found = evaluate(cloud(30, 0), cloud(30, 1), metrics=[], level=0.8).document
    assert "interval" not in text(found)
    empty = {**found, "verdict": {**found["verdict"], "evidence": [], "lost": []}}
    assert text(empty).startswith("INCONCLUSIVE\n")


def test_the_level_is_that_of_the_numbers() -> None:
    found = evaluate(cloud(30, 0), cloud(30, 1), metrics=["coverage"], level=0.8).document
    assert "80 % interval" in text(found)


def estimate(low: float | None, high: float | None, direction: str = "lower", value: float | None = 0.0) -> Any:
    return {"value": value, "low": low, "high": high, "direction": direction, "reason": None}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (estimate(-2.0, -1.0), "fake"),
        (estimate(1.0, 2.0), "the other"),
        (estimate(1.0, 2.0, "higher"), "fake"),
        (estimate(-2.0, -1.0, "higher"), "the other"),
        (estimate(-1.0, 1.0), "unsure"),
        (estimate(0.0, 1.0), "unsure"),
        (estimate(None, 2.0), "unsure"),
        (estimate(1.0, 2.0, "near"), ""),
        (estimate(None, None, value=None), ""),
    ],
)
def test_which_of_two_generators_a_difference_speaks_for(row: Any, said: str) -> None:
    assert better(row) == said


def test_numbers_and_intervals_as_text() -> None:
    assert number(estimate(None, None, value=None)) == "none"
    assert number(estimate(None, None, value=0.123456)) == "0.1235"
    assert interval(estimate(1.0, None)) == "[1, ...]"
    assert interval({**estimate(None, None), "reason": "too\x1b few"}) == "too few"
    assert interval(estimate(0.1, 0.20004)) == "[0.1, 0.2]"


def test_small_chances_are_not_written_as_zero(document: dict[str, Any]) -> None:
    changed = copy.deepcopy(document)
    changed["verdict"]["evidence"][0] |= {"p_adjusted": 0.0002, "effect": None}
    page = text(changed)
    assert "< 0.001" in page
    assert "none" in page
