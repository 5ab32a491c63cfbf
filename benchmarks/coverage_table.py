"""The repeats that `intervals.py` kept: read, summed up into coverages, and written as a table."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cells import FAMILIES, Cell, Row
from speed import record

from uncollapse.metrics.intervals import wilson

LEAST, MOST = 0.92, 0.98
HEAD = """# Coverage of the intervals

How often each metric's 95 % interval held its estimand, in per cent of the simulated repeats. Sides are real + fake
rows. **Bold**: below 92. A plus: above 98 though the metric does not call its interval conservative. (c): it does.
A dash: no interval was given in any repeat. The truth behind each number, its standard error, the widths, the two
sides of the misses and Wilson intervals of the coverages are in `coverage.json`.
"""


@dataclass
class Kept:
    """What is known of a cell.

    Attributes:
        measured: Repeat to rows with intervals, by metric.
        fresh: Repeat to rows of values alone.
        seconds: CPU seconds behind them.
    """

    measured: dict[int, dict[str, Row]] = field(default_factory=dict)
    fresh: dict[int, dict[str, Row]] = field(default_factory=dict)
    seconds: float = 0.0


def path_of(folder: Path, cell: Cell) -> Path:
    """Where a cell's lines are kept."""
    return folder / f"{cell.name}.jsonl"


def read(folder: Path, cell: Cell) -> Kept:
    """What is known of a cell; of a repeat measured twice the later line counts."""
    kept, path = Kept(), path_of(folder, cell)
    for text in path.read_text().splitlines() if path.exists() else ():
        line = json.loads(text)
        rows = kept.fresh if line["level"] is None else kept.measured
        rows.setdefault(line["repeat"], {}).update(line["metrics"])
        kept.seconds += line["seconds"]
    return kept


def forget(folder: Path, names: Sequence[str]) -> None:
    """Removes what is known of some metrics, because their code has changed."""
    for path in folder.glob("*.jsonl"):
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        for line in lines:
            line["metrics"] = {name: row for name, row in line["metrics"].items() if name not in names}
        path.write_text("".join(json.dumps(line) + "\n" for line in lines if line["metrics"]))


def truth_of(cell: Cell, name: str, rows: Sequence[Row], values: Sequence[float]) -> tuple[Any, float, str]:
    """The truth of every repeat or of all, its standard error, and where it comes from."""
    known = FAMILIES[cell.family].truths.get(name)
    if known is not None:
        return *known(cell), "population value"
    if rows and "truth" in rows[0]:
        return np.array([row["truth"] for row in rows], dtype=float), 0.0, "20,000 fresh rows of each repeat"
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(np.mean(values)), error, f"mean of {len(values):,} draws"


def summarise(cell: Cell, name: str, kept: Kept) -> dict[str, Any] | None:
    """Coverage of one metric in one cell and what it rests on; None when nothing was measured."""
    rows = [found[name] for found in kept.measured.values() if name in found and found[name]["value"] is not None]
    extra = [found[name]["value"] for found in kept.fresh.values() if name in found]
    values = [row["value"] for row in rows] + [value for value in extra if value is not None]
    if not rows:
        return None
    truth, error, source = truth_of(cell, name, rows, values)
    given = np.array([row["low"] is not None or row["high"] is not None for row in rows])
    low = np.array([-math.inf if row["low"] is None else row["low"] for row in rows])
    high = np.array([math.inf if row["high"] is None else row["high"] for row in rows])
    # Numbers are kept with eight digits, so an end that touches the truth may be written on its wrong side.
    slack = 1e-7 * np.abs(truth)
    below, above = given & (high + slack < truth), given & (low - slack > truth)
    n, held = int(given.sum()), int((given & ~below & ~above).sum())
    width = (high - low)[given & np.isfinite(low) & np.isfinite(high)]
    return {
        "repeats": len(rows),
        "without_interval": len(rows) - n,
        "coverage": held / n if n else None,
        "coverage_wilson": wilson(held, n),
        "interval_too_low": int(below.sum()),
        "interval_too_high": int(above.sum()),
        "conservative": all(bool(row["conservative"]) for row in rows),
        "mean_width": float(width.mean()) if len(width) else None,
        "width_of_zero": int((width == 0).sum()),
        "spread_of_values": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "mean_value": float(np.mean(values)),
        "truth": float(np.mean(truth)),
        "truth_error": None if math.isnan(error) else error,
        "truth_from": source,
    }


def mark(found: Mapping[str, Any] | None) -> str:
    """One coverage as the table shows it."""
    if found is None:
        return ""
    if found["coverage"] is None:
        return "-"
    text = f"{100 * found['coverage']:.1f}"
    if found["coverage"] < LEAST:
        return f"**{text}**"
    if found["conservative"]:
        return f"{text} (c)"
    return f"{text} +" if found["coverage"] > MOST else text


def tables(summaries: Mapping[Cell, Mapping[str, Any]]) -> Iterator[str]:
    """One Markdown table for each world of each family, a row a metric, a column a cell."""
    worlds = dict.fromkeys((cell.family, cell.world, cell.different) for cell in summaries)
    for family, world, different in worlds:
        cells = [cell for cell in summaries if (cell.family, cell.world, cell.different) == (family, world, different)]
        cells = sorted(cells, key=lambda cell: (cell.size, cell.n_real + cell.n_fake, cell.n_real))
        yield f"\n## {family}, {world}, {'different' if different else 'equal'}\n"
        sizes = (f"{cell.n_real:,} + {cell.n_fake:,}" if cell.n_real else f"{cell.n_fake:,}" for cell in cells)
        yield "| metric | " + " | ".join(f"{cell.size}: {rows}" for cell, rows in zip(cells, sizes, strict=True)) + " |"
        yield "|---" * (len(cells) + 1) + "|"
        for name in FAMILIES[family].metrics:
            if any(name in summaries[cell] for cell in cells):
                yield f"| {name} | " + " | ".join(mark(summaries[cell].get(name)) for cell in cells) + " |"


def worst(summaries: Mapping[Cell, Mapping[str, Any]]) -> Iterator[str]:
    """For every metric its lowest and highest coverage."""
    yield "\n## Lowest and highest\n\n| metric | lowest | in | highest | cells | repeats |\n|---|---|---|---|---|---|"
    for name in dict.fromkeys(name for found in summaries.values() for name in found):
        cells = [cell for cell in summaries if summaries[cell].get(name, {}).get("coverage") is not None]
        if cells:
            ranked = sorted(cells, key=lambda cell: summaries[cell][name]["coverage"])
            repeats = {summaries[cell][name]["repeats"] for cell in cells}
            span = f"{min(repeats)}" if len(repeats) == 1 else f"{min(repeats)} to {max(repeats)}"
            low, high = (mark(summaries[cell][name]) for cell in (ranked[0], ranked[-1]))
            yield f"| {name} | {low} | {ranked[0].name} | {high} | {len(cells)} | {span} |"


def write_table(folder: Path, kept: Mapping[Cell, Kept]) -> None:
    """Writes coverage.json and README.md, and prints the latter."""
    summaries: dict[Cell, dict[str, Any]] = {}
    for cell, found in kept.items():
        looked = {name: summarise(cell, name, found) for name in FAMILIES[cell.family].metrics}
        rows = {name: row for name, row in looked.items() if row is not None}
        if rows:
            summaries[cell] = rows
    hours = sum(found.seconds for found in kept.values()) / 3600
    text = "\n".join([HEAD, f"CPU time: {hours:.1f} hours.", *worst(summaries), *tables(summaries)]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text)
    document = record([{**asdict(cell), "metrics": rows} for cell, rows in summaries.items()], threads=1)
    (folder / "coverage.json").write_text(json.dumps(document | {"cpu_hours": hours}, indent=1) + "\n")
    print(text)
    print(f"written to {folder}", file=sys.stderr)
