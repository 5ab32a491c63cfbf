"""Small texts: nothing in a name drives a terminal; seeds, times and sizes read well."""

from __future__ import annotations

import pytest

from uncollapse.text import clean, duration, seed_text, size, web_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[31mred", "a[31mred"),
        ("two\nlines\ttab", "twolinestab"),
        ("bell\x07\x9b2J", "bell2J"),
        ("right\u202eleft", "rightleft"),
        ("名前 é", "名前 é"),
    ],
)
def test_control_characters_are_taken_out(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_seeds_read_as_ranges() -> None:
    assert seed_text((4,)) == "seed 4"
    assert seed_text((5, 3, 4, 9)) == "seeds 3-5, 9"
    assert seed_text((0, 1), "") == "0-1"


def test_lengths_of_time_and_sizes() -> None:
    times = [duration(seconds) for seconds in (0.4, 59.4, 61, 3600, 7_265)]
    assert times == ["0 s", "59 s", "1 min 01 s", "1 h 00 min", "2 h 01 min"]
    assert [size(n) for n in (0, 999, 1_000, 2_500_000, 3e12)] == ["0 B", "999 B", "1.0 kB", "2.5 MB", "3.0 TB"]


def test_an_address_stays_one_and_a_number_becomes_one() -> None:
    assert web_address("https://example.org/a") == "https://example.org/a"
    assert web_address("1706.08500") == "https://arxiv.org/abs/1706.08500"
    assert web_address("") == ""
