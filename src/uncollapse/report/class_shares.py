"""How the classes of labelled data are shared out: over training, at the end, and as an entropy in bits.

A class that dies shows as a bar that shrinks; the real data's shares and entropy stand beside the generated ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from uncollapse.report.class_grids import class_names
from uncollapse.report.curves import Panel
from uncollapse.report.figure import chart, count_ticks
from uncollapse.report.follow import Line
from uncollapse.report.measures import number, seeds_text
from uncollapse.report.palette import INK, REAL, Style
from uncollapse.report.planar import spread
from uncollapse.report.real import Real
from uncollapse.report.records import Array, Cell

# Bars of one task share a scale, which ends at the largest share, but within these multiples of an equal one: a class
# that takes all at the start would flatten every later bar.
LEAST_TOP, MOST_TOP = 2.2, 5.0


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Shares of the classes at several moments.

    Attributes:
        rows: A method and one small bar chart a moment.
        top: The share at which the scale of all charts ends.
        cut: Whether some bar is longer than that.
    """

    rows: list[tuple[str, list[Panel]]]
    top: float
    cut: bool


def share_bars(cells: Sequence[Cell], real: Real, columns: int, weights: str = "averaged") -> Bars | None:
    """Shares of the classes at several moments, one row of small bar charts a method (mean over seeds)."""
    found = [(cell, *shares) for cell in cells if (shares := _shares_over_training(cell, weights))]
    if not found:
        return None
    largest, count = max(float(np.nan_to_num(_mean(stack)).max()) for *_, stack in found), found[0][2].shape[-1]
    top = min(max(LEAST_TOP / count, largest), MOST_TOP / count)
    rows = [(cell.method, _moments(cell, real, updates, stack, columns, top)) for cell, updates, stack in found]
    return Bars(rows=rows, top=top, cut=largest > top)


def _shares_over_training(cell: Cell, weights: str) -> tuple[Array, Array] | None:
    """Updates (T,) and shares (seeds, T, K) of the seeds that have them at the same moments; None without any."""
    tables = [(updates, shares) for lane in cell.lanes for updates, shares in [lane.shares(weights)] if len(updates)]
    same = [shares for updates, shares in tables if np.array_equal(updates, tables[0][0])]
    return (tables[0][0], np.array(same)) if same else None


def _moments(cell: Cell, real: Real, updates: Array, stack: Array, columns: int, top: float) -> list[Panel]:
    """One small bar chart for each of at most so many moments."""
    mean, count = _mean(stack), stack.shape[-1]
    names, true, panels = class_labels(real, count), true_shares(real), []
    aims = true if true is not None and len(true) == count else np.full(count, 1 / count)
    for update in spread([int(update) for update in updates], columns):
        moment = list(updates).index(update)
        heights = mean[moment]
        finite = int(np.isfinite(stack[:, moment]).all(-1).sum())
        alt = f"Shares of the classes of {cell.method} on {real.name} after {update} updates, "
        shares_said = ", ".join(f"{k}: {100 * v:.0f} %" for k, v in zip(names, heights, strict=True) if np.isfinite(v))
        alt += f"mean of {seeds_text(finite)}: {shares_said or 'no finite sample'}"
        caption = f"{update:,}" if finite else f"{update:,}: none"
        panels.append(Panel(title="", method="", markup=_bars(heights, aims, top, alt, names), caption=caption))
    return panels


def _mean(stack: Array) -> Array:
    """Mean over the first axis without NaN; NaN where a column has nothing else, so that a gap is drawn."""
    known = np.isfinite(stack)
    total: Array = np.where(known, stack, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)
    return total


def class_labels(real: Real, count: int) -> tuple[str, ...]:
    """What stands under the bars: the classes' short names where all are known and short, else their numbers."""
    names = class_names(real)
    fits = len(names) == count and all(len(name) <= 3 for name in names)
    return names if fits else tuple(str(k) for k in range(count))


def class_key(real: Real, count: int) -> str:
    """What the numbers under the bars stand for, empty where names stand there or are too many to list."""
    names = real.mode_names
    if len(names) != count or class_labels(real, count) == class_names(real) or count > 25:
        return ""
    return " Classes: " + ", ".join(f"{k} = {name}" for k, name in enumerate(names)) + "."


def _bars(heights: Array, aims: Array, top: float, alt: str, labels: Sequence[str]) -> Markup:
    """A small bar chart in the colour of its surroundings, with a tick at the true share of each class."""
    width, height, base = 130.0, 92.0, 74.0
    step = width / len(heights)
    thick = max(step - 2, 0.6 * step)
    bars = "".join(
        f'<rect x="{k * step + 1:.1f}" y="{base - base * min(share / top, 1):.1f}" width="{thick:.1f}" '
        f'height="{base * min(share / top, 1):.1f}"><title>{escape(labels[k])}: {number(share, "share")}</title></rect>'
        for k, share in enumerate(heights)
        if np.isfinite(share)
    )
    ticks = "".join(
        f"M{k * step:.1f} {base - base * min(float(aim) / top, 1):.1f}h{step:.1f}" for k, aim in enumerate(aims)
    )
    names = "".join(
        f'<text x="{(k + 0.5) * step:.1f}" y="{height - 1:.0f}">{escape(label)}</text>'
        for k, label in enumerate(labels)
        if len(heights) <= 10
    )
    return Markup(
        f'<svg class="bars" role="img" aria-label="{escape(alt)}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f'{bars}<path class="fair" d="{ticks}"/>'
        f'<path class="base" d="M0 {base:.1f}H{width:.0f}"/>{names}</svg>'
    )


def true_shares(real: Real) -> Array | None:
    """The shares of the classes in the training data, None without labels."""
    if real.labels is None or real.task is None:
        return None
    shares: Array = real.task.modes.weights.double().numpy()
    return shares


def real_entropy(real: Real) -> float | None:
    """Entropy in bits of the true shares of the classes, None without labels."""
    shares = true_shares(real)
    return None if shares is None else float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())


def entropies(cells: Sequence[Cell], real: Real, looks: Mapping[str, Style], weights: str = "averaged") -> Panel | None:
    """Entropy of the classes over training: the mean over seeds of each method with the range of its seeds."""
    alt = f"Entropy in bits of the class shares on {real.name} over training, one line a method, beside the real data's"
    drawn_any = False
    with chart(f"entropy-{real.name}", alt, width=400, height=250) as drawn:
        for cell in cells:
            tables = [lane.shares(weights) for lane in cell.lanes]
            same = [shares for updates, shares in tables if len(updates) and np.array_equal(updates, tables[0][0])]
            if not same:
                continue
            bits = _entropy(np.array(same))
            style, updates = looks[cell.method], tables[0][0]
            gone = ~np.isfinite(bits).any(0)
            low = np.where(gone, np.nan, np.where(np.isfinite(bits), bits, np.inf).min(0))
            high = np.where(gone, np.nan, np.where(np.isfinite(bits), bits, -np.inf).max(0))
            drawn.axes.fill_between(updates, low, high, color=style.ink, alpha=0.16, lw=0)
            drawn.axes.plot(
                updates, _mean(bits), color=style.ink, ls=style.linestyle, marker=style.marker, ms=5.5, lw=1.8
            )
            drawn.values.add(Line(name=f"{cell.method}, mean of {seeds_text(len(same))}", x=updates, y=_mean(bits)))
            drawn_any = True
        bound = real_entropy(real)
        if bound is not None:
            drawn.axes.axhline(bound, color=REAL, lw=1.3, ls=(0, (5, 3)))
        drawn.axes.set_ylim(bottom=0)
        drawn.axes.set_ylabel("bits")
        drawn.values.words("update", "entropy in bits")
        drawn.axes.set_xlabel("critic updates")
        count_ticks(drawn.axes)
    said = f"Dashed grey: the true shares, {bound:.2f} bits. " if bound is not None else ""
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
    true = true_shares(real)
    if true is not None:
        groups.append(("", true, None))
    for cell in cells:
        table = _final_table(cell, weights)
        if table is not None:
            # Equal seeds make intervals as wide as the range allows, which would dwarf every bar: the caption says so.
            same = bool((table == table[0]).all())
            groups.append((cell.method, table.mean(0), None if same else _limits(table)))
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
            drawn.values.add(Line(name=method or "true shares", x=at, y=shares, at=class_labels(real, len(shares))))
        count = len(groups[0][1])
        every = range(0, count, max(1, -(-count // 12)))
        drawn.axes.set_xticks(every, [class_labels(real, count)[k] for k in every])
        drawn.axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        drawn.axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        drawn.axes.set_xlabel("class")
        drawn.values.words("class", "share", per_cent=True)
    caption = (
        f"Classes {real.judge}. Bars: mean over seeds; lines: 95 % interval over seeds, none where all are equal. "
    )
    if any(cell.conditional for cell in cells):
        caption += "Methods that take a label are asked for the true shares. "
    caption += f"Grey: the true shares.{class_key(real, count)}"
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
