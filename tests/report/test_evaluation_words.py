from __future__ import annotations

import pytest

from uncollapse.report.evaluation_words import amount, between, places, ratios, share, signed, times


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


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ([0.108, 0.2, 0.0, None], ["11 %", "20 %", "0 %", "none"]),
        ([0.0108, 0.01, 0.0092], ["1.1 %", "1.0 %", "0.9 %"]),
        ([0.108, 0.0011], ["10.8 %", "0.1 %"]),
        ([0.108, 0.0001], ["10.80 %", "0.01 %"]),
        ([0.9996, 1.0], [">99 %", "100 %"]),
    ],
)
def test_shares_of_one_column_have_one_number_of_digits(column: list[float | None], texts: list[str]) -> None:
    assert [share(value, places(column)) for value in column] == texts


def test_no_share_reads_as_nothing_that_is_something() -> None:
    assert (share(0.004, 0), share(0.00004, 1), share(0.0, 1), share(float("nan"), 1)) == (
        "<1 %", "<0.1 %", "0 %", "none",
    )  # fmt: skip
    assert places([]) == places([0.0, None]) == 0


def test_an_interval_has_the_digits_of_its_column() -> None:
    assert (between(0.0, 0.0043, 1), between(0.089, 0.13, 1)) == ("0 to 0.4 %", "8.9 to 13.0 %")
    assert (between(None, 0.2, 1), between(0.1, None, 1), between(None, None, 1)) == (
        "at most 20.0 %", "at least 10.0 %", "no interval",
    )  # fmt: skip
