from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.synthetic_evaluation import digit_images, side, write_evaluation

from uncollapse.report.evaluation_inputs import bad_rows, generators, input_table, subtitle, took
from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_record import Evaluation, Side, Versus


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    real, fake = digit_images(n_real=300, n_fake=200)
    bad = [{"name": f"{i}.png", "reason": "cut off"} for i in range(3)]
    inputs = {
        "fake": side(
            "f", fake, bad=bad, bad_count=120, policies={"palette turned into colour": 7, "alpha on white": 9}
        ),
        "real": side("r", real, sizes={f"{i} x {i}": i for i in range(1, 10)}),
    }
    return load_evaluation(write_evaluation(tmp_path_factory.mktemp("inputs"), real, fake, inputs=inputs))


def test_sides_stand_side_by_side_and_empty_facts_are_left_out(record: Evaluation) -> None:
    table = input_table(record)
    assert table.heads == ("Real", "Generated")
    facts = dict(table.rows)
    assert facts["Name"] == ("r", "f")
    assert facts["Rows"] == ("300", "200")
    assert facts["Kind"] == ("images, with labels", "images, with labels")
    assert facts["Could not be read"] == ("", "120")
    # The most frequent first.
    assert facts["Done on reading"] == ("", "alpha on white (9); palette turned into colour (7)")
    assert facts["Size"][0] == "9 x 9 (9); 8 x 8 (8); 7 x 7 (7); 6 x 6 (6); 5 x 5 (5); 4 x 4 (4); 3 more"


def test_what_could_not_be_read_is_listed_and_counted(record: Evaluation) -> None:
    (found,) = bad_rows(record)
    assert (found.head, found.rows[0], len(found.rows), found.more) == ("Generated", ("0.png", "cut off"), 3, 117)


def test_a_fact_that_no_side_has_is_left_out(record: Evaluation) -> None:
    bare = replace(record, inputs={"real": Side(name="r"), "fake": Side(name="f")})
    assert [fact for fact, _ in input_table(bare).rows] == ["Name"]
    assert bad_rows(bare) == []
    assert subtitle(bare) == "generated rows judged against real ones of r (features: pixels)."


def test_one_sentence_says_what_was_compared(record: Evaluation) -> None:
    assert subtitle(record) == "200 generated images judged against 300 real ones of r (features: pixels)."
    assert subtitle(replace(record, extractor=None)).endswith("300 real ones of r.")
    assert subtitle(replace(record, inputs={})) == ""
    assert took(record) == "reading 1 s, features 8 s, metrics 4 s"


def test_generators_of_one_name_are_told_apart(record: Evaluation) -> None:
    assert generators(record) == ("f", "")
    other = Versus(name="f", verdict=record.verdict, metrics={}, differences={})
    assert generators(replace(record, versus=other)) == ("f (generated)", "f (other generator)")
    assert generators(replace(record, versus=replace(other, name="g"))) == ("f", "g")
    # Names that are alike only as they are shown are alike to a reader.
    long = replace(record.inputs["fake"], name="start-" + "a" * 50 + "-end")
    alike = replace(record, inputs={"fake": long}, versus=replace(other, name="start-" + "b" * 50 + "-end"))
    assert generators(alike)[0] == long.name
    assert [name.split(" ", 1)[1] for name in generators(alike, 8)] == ["(generated)", "(other generator)"]
