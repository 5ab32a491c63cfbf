from __future__ import annotations

from uncollapse.report.figure import chart, short
from uncollapse.report.palette import styles


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
