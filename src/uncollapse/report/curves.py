"""Line charts: coverage against the number of modes, modes over training, losses and entropies of every seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from markupsafe import Markup

from uncollapse.monitoring_rows import NEVER_HEALTHY, ROLLED_BACK, MonitorRow
from uncollapse.report.figure import Chart, chart, count_ticks, short
from uncollapse.report.follow import Line
from uncollapse.report.measures import entry_of
from uncollapse.report.palette import INK, MUTED, PAPER, REAL, WARN, Style
from uncollapse.report.records import Array, Cell, Lane, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One chart of a row of charts.

    Attributes:
        title: What stands above it; a method's name is shown with its mark.
        method: The method it belongs to, empty when it shows several.
        markup: The chart.
        caption: The line under it.
    """

    title: str
    method: str
    markup: Markup
    caption: str = ""


def families(record: Record) -> dict[str, list[tuple[int, str]]]:
    """Families of tasks that differ only in their number of modes: family -> [(K, task)], at least two K each."""
    found: dict[str, list[tuple[int, str]]] = {}
    for task in record.tasks:
        match = re.fullmatch(r"(.+)-(\d+)", task)
        if match and int(match[2]) > 0:
            found.setdefault(match[1], []).append((int(match[2]), task))
    return {family: sorted(tasks) for family, tasks in found.items() if len(tasks) > 1}


def coverage(record: Record, family: str, looks: Mapping[str, Style]) -> list[Panel]:
    """Share of the modes kept against their number: the strict measure, and the lenient one with what was claimed."""
    tasks = families(record)[family]
    claimed = record.plan.get("claims") or {}
    panels = []
    for key, title in (("modes_solid", "Solid modes, share of all"), ("tutorial_coverage", "Lenient coverage")):
        values = claimed.get("values", {}) if claimed.get("measure", "tutorial_coverage") == key else {}
        if not any(entry_of(cell, key) for _, task in tasks for cell in record.of(task)):
            continue
        caption = "Open marks and dotted lines: what the source claims." if values else ""
        alt = f"{title} against the number of modes of {family}, with intervals over seeds, one line a method"
        with chart(f"coverage-{family}-{key}", alt, width=400, height=280) as drawn:
            drawn.values.words("number of modes", title[:1].lower() + title[1:], per_cent=True)
            _coverage_lines(drawn, record, tasks, key, looks, values)
        panels.append(Panel(title=title, method="", markup=drawn.markup, caption=caption))
    return panels


def _coverage_lines(
    drawn: Chart,
    record: Record,
    tasks: list[tuple[int, str]],
    key: str,
    looks: Mapping[str, Style],
    claimed: Mapping[str, Mapping[str, float]],
) -> None:
    """One line a method through its means with intervals, and the claimed values as open marks."""
    axes = drawn.axes
    methods = [method for method in record.methods if any(c.method == method for _, t in tasks for c in record.of(t))]
    for place, method in enumerate(methods):
        style, shift = looks[method], 1 + 0.05 * (place - (len(methods) - 1) / 2)
        points = _coverage_points(record, tasks, method, key)
        if len(points):
            x, mean, low, high = points.T
            axes.vlines(x * shift, low, high, color=style.ink, linewidth=1.6, zorder=3)
            axes.plot(x * shift, mean, c=style.ink, ls=style.linestyle, marker=style.marker, ms=6.5, lw=1.6, zorder=4)
            drawn.values.add(Line(name=f"{method}, mean", x=x * shift, y=mean, at=[f"{k:.0f}" for k in x]))
        told = [(k * shift, float(claimed[method][t])) for k, t in tasks if t in claimed.get(method, {})]
        if told:
            x, y = np.array(told).T
            axes.plot(x, y, color=style.ink, linestyle=":", lw=1.1, zorder=2)
            axes.plot(x, y, ls="", color=style.ink, marker=style.marker, ms=7, mfc=PAPER, mew=1.3, zorder=5)
            drawn.values.add(
                Line(name=f"{method}, claimed", x=x, y=y, at=[str(k) for k, t in tasks if t in claimed[method]])
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks([modes for modes, _ in tasks], [str(modes) for modes, _ in tasks])
    axes.minorticks_off()
    axes.set_xlim(tasks[0][0] / 1.25, tasks[-1][0] * 1.25)
    axes.set_ylim(-0.03, 1.06)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("number of modes K")


def _coverage_points(record: Record, tasks: list[tuple[int, str]], method: str, key: str) -> Array:
    """Rows (K, mean, low, high) of one method as shares of the modes, (n, 4)."""
    points = []
    for modes, task in tasks:
        cell = next((cell for cell in record.of(task) if cell.method == method), None)
        entry = entry_of(cell, key) if cell else None
        if entry:
            size = modes if key == "modes_solid" else 1
            ends = (entry[name] if entry.get(name) is not None else entry["mean"] for name in ("mean", "low", "high"))
            points.append((modes, *(float(end) / size for end in ends)))
    return np.array(points, float)


def weights_note(cell: Cell, field: str, weights: str) -> str:
    """A caption where the snapshots judge other weights than the table: empty where they agree."""
    other = weights == "live" and any(run.snapshot_field(field, weights) == field for run in cell.runs)
    return "Averaged weights; the table shows the live ones." if other else ""


def modes_over_training(
    cells: Sequence[Cell], task: str, looks: Mapping[str, Style], detail: float, weights: str = "averaged"
) -> list[Panel]:
    """Solid modes over the updates, one chart a method: a thin line a seed, their median thick."""
    panels = []
    modes = next((cell.modes for cell in cells if cell.modes), None)
    last = max((run.update for cell in cells for run in cell.runs), default=0)
    for cell in cells:
        tracks = [(lane.seed, *lane.measured("modes_solid", weights)) for lane in cell.lanes]
        tracks = [track for track in tracks if len(track[1])]
        if not tracks or not modes:
            continue
        alt = f"Solid modes of {cell.method} on {task} over training, {len(tracks)} seeds and their median"
        with chart(f"modes-{task}-{cell.method}", alt, height=190) as drawn:
            drawn.values.words("update", "solid modes")
            _tracks(drawn, tracks, cell, looks[cell.method], detail)
            drawn.axes.axhline(modes, color=REAL, lw=1.1, ls=(0, (5, 3)), zorder=1)
            drawn.axes.set_ylim(-0.03 * modes, 1.08 * modes)
            _finish(drawn.axes, last)
            count_ticks(drawn.axes, axis="y", most=5)
            _monitored(drawn, cell)
        caption = weights_note(cell, "measures", weights)
        panels.append(Panel(title=cell.method, method=cell.method, markup=drawn.markup, caption=caption))
    return panels


def _tracks(drawn: Chart, tracks: Sequence[tuple[int, Array, Array]], cell: Cell, style: Style, detail: float) -> None:
    """Thin lines and the thick median at the updates that all share."""
    for seed, updates, values in tracks[: max(8, int(32 * detail))]:
        drawn.axes.plot(updates, values, color=style.ink, lw=1, alpha=0.4)
        drawn.values.add(Line(name=f"{cell.method}, seed {seed}", x=updates, y=values))
    first = tracks[0][1]
    middle = _median(np.array([values for _, updates, values in tracks if np.array_equal(updates, first)]))
    drawn.axes.plot(first, middle, color=style.ink, lw=2.6, marker=style.marker, ms=4.5, zorder=4)
    drawn.values.add(Line(name=f"{cell.method}, median", x=first, y=middle))


MOST_MOMENTS = 12  # marked of each kind in one chart


def _monitored(drawn: Chart, cell: Cell) -> None:
    """What the monitor said, as marks on the upper edge with a line down, and each rollback on the lower edge."""
    bottom, top = drawn.axes.get_ylim()
    drawn.axes.set_ylim(bottom, top)  # the marks shall not move the scale
    never = [row for row in cell.monitored if row.status == NEVER_HEALTHY]
    back = [row for row in cell.monitored if row.status == ROLLED_BACK]
    alarms = [row for row in cell.monitored if row.status not in (NEVER_HEALTHY, ROLLED_BACK)]
    # A rollback comes at the update of its alarm, so the two must not stand in the same place.
    for rows, marker, paint, height in ((never, "v", PAPER, top), (alarms, "v", WARN, top), (back, "<", WARN, bottom)):
        moments = sorted({row.update for row in rows})[:MOST_MOMENTS]
        shown = [row for row in rows if row.update in moments]
        drawn.axes.vlines(moments, bottom, top, color=WARN, lw=1, ls=(0, (2, 2)), zorder=2)
        drawn.axes.plot(
            moments, [height] * len(moments), ls="", color=WARN, marker=marker, ms=10, mfc=paint, zorder=7,
            clip_on=False,
        )  # fmt: skip
        for row in shown:
            if row.to is not None:
                drawn.axes.plot([row.to, row.update], [height] * 2, color=WARN, lw=2.5, zorder=6, clip_on=False)
            drawn.values.add(Line(name=_whose(cell, row), x=[row.update], y=[height], said=[row.words]))


def _whose(cell: Cell, row: MonitorRow) -> str:
    what = "alarm" if row.raised else "monitor"
    return f"{cell.method}, {what}" + ("" if row.seed is None else f" for seed {row.seed}")


def _median(table: Array) -> Array:
    """Median over rows without NaN; NaN where a column has nothing else."""
    known = np.isfinite(table).any(0)
    middle = np.full(table.shape[1], np.nan)
    middle[known] = np.nanmedian(table[:, known], 0)
    return middle


def _finish(axes: Axes, last: int) -> None:
    axes.set_xlim(-0.02 * last, 1.02 * last)
    count_ticks(axes)
    axes.set_xlabel("critic updates")


def losses(cells: Sequence[Cell], task: str, looks: Mapping[str, Style], detail: float) -> list[Panel]:
    """Losses of both players, one chart a method, a line a seed; a cross where a seed diverged."""
    panels = []
    for cell in cells:
        points = int(max(24, min(120, 1600 * detail / max(len(cell.lanes), 1))))
        tracks = [Tracks(lane, _thin(lane, "critic", points), _thin(lane, "generator", points)) for lane in cell.lanes]
        tracks = [track for track in tracks if len(track.critic[0])]
        if not tracks:
            continue
        alt = f"Losses of critic and generator of {cell.method} on {task} over training, {len(tracks)} seeds"
        with chart(f"losses-{task}-{cell.method}", alt, height=190) as drawn:
            drawn.values.words("update", "loss")
            caption = _loss_lines(drawn, tracks, cell, looks[cell.method])
            _finish(drawn.axes, max(run.update for run in cell.runs))
            _monitored(drawn, cell)
        panels.append(Panel(title=cell.method, method=cell.method, markup=drawn.markup, caption=caption))
    return panels


class Tracks(NamedTuple):
    """The losses of one seed: updates (T,) and values (T,) of each player."""

    lane: Lane
    critic: tuple[Array, Array]
    generator: tuple[Array, Array]


def _loss_lines(drawn: Chart, tracks: Sequence[Tracks], cell: Cell, style: Style) -> str:
    """Draws every seed's losses and returns what is to be said about the scale."""
    axes = drawn.axes
    thin = 1.1 if len(tracks) <= 8 else 0.7
    for track in tracks:
        axes.plot(*track.critic, color=MUTED, lw=thin, alpha=0.6)
        axes.plot(*track.generator, color=style.ink, lw=thin, alpha=0.75)
        _cross(axes, track)
        for player, points in (("critic", track.critic), ("generator", track.generator)):
            drawn.values.add(Line(name=f"{cell.method}, seed {track.lane.seed}, {player}", x=points[0], y=points[1]))
    return _loss_scale(axes, [values for track in tracks for _, values in (track.critic, track.generator)])


def _thin(lane: Lane, player: str, points: int) -> tuple[Array, Array]:
    """At most `points` of a lane's losses, at even distances."""
    updates, values = lane.run.losses(lane.index, player)
    if not len(updates):
        return updates, values
    keep = np.unique(np.linspace(0, len(updates) - 1, min(points, len(updates))).round().astype(int))
    return updates[keep], values[keep]


def _cross(axes: Axes, track: Tracks) -> None:
    """Marks where a diverged seed's loss was last finite."""
    updates, values = track.generator
    alive = np.flatnonzero(np.isfinite(values))
    if track.lane.diverged_at is not None and len(alive):
        axes.plot(updates[alive[-1]], values[alive[-1]], marker="x", color=INK, ms=8, mew=2, zorder=6)


def _loss_scale(axes: Axes, tracks: Sequence[Array]) -> str:
    """A symmetric logarithmic scale where a few values dwarf the others; says so."""
    sizes = np.abs(np.concatenate([values[np.isfinite(values)] for values in tracks]))
    if not len(sizes):
        return ""
    middle, reach = float(np.percentile(sizes, 75)), float(sizes.max())
    if reach > 20 * max(middle, 1e-12) and reach > 1:
        axes.set_yscale("symlog", linthresh=max(middle, 1e-3))
        low, high = axes.get_ylim()
        ticks = [tick for tick in _decades(middle, reach) if low <= tick <= high]
        axes.set_yticks(ticks, [short(tick) for tick in ticks])
        axes.minorticks_off()
        return "Logarithmic beyond the middle of the scale."
    count_ticks(axes, axis="y", most=5)
    return ""


def _decades(start: float, reach: float) -> list[float]:
    """Zero and powers of ten of both signs, few enough to be read."""
    powers = range(int(np.ceil(np.log10(max(start, 1e-3)))), int(np.floor(np.log10(reach))) + 1)
    sizes = [10.0**power for power in powers[:: max(1, len(powers) // 3)]]
    return [-size for size in reversed(sizes)] + [0.0] + sizes
