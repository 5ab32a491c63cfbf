"""The tables of the page as plain rows of text: measures, paired differences, cost, outcomes, how to repeat them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uncollapse.experiments.tuning import failed_trials
from uncollapse.report.measures import (
    IMAGE_KEYS,
    MEASURES,
    Measure,
    entry_of,
    level,
    measure_of,
    number,
    p_text,
    seeds_of,
    seeds_text,
    span,
)
from uncollapse.report.records import Cell, Record
from uncollapse.report.words import MANY, points, signed
from uncollapse.text import duration, seed_text


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A measure drawn as dots and an interval on a line; positions in per cent of its width, lifts in pixels."""

    left: float
    right: float
    mean: float
    dots: tuple[tuple[float, float], ...]
    label: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method in a task's table.

    Attributes:
        method: Name of the method.
        strip: The headline measure as a picture, None without a value.
        success: Successes of seeds as text, its interval and seeds.
        values: (value, interval, seeds) a shown measure; all empty where it has none.
    """

    method: str
    strip: Strip | None
    headline: tuple[str, str, str]
    success: tuple[str, str, str]
    values: tuple[tuple[str, str, str], ...]


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
    def ranked(self) -> tuple[Row, ...]:
        """The rows as the answer shows them: of many the best come first, few stay in the plan's order."""
        if len(self.rows) <= MANY:
            return self.rows
        sign = 1 if self.headline.direction == "lower" else -1
        return tuple(sorted(self.rows, key=lambda row: sign * row.strip.mean if row.strip else 0.0))


def table(record: Record, task: str) -> Table:
    """The comparison table of one task: only measures that some method has, without those of `image_table`."""
    cells = record.of(task)
    headline = measure_of(record.headline)
    wanted = [measure for measure in MEASURES if measure.key not in (headline.key, *IMAGE_KEYS)]
    shown = tuple(measure for measure in wanted if any(entry_of(cell, measure.key) for cell in cells))
    modes = next((cell.modes for cell in cells if cell.modes), None)
    top = _scale(cells, headline, modes)
    floors = [entry["mean"] for cell in cells if (entry := entry_of(cell, "kl_high_quality_floor"))]
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
    entry, success = entry_of(cell, headline.key), cell.success
    strip = None
    if entry is not None:
        known = [float(value) for value in entry.get("per_seed", ()) if value is not None]
        low, high = (float(entry[end]) if entry.get(end) is not None else entry["mean"] for end in ("low", "high"))
        place = [max(0.0, min(100.0, round(100 * value / top, 2))) for value in (low, high, entry["mean"], *known)]
        label = f"{cell.method}: {headline.title} {number(entry['mean'], headline.kind)}, interval "
        label += f"{span(entry, headline.kind)}, {seeds_text(len(known))}"
        strip = Strip(left=place[0], right=100 - place[1], mean=place[2], dots=_dots(place[3:]), label=label)
    won = ("", "", "")
    if success.get("n"):
        won = (f"{success['successes']} of {success['n']}", span(success, "share"), seeds_text(success["n"]))
    values = tuple(triple(cell, measure) for measure in shown)
    return Row(method=cell.method, strip=strip, headline=triple(cell, headline), success=won, values=values)


def _dots(places: list[float]) -> tuple[tuple[float, float], ...]:
    """Dots with a small lift where several seeds share a place: 0, 3, -3, 6, -6 pixels, then again."""
    seen: dict[float, int] = {}
    dots = []
    for place in places:
        rank = seen[place] = seen.get(place, -1) + 1
        step = rank % 5
        dots.append((place, 3.0 * ((step + 1) // 2) * (1 if step % 2 else -1)))
    return tuple(dots)


def triple(cell: Cell, measure: Measure) -> tuple[str, str, str]:
    """A cell's value, interval and number of seeds as text; all empty where it has none."""
    entry = entry_of(cell, measure.key)
    if entry is None:
        return ("", "", "")
    return number(entry["mean"], measure.kind), span(entry, measure.kind), seeds_text(seeds_of(entry))


def differences(record: Record, task: str) -> list[dict[str, str]]:
    """The paired differences of one task as rows of text, the headline measure first."""
    rows = [row for row in record.differences if row.get("task") == task]
    rows.sort(key=lambda row: row.get("measure") != record.headline)
    return [_difference(row) for row in rows]


def _difference(row: Mapping[str, Any]) -> dict[str, str]:
    measure = measure_of(str(row.get("measure", "")))
    return {
        "method": str(row["method"]),
        "baseline": str(row["baseline"]),
        "measure": measure.title,
        "key": measure.key,
        "difference": points(signed(row.get("difference"), measure.kind)),
        "interval": points(span(row, measure.kind)) if row.get("low") is not None else "no interval",
        "test": str(row.get("test") or "no test"),
        "n": seeds_text(row.get("n") or 0),
        "p": p_text(row.get("p_adjusted")),
    }


def costs(record: Record) -> list[dict[str, str]]:
    """What each cell cost, as rows of text."""
    return [_cost(cell) for cell in record.cells]


def _cost(cell: Cell) -> dict[str, str]:
    cost = cell.cost
    parameters = cost.get("parameters") or {}
    seconds = [run.seconds for run in cell.runs if run.seconds is not None]
    return {
        "method": cell.method,
        "task": cell.task,
        "critic_updates": _whole(cost.get("critic_updates")),
        "generator_updates": _whole(cost.get("generator_updates")),
        "real_samples": _whole(cost.get("real_samples")),
        "generator": _whole(parameters.get("generator")),
        "critic": _whole(parameters.get("critic")),
        "device": str(cost.get("device") or ""),
        "seconds": duration(sum(seconds)) if seconds else "",
        "seeds": str(len(cell.seeds)),
    }


def _whole(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else ""


def outcomes(record: Record) -> list[str]:
    """Diverged and failed seeds as sentences; empty when every seed ended well."""
    said = []
    for cell in record.cells:
        when = {lane.seed: lane.diverged_at for lane in cell.lanes}
        for seed in cell.diverged:
            at = f" at update {_whole(when[seed])}" if when.get(seed) is not None else ""
            said.append(f"{cell.method} on {cell.task}: seed {seed} diverged{at}.")
        for row in cell.failed:
            seeds = seed_text(row.get("seeds", ())) or "a run"
            why = str(row.get("error") or "no reason recorded").rstrip(".")
            said.append(f"{cell.method} on {cell.task}: {seeds} failed: {why}.")
    return [*said, *failed_trials(record.tuning)]


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


def runs(record: Record) -> list[dict[str, str]]:
    """What each run needs to be repeated: seeds, updates, batch, threads, spec hash."""
    return [
        {
            "cell": f"{cell.method} on {cell.task}",
            "seeds": seed_text(run.seeds, noun=""),
            "updates": _whole(run.spec.get("updates")),
            "batch": _whole(run.spec.get("batch")),
            "threads": str(run.spec.get("threads", "")),
            "dtype": str(run.spec.get("dtype", "")),
            "hash": str(run.spec.get("hash", "")),
        }
        for cell in record.cells
        for run in cell.runs
    ]


def intervals_level(record: Record) -> str:
    """The level of the intervals on the page, from the first entry that states it."""
    entries = [entry for cell in record.cells for entry in cell.measures.values()]
    return level(entries[0]) if entries else "95 %"
