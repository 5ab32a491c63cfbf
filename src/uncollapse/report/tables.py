"""The tables of a comparison or run as rows: measures, paired differences, what monitors said, outcomes.

Numbers are `Amount`s, so that the page, Markdown, LaTeX, CSV and JSON say the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uncollapse.experiments.tuning import failed_trials
from uncollapse.report.alarms import Told, rolled_back
from uncollapse.report.amounts import NOTHING, Amount, amount_of, success_of
from uncollapse.report.measures import (
    IMAGE_KEYS,
    MEASURES,
    Measure,
    entry_of,
    goodness,
    level,
    measure_of,
    number,
    seeds_text,
    span,
)
from uncollapse.report.records import Cell, Record
from uncollapse.report.words import MANY
from uncollapse.text import seed_text

# Seeds at one place that are drawn one by one.
MOST_DOTS = 5


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A measure drawn as dots and an interval on a line; positions in per cent of its width, lifts in pixels.

    Attributes:
        left: Where the interval begins, from the left.
        right: Where it ends, from the right.
        mean: Where the mean stands.
        dots: (position, lift, words, how many) of each seed, or of many seeds at one place.
        label: All of it in words.
    """

    left: float
    right: float
    mean: float
    dots: tuple[tuple[float, float, str, int], ...]
    label: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method in a task's table.

    Attributes:
        method: Name of the method.
        strip: The headline measure as a picture, None without a value.
        headline: The headline measure.
        success: In how many seeds all modes are solid.
        values: One amount a shown measure; without a value where it has none.
    """

    method: str
    strip: Strip | None
    headline: Amount
    success: Amount
    values: tuple[Amount, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The comparison table of one task."""

    task: str
    modes: int | None
    headline: Measure
    columns: tuple[Measure, ...]
    rows: tuple[Row, ...]
    top: str
    floor: str

    @property
    def counted(self) -> bool:
        """Whether a dot of a strip stands for many seeds."""
        return any(dot[3] > 1 for row in self.rows if row.strip for dot in row.strip.dots)

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The rows as the answer shows them: of many the best come first, few stay in the plan's order."""
        if len(self.rows) <= MANY:
            return self.rows
        return tuple(sorted(self.rows, key=self._badness))

    def _badness(self, row: Row) -> float:
        """Small where the headline's mean is good; a method without one comes last."""
        mean = row.headline.value
        return math.inf if mean is None else -goodness(self.headline.key, mean)


def table(record: Record, task: str) -> Table:
    """The comparison table of one task: only measures that some method has, without those of `image_table`."""
    cells = record.of(task)
    headline = measure_of(record.headline)
    wanted = [measure for measure in MEASURES if measure.key not in (headline.key, *IMAGE_KEYS)]
    shown = tuple(measure for measure in wanted if any(entry_of(cell, measure.key) for cell in cells))
    modes = next((cell.modes for cell in cells if cell.modes), None)
    top = _scale(cells, headline, modes)
    # Labels are asked for in their true shares, so that chance adds less to the divergence of methods that take them.
    drawn = [cell for cell in cells if not cell.conditional]
    floors = [entry["mean"] for cell in drawn if (entry := entry_of(cell, "kl_high_quality_floor"))]
    return Table(
        task=task,
        modes=modes,
        headline=headline,
        columns=shown,
        rows=tuple(_row(cell, headline, shown, top) for cell in cells),
        top=number(top, headline.kind).removesuffix(".0"),
        floor=number(min(floors)) if floors else "",
    )


def _scale(cells: tuple[Cell, ...], headline: Measure, modes: int | None) -> float:
    """The right end of the strips."""
    if headline.kind == "count" and modes:
        return float(modes)
    if headline.kind == "share":
        return 1.0
    highs = [float(entry["high"]) for cell in cells if (entry := entry_of(cell, headline.key)) and entry.get("high")]
    return max(highs, default=1.0) or 1.0


def _row(cell: Cell, headline: Measure, shown: tuple[Measure, ...], top: float) -> Row:
    entry = entry_of(cell, headline.key)
    strip = None if entry is None else _strip(cell, entry, headline, top)
    values = tuple(measured(cell, measure) for measure in shown)
    won = success_of(cell.success)
    return Row(method=cell.method, strip=strip, headline=measured(cell, headline), success=won, values=values)


def _strip(cell: Cell, entry: Mapping[str, Any], headline: Measure, top: float) -> Strip:
    values = entry.get("per_seed", ())
    seeds = cell.seeds if len(cell.seeds) == len(values) else range(1, len(values) + 1)
    known = [(seed, float(value)) for seed, value in zip(seeds, values, strict=True) if value is not None]
    low, high = (float(entry[end]) if entry.get(end) is not None else entry["mean"] for end in ("low", "high"))
    numbers = (low, high, entry["mean"], *(value for _, value in known))
    place = [max(0.0, min(100.0, round(100 * value / top, 2))) for value in numbers]
    said = [f"seed {seed}: {_seed_value(value, headline.kind)}" for seed, value in known]
    label = f"{cell.method}: {headline.title} {number(entry['mean'], headline.kind)}, interval "
    label += f"{span(entry, headline.kind)}, {seeds_text(len(known))}"
    label += f" ({', '.join(said)})" if len(said) <= MANY else ""
    return Strip(left=place[0], right=100 - place[1], mean=place[2], dots=_dots(place[3:], said), label=label)


def _seed_value(value: float, kind: str) -> str:
    """One seed's value; a count of modes of one seed is whole."""
    return f"{value:g}" if kind == "count" else number(value, kind)


def _dots(places: Sequence[float], words: Sequence[str]) -> tuple[tuple[float, float, str, int], ...]:
    """Dots with a small lift where several seeds share a place: 0, 3, -3, 6, -6 pixels; of more one dot that counts."""
    shared: dict[float, list[str]] = {}
    for place, said in zip(places, words, strict=True):
        shared.setdefault(place, []).append(said)
    dots: list[tuple[float, float, str, int]] = []
    for place, told in shared.items():
        if len(told) > MOST_DOTS:
            dots.append((place, 0.0, f"{len(told)} seeds: {told[0].partition(': ')[2]}", len(told)))
        else:
            dots += [(place, 3.0 * ((k + 1) // 2) * (1 if k % 2 else -1), one, 1) for k, one in enumerate(told)]
    return tuple(dots)


def measured(cell: Cell, measure: Measure) -> Amount:
    """A cell's mean of one measure; without a value where it has none."""
    return amount_of(entry_of(cell, measure.key), measure.kind)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One paired difference.

    Attributes:
        method: The method.
        baseline: What it is compared with.
        measure: In which measure.
        difference: Method minus baseline, with its interval.
        test: Name of the paired test.
        p: Its Holm-adjusted p.
    """

    method: str
    baseline: str
    measure: Measure
    difference: Amount
    test: str
    p: Amount


def differences(record: Record, task: str) -> list[Difference]:
    """The paired differences of one task, the headline measure first."""
    rows = [row for row in record.differences if row.get("task") == task]
    rows.sort(key=lambda row: row.get("measure") != record.headline)
    return [_difference(row) for row in rows]


def _difference(row: Mapping[str, Any]) -> Difference:
    measure = measure_of(str(row.get("measure", "")))
    entry = {**row, "mean": row.get("difference")}
    p = row.get("p_adjusted")
    return Difference(
        method=str(row["method"]),
        baseline=str(row["baseline"]),
        measure=measure,
        difference=replace(amount_of(entry, measure.kind), difference=True),
        test=str(row.get("test") or "no test"),
        p=NOTHING if p is None else Amount(value=float(p), kind="p"),
    )


def monitor_rows(record: Record) -> list[Told]:
    """What the monitors said and did: (method, task, row), in the plan's order and then by update."""
    return [(cell.method, cell.task, row) for cell in record.cells for row in cell.monitored]


def rollbacks(record: Record, task: str | None = None) -> list[str]:
    """A sentence for each seed that was put back, of one task or of all."""
    cells = record.cells if task is None else record.of(task)
    return [line for cell in cells for line in rolled_back(cell.method, cell.task, cell.monitored)]


def outcomes(record: Record) -> list[str]:
    """Diverged, failed and rolled-back seeds as sentences; empty when every seed ended well."""
    said = []
    for cell in record.cells:
        when = {lane.seed: lane.diverged_at for lane in cell.lanes}
        for seed in cell.diverged:
            at = f" at update {when[seed]:,}" if when.get(seed) is not None else ""
            said.append(f"{cell.method} on {cell.task}: seed {seed} diverged{at}.")
        for row in cell.failed:
            seeds = seed_text(row.get("seeds", ())) or "a run"
            why = str(row.get("error") or "no reason recorded").rstrip(".")
            said.append(f"{cell.method} on {cell.task}: {seeds} failed: {why}.")
    return [*said, *rollbacks(record), *failed_trials(record.tuning)]


def warnings(record: Record) -> list[tuple[str, tuple[str, ...]]]:
    """The warnings of each run that has any, under the run's name."""
    return [
        (f"{cell.method} on {cell.task} ({run.directory.name})", run.warnings)
        for cell in record.cells
        for run in cell.runs
        if run.warnings
    ]


def quiet_runs(record: Record) -> int:
    """How many runs have no warning."""
    return sum(not run.warnings for cell in record.cells for run in cell.runs)


def interval_methods(record: Record) -> list[str]:
    """The names of the methods behind the intervals on the page, in order of appearance."""
    entries = [entry for cell in record.cells for entry in cell.measures.values()]
    return list(dict.fromkeys(str(entry["method"]) for entry in entries if entry.get("method")))


def intervals_level(record: Record) -> str:
    """The level of the intervals on the page, from the first entry that states it."""
    entries = [entry for cell in record.cells for entry in cell.measures.values()]
    return level(entries[0]) if entries else "95 %"
