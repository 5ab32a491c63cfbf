from __future__ import annotations

import pytest

from uncollapse.report.evaluation_strips import (
    Scale,
    difference_strip,
    effect_scale,
    effect_strip,
    interval_strip,
    ratio_strip,
    spread_strip,
)


def test_places_are_per_cents_and_stay_on_the_line() -> None:
    scale = Scale(low=-1.0, high=3.0)
    assert [scale.at(value) for value in (-1.0, 0.0, 3.0, 9.0, -9.0)] == [0.0, 25.0, 100.0, 100.0, 0.0]
    assert scale.span(0.0, 1.0) == (25.0, 50.0, "span")
    # A missing end is no limit.
    assert scale.span(None, 1.0) == (0.0, 50.0, "span")
    assert scale.span(0.0, None) == (25.0, 0.0, "span")


def test_a_value_with_its_interval_and_its_reference() -> None:
    strip = interval_strip("words", Scale(low=0.0, high=1.0), 0.5, 0.25, 0.75, reference=0.9)
    assert strip.spans == ((25.0, 25.0, "span"),)
    assert strip.marks == ((90.0, "reference"), (50.0, "mean"))
    assert interval_strip("words", Scale(low=0.0, high=1.0), 0.5, None, None).spans == ()


@pytest.mark.parametrize(
    ("effect", "minimum", "bar", "limit"),
    [
        (0.6, 0.5, (0.0, 40.0), 50.0),  # shares stand on 0 to 1
        (2.0, 1.0, (0.0, 13.04), 43.48),  # others on 0 to 1.15 x 2
        (-0.1, 0.5, (0.9, 90.09), 54.95),  # from -0.11 to 1
    ],
)
def test_an_effect_is_a_bar_from_zero(effect: float, minimum: float, bar: tuple[float, float], limit: float) -> None:
    strip = effect_strip("words", effect, minimum, "effect large")
    assert strip is not None
    assert strip.spans == ((pytest.approx(bar[0], abs=0.01), pytest.approx(bar[1], abs=0.01), "effect large"),)
    assert strip.marks[0] == (pytest.approx(limit, abs=0.01), "limit")
    assert ("zero" in [kind for _, kind in strip.marks]) is (effect < 0)


def test_the_scale_of_an_effect_is_that_of_shares_where_it_can_be() -> None:
    assert effect_scale(0.6, 0.5) == effect_scale(0.0, None) == Scale(low=0.0, high=1.0)
    assert effect_scale(2.0, 1.0).high == pytest.approx(2.3)
    assert effect_scale(-0.1, 0.5).low == pytest.approx(-0.11)


def test_without_an_effect_there_is_nothing_to_draw() -> None:
    assert effect_strip("words", None, 0.5, "effect unsure") is None


def test_ratios_are_logarithmic_around_one() -> None:
    strip = ratio_strip("words", 0.25, 0.0625, 1.0)
    # log2 from -4 to 4: 1/4 stands at a quarter, 1/16 at the left end, 1 in the middle.
    assert strip.marks == ((50.0, "reference"), (25.0, "mean"))
    assert strip.spans == ((0.0, 50.0, "span"),)
    assert ratio_strip("words", 0.0, 0.0, 0.1).marks[1] == (0.0, "mean")


def test_a_difference_has_zero_in_the_middle() -> None:
    strip = difference_strip("words", -1.0, -2.0, 0.0)
    assert strip.marks == ((50.0, "reference"), (pytest.approx(27.27, abs=0.01), "mean"))
    assert difference_strip("words", 0.0, 0.0, 0.0).marks[1][0] == 50.0


def test_both_sides_have_their_mean_and_spread() -> None:
    strip = spread_strip("words", Scale(low=-2.0, high=2.0), (0.0, 1.0), (1.0, 0.5))
    assert strip.spans == ((25.0, 25.0, "span upper"), (62.5, 12.5, "span lower"))
    assert strip.marks == ((50.0, "mean upper"), (75.0, "mean lower"))
