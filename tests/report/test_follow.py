from __future__ import annotations

import html
import json
import re
from typing import Any

import numpy as np
import pytest

from uncollapse.report.figure import Chart, chart
from uncollapse.report.follow import Line


def kept(drawn: Chart) -> dict[str, Any]:
    """What the chart keeps for the script."""
    found = re.search(r'data-values="([^"]*)"', drawn.markup)
    assert found
    value: dict[str, Any] = json.loads(html.unescape(found[1]))
    return value


def test_positions_are_where_the_marks_are_drawn() -> None:
    with chart("a", "b") as drawn:
        drawn.axes.plot([0, 10, 20], [1, 100, 10], ls="", marker="o", color="#0a0b00")
        drawn.axes.set_yscale("log")
        drawn.values.words("update", "loss")
        drawn.values.add(Line(name="wgan-gp, seed 3", x=[0, 10, 20], y=[1, 100, 10]))
    # matplotlib writes each mark as a use of one shape at its place.
    marks = [
        tuple(map(float, pair)) for pair in re.findall(r'<use href="#\w+" x="([\d.]+)" y="([\d.]+)"', drawn.markup)
    ]
    (line,) = kept(drawn)["lines"]
    places = list(zip(kept(drawn)["grids"][line["grid"]]["px"], line["py"], strict=True))
    assert all(any(mark == pytest.approx(place, abs=0.51) for mark in marks) for place in places)
    assert line["y"] == [1, 100, 10]


def test_lines_at_the_same_updates_share_them_and_gaps_are_null() -> None:
    with chart("a", "b") as drawn:
        drawn.axes.plot([0, 4000], [0, 1])
        drawn.values.words("update", "share", per_cent=True)
        drawn.values.add(Line(name="one", x=[0, 4000], y=[0.123456, np.nan]))
        drawn.values.add(Line(name="two", x=[0, 4000], y=[0.5, 1.0]))
        drawn.values.add(Line(name="none", x=[0, 4000], y=[np.nan, np.inf]))
    found = kept(drawn)
    assert [line["name"] for line in found["lines"]] == ["one", "two"]
    assert [line["grid"] for line in found["lines"]] == [0, 0]
    assert [line["y"] for line in found["lines"]] == [[12.35, None], [50, 100]]
    assert found["grids"][0]["at"] == [0, 4000]
    assert (found["x"], found["y"], found["unit"]) == ("update", "share", " %")


def test_names_are_escaped_and_nothing_is_kept_of_an_empty_chart() -> None:
    with chart("a", "b") as drawn:
        drawn.axes.plot([0, 1], [0, 1])
        drawn.values.add(Line(name='"><script>', x=[0, 1], y=[0, 1], said=["<b>", "c"]))
    assert "<script" not in drawn.markup
    assert kept(drawn)["lines"][0]["name"] == '"><script>'
    with chart("a", "b") as empty:
        empty.axes.plot([0, 1], [0, 1])
    assert "data-values" not in empty.markup
