"""How the classes of labelled images are shared out: over training, at the end, and as an entropy in bits.

A class that dies shows as a bar that shrinks; the real data's shares and entropy stand beside the generated ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

from uncollapse.report.curves import Panel
from uncollapse.report.figure import chart, count_ticks
from uncollapse.report.palette import INK, REAL, Style
from uncollapse.report.planar import spread
from uncollapse.report.real import Real
from uncollapse.report.records import Array, Cell


def share_bars(cells: Sequence[Cell], real: Real, columns: int) -> list[tuple[str, list[Panel]]]:
    """Shares of the classes at several moments, one row of small bar charts a method (mean over seeds)."""
    rows = []
    for cell in cells:
        tables = [(updates, shares) for lane in cell.lanes for updates, shares in [lane.shares()] if len(updates)]
        same = [shares for updates, shares in tables if np.array_equal(updates, tables[0][0])]
        if not same:
            continue
        stack = np.array(same)
        mean = _mean(stack)
        chosen = spread([int(update) for update in tables[0][0]], columns)
        top = max(2.2 / mean.shape[1], float(np.nanmax(mean)))
        panels = []
        for update in chosen:
            heights = mean[list(tables[0][0]).index(update)]
            alt = f"Shares of the classes of {cell.method} on {real.name} after {update} updates, "
            alt += f"mean of {len(same)} seeds: " + ", ".join(
                f"{k}: {100 * share:.0f} %" for k, share in enumerate(heights)
            )
            panels.append(Panel(title="", method="", markup=_bars(heights, top, alt), caption=f"{update:,}"))
        rows.append((cell.method, panels))
    return rows


def _mean(stack: Array) -> Array:
    """Mean over the first axis without NaN; zero where a column has nothing else."""
    known = np.isfinite(stack)
    total: Array = np.where(known, stack, 0).sum(0) / np.maximum(known.sum(0), 1)
    return total


def _bars(heights: Array, top: float, alt: str) -> Markup:
    """A small bar chart in the colour of its surroundings, with the fair share as a line."""
    width, height, base = 130.0, 92.0, 74.0
    step = width / len(heights)
    bars = "".join(
        f'<rect x="{k * step + 1:.1f}" y="{base - base * min(share / top, 1):.1f}" width="{step - 2:.1f}" '
        f'height="{base * min(share / top, 1):.1f}"/>'
        for k, share in enumerate(np.nan_to_num(heights))
    )
    fair = base - base * min(1 / len(heights) / top, 1)
    names = "".join(
        f'<text x="{(k + 0.5) * step:.1f}" y="{height - 1:.0f}">{k}</text>'
        for k in range(len(heights))
        if len(heights) <= 10
    )
    return Markup(
        f'<svg class="bars" role="img" aria-label="{escape(alt)}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f'{bars}<path class="fair" d="M0 {fair:.1f}H{width:.0f}"/>'
        f'<path class="base" d="M0 {base:.1f}H{width:.0f}"/>{names}</svg>'
    )


def real_entropy(real: Real) -> float | None:
    """Entropy in bits of the held-out real labels, None without labels."""
    if real.labels is None:
        return None
    shares = np.bincount(real.labels) / len(real.labels)
    return float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())


def entropies(cells: Sequence[Cell], real: Real, looks: Mapping[str, Style]) -> Panel | None:
    """Entropy of the classes over training: the mean over seeds of each method with the range of its seeds."""
    alt = f"Entropy in bits of the class shares on {real.name} over training, one line a method, beside the real data's"
    drawn_any = False
    with chart(f"entropy-{real.name}", alt, width=400, height=250) as drawn:
        for cell in cells:
            tables = [lane.shares() for lane in cell.lanes]
            same = [shares for updates, shares in tables if len(updates) and np.array_equal(updates, tables[0][0])]
            if not same:
                continue
            bits = _entropy(np.array(same))
            style, updates = looks[cell.method], tables[0][0]
            low, high = np.nanmin(bits, 0), np.nanmax(bits, 0)
            drawn.axes.fill_between(updates, low, high, color=style.ink, alpha=0.16, lw=0)
            drawn.axes.plot(
                updates, _mean(bits), color=style.ink, ls=style.linestyle, marker=style.marker, ms=5.5, lw=1.8
            )
            drawn_any = True
        bound = real_entropy(real)
        if bound is not None:
            drawn.axes.axhline(bound, color=REAL, lw=1.3, ls=(0, (5, 3)))
        drawn.axes.set_ylim(bottom=0)
        drawn.axes.set_ylabel("bits")
        drawn.axes.set_xlabel("critic updates")
        count_ticks(drawn.axes)
    said = f"Dashed grey: real held-out data, {bound:.2f} bits. " if bound is not None else ""
    caption = said + "Lines: mean over seeds; bands: lowest and highest seed."
    return Panel(title="Entropy of the classes", method="", markup=drawn.markup, caption=caption) if drawn_any else None


def _entropy(shares: Array) -> Array:
    """Entropy in bits over the last axis; NaN where the shares are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log2(shares), 0.0)
    bits: Array = np.where(np.isfinite(shares).all(-1), -terms.sum(-1), np.nan)
    return bits


def final_shares(cells: Sequence[Cell], real: Real, looks: Mapping[str, Style], weights: str) -> Panel | None:
    """Final shares of the classes as grouped bars with intervals over seeds, beside the real ones."""
    from matplotlib.ticker import MaxNLocator

    groups: list[tuple[str, Array, tuple[list[float], list[float]] | None]] = []
    if real.labels is not None:
        groups.append(("", np.bincount(real.labels, minlength=len(real.mode_names)) / len(real.labels), None))
    for cell in cells:
        table = _final_table(cell, weights)
        if table is not None:
            groups.append((cell.method, table.mean(0), _limits(table)))
    if not any(method for method, _, _ in groups):
        return None
    alt = f"Final shares of the classes on {real.name} as grouped bars: real data and each method, with intervals"
    with chart(f"shares-{real.name}", alt, width=400, height=250) as drawn:
        width = 0.84 / len(groups)
        for place, (method, shares, limits) in enumerate(groups):
            at = np.arange(len(shares)) + (place - (len(groups) - 1) / 2) * width
            drawn.axes.bar(at, shares, width * 0.88, color=looks[method].ink if method else REAL, zorder=2)
            if limits is not None:
                drawn.axes.vlines(at, limits[0], limits[1], color=INK, lw=1.2, zorder=3)
        drawn.axes.set_xticks(range(len(groups[0][1])), [str(k) for k in range(len(groups[0][1]))])
        drawn.axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        drawn.axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        drawn.axes.set_xlabel("class")
    caption = "Classes as the classifier sees them. Bars: mean over seeds; lines: 95 % interval over seeds. "
    caption += "Grey: real held-out data."
    return Panel(title="Final shares of the classes", method="", markup=drawn.markup, caption=caption)


def _final_table(cell: Cell, weights: str) -> Array | None:
    """Shares (seeds, K) of all samples by mode of the seeds that have a result, None when there is none."""
    rows = []
    for lane in cell.lanes:
        counts = np.array(lane.outcome.get("counts", {}).get(weights, {}).get("all") or [], float)
        if counts.sum() > 0:
            rows.append(counts / counts.sum())
    return np.array(rows) if rows else None


def _limits(table: Array) -> tuple[list[float], list[float]]:
    """Interval of the mean share of each class over seeds."""
    from uncollapse.metrics.intervals import mean_interval

    found = [mean_interval([float(value) for value in column], bounds=(0.0, 1.0)) for column in table.T]
    ends = [(i.mean if i.low is None else i.low, i.mean if i.high is None else i.high) for i in found]
    return [float(low or 0.0) for low, _ in ends], [float(high or 0.0) for _, high in ends]
