from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.synthetic_evaluation import digit_images, write_evaluation

from uncollapse.report.evaluation_answer import (
    ASKED,
    MARKS,
    MEANINGS,
    class_rows,
    evidence,
    flags,
    lost,
    mark,
    needed,
    scale_end,
    sizes,
)
from uncollapse.report.evaluation_exhibits import Same
from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_record import STATUSES, ClassVerdict, Evaluation, Evidence, Loss, Verdict
from uncollapse.verdict.repeats import REPEATS
from uncollapse.verdict.shares import CLASSES, REGIONS
from uncollapse.verdict.spread import MINIMUM_OVERALL, OVERALL


def a_test(effect: float | None = 0.6, p: float | None = 0.001, *, sure: bool = True, name: str = "m") -> Evidence:
    return Evidence(
        metric=name, value_real=0.1, value_fake=0.0, effect=effect, minimum_effect=0.5, p_adjusted=p, significant=sure,
        sentence="So it is.",
    )  # fmt: skip


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    directory = tmp_path_factory.mktemp("answer")
    return load_evaluation(write_evaluation(directory, *digit_images(n_real=400, n_fake=300), per_class=True))


@pytest.mark.parametrize(
    ("row", "words", "bar"),
    [
        (a_test(0.6), "beyond chance and large enough", "effect large"),
        (a_test(0.4), "beyond chance, below the minimum", "effect small"),
        (a_test(0.6, 0.3, sure=False), "large, but chance may explain it", "effect unsure"),
        (a_test(0.1, 0.3, sure=False), "no loss established", "effect unsure"),
        (a_test(None, None, sure=False), "not computed", None),
    ],
)
def test_effect_and_p_are_said_together(row: Evidence, words: str, bar: str | None) -> None:
    (said,) = evidence((row,))
    assert said.weight == words
    assert said.strong is (words == "beyond chance and large enough")
    assert (None if said.strip is None else said.strip.spans[0][2]) == bar
    assert said.compared == "0.10 in the real data, 0.00 in the fakes"
    assert said.facts[0] == "minimum 0.50"


def test_power_is_said_where_it_is_known() -> None:
    row = a_test()
    assert evidence((row,))[0].facts == ("minimum 0.50", "adjusted p 0.001")
    assert evidence((replace(row, power=0.97),))[0].facts[2] == "power 97 %"
    weak = replace(row, power=0.41, needed=1200, significant=False)
    assert evidence((weak,))[0].facts[2:] == ("power 41 %", "80 % takes 1,200 rows a side")
    # What was found needs no more rows.
    assert evidence((replace(weak, significant=True),))[0].facts[2:] == ("power 41 %",)


def test_what_decides_stands_first() -> None:
    rows = (a_test(0.1, 0.5, sure=False, name="a"), a_test(0.4, name="b"), a_test(0.6, name="c"), a_test(0.9, name="d"))
    assert [row.metric for row in evidence(rows)] == ["d", "c", "b", "a"]


def loss(mode: str, real: float, fake: float) -> Loss:
    return Loss(mode=mode, kind="class", share_real=real, share_fake=fake, low=0.0, high=fake + 0.01)


def test_losses_are_shown_folded_and_counted() -> None:
    verdict = Verdict(status="collapsed", sentence="", lost=tuple(loss(f"m{i}", 0.2, 0.0) for i in range(250)))
    shown, folded, left_out = lost(verdict)
    assert (len(shown), len(folded), left_out) == (10, 200, 40)
    assert (shown[0].real, shown[0].fake, shown[0].interval) == ("20 %", "0 %", "0 to 1.0 %")
    assert shown[0].strip is not None
    # The line ends at 1.05 x 20 %, so the real share stands at 95.24 % of it.
    assert shown[0].strip.marks == ((95.24, "reference"), (0.0, "mean"))
    assert scale_end(verdict) == "21 %"


def test_a_bare_name_is_called_a_class() -> None:
    names = [("3", "class"), ("class 3", "class"), ("region 1", "cluster")]
    rows = tuple(replace(loss(mode, 0.2, 0.0), kind=kind) for mode, kind in names)
    shown, _, _ = lost(Verdict(status="collapsed", sentence="", lost=rows))
    assert [row.kind for row in shown] == ["class", "", ""]


def test_every_status_has_a_meaning_and_a_sign_of_its_own() -> None:
    assert set(MEANINGS) == set(MARKS) == set(STATUSES)
    assert len(set(MARKS.values())) == len(STATUSES)
    assert "sign-healthy" in mark("healthy")
    assert mark("something else") == ""


def test_only_known_flags_are_explained() -> None:
    verdict = Verdict(status="healthy", sentence="", flags=("memorised", "new"))
    assert flags(verdict) == [("memorised", "fakes lie nearer to training rows than chance allows"), ("new", "")]


def test_sizes_and_classes(record: Evaluation) -> None:
    assert sizes(record) == "n = 400 real and 300 generated rows"
    counted = replace(record, verdict=replace(record.verdict, n_real=250, n_fake=0), inputs={})
    assert sizes(counted) == "n = 250 real and 0 generated rows"
    assert sizes(replace(record, inputs={})) == ""
    rows, folded, left_out = class_rows(record)
    assert (len(rows), folded, left_out) == (10, [], 0)
    assert (rows[0].status, rows[0].n_fake, rows[-1].status) == ("collapsed", "0", "healthy")
    assert {row.label for row in rows[:2]} == {"3", "7"}


def test_many_classes_are_folded_away_and_counted(record: Evaluation) -> None:
    row = ClassVerdict(label="a", n_real=1, n_fake=1, status="healthy", sentence="", evidence=())
    shown, folded, left_out = class_rows(replace(record, per_class=(row,) * 230))
    assert (len(shown), len(folded), left_out) == (30, 170, 30)


def test_each_test_of_the_verdict_says_what_its_effect_is_a_part_of() -> None:
    assert set(ASKED) == {CLASSES, REGIONS, "spread within classes", "spread within clusters", OVERALL, REPEATS}
    said = {name: evidence((a_test(name=name),))[0] for name in ASKED}
    assert len({row.unit for row in said.values()}) == len(ASKED)
    assert "surely" in said[REGIONS].unit
    assert "surely" not in said[CLASSES].unit
    assert said[REGIONS].strip is not None
    assert "0.60 of the region's share surely lost" in said[REGIONS].strip.label
    assert [name for name, row in said.items() if row.remark] == [OVERALL]
    assert all(f"{minimum:.2f}" in said[OVERALL].remark for minimum in MINIMUM_OVERALL.values())
    other = evidence((a_test(name="something new"),))[0]
    assert (other.unit, other.remark) == ("", "")
    assert evidence((a_test(None, name=REPEATS),))[0].unit == ""


def test_both_values_are_said_in_the_unit_of_their_test() -> None:
    row = replace(a_test(name=REGIONS), value_real=0.108, value_fake=0.0)
    assert evidence((row,))[0].compared == "11 % of the real rows, 0 % of the fakes"
    row = replace(row, value_real=0.0108, value_fake=0.0092)
    assert evidence((row,))[0].compared == "1.1 % of the real rows, 0.9 % of the fakes"
    row = replace(row, metric=OVERALL, value_real=1.0, value_fake=0.966)
    assert evidence((row,))[0].compared == "the fakes have 0.97 times the real spread"
    assert evidence((replace(row, value_fake=None),))[0].compared == ""


@pytest.mark.parametrize(
    ("effect", "ends"), [(0.6, ("0", "1")), (2.0, ("0", "2.3")), (-0.1, ("\u22120.11", "1")), (None, ("", ""))]
)
def test_the_ends_of_a_line_are_named(effect: float | None, ends: tuple[str, str]) -> None:
    assert evidence((a_test(effect),))[0].ends == ends


def test_how_many_samples_an_answer_takes_is_said_once() -> None:
    verdict = Verdict(
        status="inconclusive", sentence="About 1,204 samples a side would show it.", needed=1204,
        needed_sentence="1,204 samples a side would tell.",
    )  # fmt: skip
    assert needed(verdict) == ""
    # Another number that holds these digits is another number.
    for sentence in ("Nothing was found.", "Of 31,204 rows.", "Of 1,204,000 rows."):
        assert needed(replace(verdict, sentence=sentence)) == "1,204 samples a side would tell."
    told = replace(verdict, sentence="", needed_sentence="")
    assert needed(told) == "1,204 samples a side would be enough."
    assert needed(replace(told, needed=None)) == ""


def test_shares_of_one_column_have_one_number_of_digits() -> None:
    modes = [("a", 0.0108, 0.0), ("b", 0.0100, 0.0), ("c", 0.0092, 0.001)]
    verdict = Verdict(status="collapsed", sentence="", lost=tuple(loss(*mode) for mode in modes))
    shown, _, _ = lost(verdict)
    assert [row.real for row in shown] == ["1.1 %", "1.0 %", "0.9 %"]
    assert [row.fake for row in shown] == ["0 %", "0 %", "0.1 %"]
    assert scale_end(verdict) == "1.2 %"


def test_a_lost_mode_says_what_else_it_is_called() -> None:
    same = (Same(mode="3", kind="class", modes=(), groups=("uncovered-0",), clusters=("cluster 2",)),)
    verdict = Verdict(status="collapsed", sentence="", lost=(loss("3", 0.2, 0.0), loss("7", 0.2, 0.0)))
    assert [row.also for row in lost(verdict, same)[0]] == ["below as group 1, cluster 2", ""]
    assert [row.also for row in lost(verdict)[0]] == ["", ""]
