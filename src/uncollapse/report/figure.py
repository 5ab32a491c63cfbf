"""Vector charts: a matplotlib figure of phone width becomes inline SVG that follows the page's colours and fonts.

Charts are drawn at about the size at which they are shown, so that 12 px type stays 12 px; text stays text.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from uncollapse.report.follow import Follower
from uncollapse.report.palette import INK, LINE, MUTED, replacements

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 360, 218
TYPE = 12.5


@dataclass
class Chart:
    """A chart being drawn; `markup` is set when the `with` block of `chart` ends.

    Attributes:
        figure: The matplotlib figure.
        axes: Its axes.
        values: What the points mean, for the page's script.
        markup: The finished SVG element.
    """

    figure: Figure
    axes: Axes
    values: Follower = field(default_factory=Follower)
    markup: Markup = field(default_factory=Markup)


@contextmanager
def chart(name: str, alt: str, *, width: int = WIDTH, height: int = HEIGHT) -> Iterator[Chart]:
    """Draws one chart and leaves it as SVG in `.markup`.

    Args:
        name: Unique on the page; identifiers inside the SVG are derived from it.
        alt: What the picture shows, for those who cannot see it.
        width: Width in CSS pixels, also the viewBox.
        height: Height in CSS pixels.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.size": TYPE,
        "text.color": INK,
        "axes.unicode_minus": True,
        "path.simplify_threshold": 0.4,
    }
    with mpl.rc_context(settings):
        layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.04)
        figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout=layout)
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        _plain(axes)
        drawn = Chart(figure, axes)
        yield drawn
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    values = drawn.values.data(axes, height)  # after the layout was made, which moves the axes
    drawn.markup = _inline(stream.getvalue(), name, alt, (width, height), values)


def _plain(axes: Axes) -> None:
    """Quiet axes: two spines, a faint horizontal grid, muted type."""
    axes.patch.set_visible(False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=TYPE, length=3, color=LINE)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(MUTED)
        axis.label.set_fontsize(TYPE)


def count_ticks(axes: Axes, *, axis: str = "x", most: int = 5) -> None:
    """Few round ticks with short labels: 500, 2k, 1.5M."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    which = axes.xaxis if axis == "x" else axes.yaxis
    which.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10]))
    which.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """A number as a short label: 0.25, 500, 2k, 1.5M, 3e-5."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}".replace("-", "\N{MINUS SIGN}")
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def _inline(svg: str, name: str, alt: str, size: tuple[int, int], values: str) -> Markup:
    """Matplotlib's SVG file -> an SVG element for the page: no header, no foreign names, page colours and fonts."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<g id=\"[^\"]*\"", "<g", body)
    body = re.sub(r"font: ?((?:\w+ )*)([\d.]+)px [^;\"]*", r"font: \1\2px var(--sans)", body)
    body = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", body)
    body = body.replace("xlink:href", "href")
    for colour, variable in replacements().items():
        body = body.replace(colour, variable)
    body = re.sub(r" d=\"[^\"]*\"", _rounder(1, 400), body)
    body = re.sub(r"=\"[^\"]*\"", lambda found: _rounded(found.group(0), 2), body)
    body = re.sub(r"\s*\n\s*", " ", body[body.index(">") + 1 :])
    head = (
        f'<svg class="chart" role="img" aria-label="{html.escape(alt, quote=True)}" '
        f'viewBox="0 0 {size[0]} {size[1]}" data-name="{html.escape(name, quote=True)}"'
    )
    head += f' data-values="{html.escape(values, quote=True)}">' if values else ">"
    return Markup(head + body.strip())


def _rounder(digits: int, least: int) -> Callable[[re.Match[str]], str]:
    """Rounds the numbers of long paths only; small marker shapes keep their precision."""
    return lambda found: _rounded(found.group(0), digits) if len(found.group(0)) >= least else found.group(0)


def _rounded(text: str, digits: int) -> str:
    return re.sub(rf"(\d\.\d{{{digits}}})\d+", r"\1", text)
