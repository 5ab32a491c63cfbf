from __future__ import annotations

import pytest

from uncollapse.data.limits import LONGEST_TEXT, Fixed, check_bad, reason, short, short_label, where
from uncollapse.data.source import Notes
from uncollapse.errors import UserError


def notes(bad: int) -> Notes:
    found = Notes()
    for number in range(bad):
        found.refuse(f"folder/{number}.png", "is empty")
    return found


def check(bad: int, tried: int, count: int | None, *, finished: bool, max_bad: float = 0.01) -> None:
    check_bad(notes(bad), tried, count, max_bad, "real (x)", finished=finished)


def test_names_of_sides_hold_no_control_characters() -> None:
    assert where("real", "a\x1b[31m\nb.zip") == "real (a[31mb.zip)"
    assert len(short("x" * 1000)) == LONGEST_TEXT


def test_only_labels_end_in_a_digest_where_they_are_cut() -> None:
    long = ["x" * 400 + end for end in "ab"]
    assert {short(text) for text in long} == {"x" * 297 + "..."}
    assert len({short_label(text) for text in long}) == 2
    assert short_label("cat") == short("cat") == "cat"


def test_reasons() -> None:
    assert reason(FileNotFoundError(2, "No such file or directory")) == "no such file or directory"
    assert reason(ValueError("odd\nthing")) == "ValueError: oddthing"
    assert reason(EOFError()) == "EOFError"


def test_up_to_the_share_is_tolerated_and_one_more_is_not() -> None:
    check(0, 0, 0, finished=True)
    check(10, 1000, 1000, finished=True)
    with pytest.raises(
        UserError, match=r"real .x.: 11 of 1,000 rows cannot be read, more than the allowed share of 0.01"
    ):
        check(11, 1000, 1000, finished=True)


def test_a_small_set_is_judged_at_its_end_only() -> None:
    check(3, 4, 50, finished=False)
    with pytest.raises(UserError, match=r"3 of 50 rows"):
        check(3, 50, 50, finished=True)


def test_a_hopeless_set_is_given_up_early_and_the_first_are_listed() -> None:
    check(10, 20, 1000, finished=False)
    with pytest.raises(
        UserError,
        match=r"11 of 1,000 rows or more cannot be read.*: 0.png is empty; 1.png is empty; 2.png is empty; ...\.",
    ):
        check(11, 20, 1000, finished=False)


def test_without_a_known_count_the_end_decides() -> None:
    check(500, 500, None, finished=False)
    with pytest.raises(UserError, match="500 of 500"):
        check(500, 500, None, finished=True)


def test_a_share_of_one_tolerates_all() -> None:
    check(50, 50, 50, finished=True, max_bad=1.0)
    with pytest.raises(UserError, match="1 of 50"):
        check(1, 50, 50, finished=True, max_bad=0.0)


def test_the_option_is_named_only_where_there_is_one() -> None:
    with pytest.raises(UserError, match=r"Repair or remove them, or allow more with max_bad \(--max-bad\)\.$"):
        check(11, 1000, 1000, finished=True)
    with pytest.raises(UserError, match=r"the allowed share of 0\.01: .*or remove them, as here no more are") as told:
        check(11, 1000, 1000, finished=True, max_bad=Fixed(0.01))
    assert "max" not in str(told.value)
    check(10, 1000, 1000, finished=True, max_bad=Fixed(0.01))
