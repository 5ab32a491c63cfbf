from __future__ import annotations

import pytest

from uncollapse.report.evaluation_words import amount, between, ratios, signed, times


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.25, "0.25"), (999.4, "999"), (1874.0, "1,874"), (-2500.0, "\u22122,500"), (3e12, "3.00e+12")],
)
def test_numbers_of_any_size(value: float, text: str) -> None:
    assert amount(value) == text


def test_a_difference_carries_its_sign() -> None:
    assert [signed(v) for v in (0.5, -0.5, 2000.0, None)] == ["+0.50", "\u22120.50", "+2,000", "none"]


def test_ratios_have_two_digits() -> None:
    assert [times(v) for v in (0.0, 0.0792, 1.0, 15.6, 240.0, None)] == ["0", "0.079", "1", "16", "240", "none"]


def test_intervals_with_a_missing_end_are_one_sided() -> None:
    assert between(0.1, 0.2) == "10 to 20 %"
    assert (between(None, 0.2), between(0.1, None), between(None, None)) == (
        "at most 20 %",
        "at least 10 %",
        "no interval",
    )
    assert ratios(0.25, 0.5) == "0.25 to 0.5"
    assert (ratios(None, 0.5), ratios(2.0, None), ratios(None, None)) == ("at most 0.5", "at least 2", "no interval")
