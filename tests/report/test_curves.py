from __future__ import annotations

from pathlib import Path

import numpy as np

from uncollapse.report.curves import families
from uncollapse.report.figure import chart, short
from uncollapse.report.palette import styles
from uncollapse.report.planar import spread
from uncollapse.report.records import Cell, Record


def test_families_are_tasks_that_differ_in_their_number_only() -> None:
    names = ("blobs-16", "ring-8", "blobs-4", "digits")
    cells = tuple(Cell(method="a", task=task, seeds=(), runs=()) for task in names)
    record = Record(directory=Path(), kind="comparison", plan={}, cells=cells, versions={}, command="")
    assert families(record) == {"blobs": [(4, "blobs-4"), (16, "blobs-16")]}


def test_spread_keeps_even_distances_and_the_last() -> None:
    assert spread(list(range(0, 1100, 100)), 11) == list(range(0, 1100, 100))
    thinned = spread(list(range(0, 2100, 100)), 8)
    assert thinned[-1] == 2000
    assert len(thinned) <= 8
    assert len(set(np.diff(thinned))) == 1


def test_each_method_has_its_own_look_and_keeps_it() -> None:
    looks = styles([f"m{i}" for i in range(16)])
    assert len({(look.hue, look.marker, look.dash) for look in looks.values()}) == 16
    assert styles(["a", "b", "a"])["b"].slot == 1


def test_short_labels() -> None:
    assert [short(value) for value in (0, 500, 2000, 1.5e6, -0.5)] == ["0", "500", "2k", "1.5M", "\u22120.5"]


def test_a_chart_follows_the_page_and_holds_no_foreign_name() -> None:
    with chart("name <&", 'what "it" shows') as drawn:
        drawn.axes.plot([0, 1], [0, 1], color=styles(["a"])["a"].ink)
        drawn.axes.set_xlabel("a <b> $c$")
    svg = str(drawn.markup)
    assert "stroke: var(--m0)" in svg
    assert "a &lt;b&gt; $c$" in svg
    assert 'aria-label="what &quot;it&quot; shows"' in svg
    assert "://" not in svg
    assert "<style" not in svg
    assert "DejaVu" not in svg
