"""The repeats that `intervals.py` kept: read, summed up into coverages, and written as a table.

Repeats take gigabytes and stay where they were drawn. What is written into a folder joins what that folder holds, so
that a table may grow from machine to machine: of a metric in a cell the summary with more repeats stays.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cells import FAMILIES, OWN_TRUTH, Cell, Row
from speed import record

from uncollapse.metrics.intervals import wilson

LEAST, MOST = 0.92, 0.98
HEAD = """# Coverage of the intervals

How often each metric's 95 % interval held its estimand, in per cent of the simulated repeats. Sides are real + fake
rows. **Bold**: below 92. A plus: above 98 though the metric does not call its interval conservative. (c): it does, in
most repeats. A dash: no interval was given in any repeat. A tilde after a mark: it may be chance (the Wilson interval
holds 92, or 98 for a plus). The truth behind each number, its standard error, the widths, the
two sides of the misses and Wilson intervals of the coverages are in `coverage.json`.

Commands: `python benchmarks/intervals.py`, which stops and goes on as one likes; `--again 2000`, which draws what lies
below 92 or is marked with a plus up to 2,000 times and judges it by all of these; then `--table`, which adds to what
is here. By chance one interval in 40 that truly holds in 94 % is below 92 after 500 repeats, and one in four that truly
holds in 91 % is not.

Families: `features`, Gaussians and mixtures of eight; `images`, what the shipped classifiers see in MNIST and
Fashion-MNIST, all 70,000 images as the population and no image on both sides, different: the fakes lack a class;
`paired`, differences of two generators against one reference; `labels`, `softmax`, `support` and `paths` as their
names say. A cell is named after its family, population, dimensions (or classes, or values) and rows.
"""
Summaries = dict[Cell, dict[str, dict[str, Any]]]


@dataclass
class Kept:
    """What is known of a cell.

    Attributes:
        measured: Repeat to rows with intervals, by metric.
        fresh: Repeat to rows of values alone.
        seconds: CPU seconds behind them.
        codes: Digests of the code that measured them.
    """

    measured: dict[int, dict[str, Row]] = field(default_factory=dict)
    fresh: dict[int, dict[str, Row]] = field(default_factory=dict)
    seconds: float = 0.0
    codes: set[str] = field(default_factory=set)


def path_of(folder: Path, cell: Cell) -> Path:
    """Where a cell's lines are kept."""
    return folder / f"{cell.name}.jsonl"


def lines_of(path: Path) -> list[str]:
    """The whole lines of a file; a last one that a kill has torn has no end and does not count."""
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines(keepends=True)


def mend(path: Path) -> None:
    """Removes a torn last line, to which the next one would be joined."""
    if path.exists() and path.read_text()[-1:] not in ("", "\n"):
        rewrite(path, lines_of(path))


def rewrite(path: Path, lines: Iterable[str]) -> None:
    """Writes a file anew, whole or not at all."""
    beside = path.with_suffix(".new")
    beside.write_text("".join(lines))
    beside.replace(path)


def read(folder: Path, cell: Cell) -> Kept:
    """What is known of a cell; of a repeat measured twice the later line counts."""
    kept = Kept()
    for text in lines_of(path_of(folder, cell)):
        line = json.loads(text)
        rows = kept.fresh if line["level"] is None else kept.measured
        rows.setdefault(line["repeat"], {}).update(line["metrics"])
        kept.seconds += line["seconds"]
        kept.codes.add(line["code"])
    return kept


def forget(folder: Path, names: Sequence[str]) -> None:
    """Removes what is known of some metrics, because their code has changed."""
    for path in folder.glob("*.jsonl"):
        lines = [json.loads(text) for text in lines_of(path)]
        for line in lines:
            line["metrics"] = {name: row for name, row in line["metrics"].items() if name not in names}
        rewrite(path, (json.dumps(line) + "\n" for line in lines if line["metrics"]))


def truth_of(cell: Cell, name: str, rows: Sequence[Row], values: Sequence[float]) -> tuple[Any, float, str]:
    """The truth of every repeat or of all, its standard error, and where it comes from."""
    known = FAMILIES[cell.family].known(cell, name)
    if known is not None:
        return *known(cell), "population value"
    if name in OWN_TRUTH:
        return np.array([row["truth"] for row in rows], dtype=float), 0.0, OWN_TRUTH[name]
    if not values:
        return math.nan, math.nan, "no value was given"
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(np.mean(values)), error, f"mean of {len(values):,} draws"


def summarise(cell: Cell, name: str, kept: Kept) -> dict[str, Any] | None:
    """Coverage of one metric in one cell and what it rests on; None when nothing was measured."""
    rows = [found[name] for found in kept.measured.values() if name in found]
    # A repeat that is measured again with an interval is the same draw, and one value.
    looked = {
        repeat: found[name]["value"]
        for known in (kept.fresh, kept.measured)
        for repeat, found in known.items()
        if name in found
    }
    values = [value for value in looked.values() if value is not None]
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
        "draws": len(values),
        "without_interval": len(rows) - n,
        "coverage": held / n if n else None,
        "coverage_wilson": wilson(held, n),
        "interval_too_low": int(below.sum()),
        "interval_too_high": int(above.sum()),
        "conservative": float(np.mean([bool(row["conservative"]) for row in rows])),
        "mean_width": float(width.mean()) if len(width) else None,
        "width_of_zero": int((width == 0).sum()),
        "spread_of_values": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "mean_value": float(np.mean(values)) if values else None,
        "truth": float(np.mean(truth)),
        "truth_error": None if math.isnan(error) else error,
        "truth_from": source,
    }


def doubtful(found: Mapping[str, Any]) -> bool:
    """Whether a coverage is outside its limits."""
    coverage = found["coverage"]
    return coverage is not None and (coverage < LEAST or (coverage > MOST and found["conservative"] <= 0.5))


def mark(found: Mapping[str, Any] | None) -> str:
    """One coverage as the table shows it."""
    if found is None:
        return ""
    if found["coverage"] is None:
        return "-"
    text = f"{100 * found['coverage']:.1f}"
    low, high = found["coverage_wilson"]
    if doubtful(found):
        below = found["coverage"] < LEAST
        unsure = " ~" if low <= (LEAST if below else MOST) <= high else ""
        return f"**{text}**{unsure}" if below else f"{text} +{unsure}"
    return f"{text} (c)" if found["conservative"] > 0.5 else text


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


def summaries_of(kept: Mapping[Cell, Kept]) -> Summaries:
    """All that was measured, by cell and metric."""
    summaries: Summaries = {}
    for cell, found in kept.items():
        looked = {name: summarise(cell, name, found) for name in FAMILIES[cell.family].metrics}
        rows = {name: row for name, row in looked.items() if row is not None}
        if rows:
            summaries[cell] = rows
    return summaries


def progress(cells: Sequence[Cell], summaries: Summaries, repeats: int, fresh: int) -> str:
    """What is there of what was planned, in one or two sentences."""
    asked = [(cell, name) for cell in cells for name in FAMILIES[cell.family].metrics]
    done, drawn = 0, 0
    for cell, name in asked:
        found = summaries.get(cell, {}).get(name, {})
        needless = name in OWN_TRUTH or FAMILIES[cell.family].known(cell, name) is not None
        done += found.get("repeats", 0) >= repeats
        drawn += needless or found.get("draws", 0) >= fresh
    text = f"{done} of {len(asked)} coverages have all {repeats} repeats, {drawn} all draws of their truth ({fresh:,})."
    return text + (" **Unfinished.**" if min(done, drawn) < len(asked) else "")


@dataclass
class Record:
    """What a folder's `coverage.json` holds.

    Attributes:
        summaries: By cell and metric.
        seconds: CPU seconds behind a cell.
        earlier: CPU seconds behind the cells of which nobody kept how they share them.
        codes: Digests of the code that measured any of it.
    """

    summaries: Summaries = field(default_factory=dict)
    seconds: dict[Cell, float] = field(default_factory=dict)
    earlier: float = 0.0
    codes: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, folder: Path) -> Record:
        """The record of a folder; an empty one where there is none."""
        path, found = folder / "coverage.json", cls()
        if path.exists():
            document = json.loads(path.read_text())
            found.codes |= set(document["codes"])
            found.earlier = document["earlier_cpu_seconds"]
            for row in document["rows"]:
                cell = Cell(**{name: row[name] for name in Cell.__dataclass_fields__})
                found.summaries[cell], found.seconds[cell] = row["metrics"], row["cpu_seconds"] or 0.0
        return found

    def add(self, kept: Mapping[Cell, Kept]) -> None:
        """Takes up what was drawn here, but keeps each summary that rests on more repeats."""
        for cell, fresh in summaries_of(kept).items():
            here = self.summaries.setdefault(cell, {})
            newer = {name: row for name, row in fresh.items() if row["repeats"] >= here.get(name, row)["repeats"]}
            if newer:
                here |= newer
                self.seconds[cell] = max(kept[cell].seconds, self.seconds.get(cell, 0.0))
                self.codes |= kept[cell].codes


def write_table(folder: Path, kept: Mapping[Cell, Kept], repeats: int, fresh: int) -> None:
    """Joins what is kept to the coverage.json of a folder, writes that and README.md, and prints the latter."""
    found = Record.read(folder)
    found.add(kept)
    summaries = {cell: found.summaries[cell] for cell in kept if cell in found.summaries}
    hours, codes = (found.earlier + sum(found.seconds.values())) / 3600, sorted(found.codes)
    state = f"{progress(list(kept), summaries, repeats, fresh)} CPU time: {hours:.1f} hours."
    if len(codes) > 1:
        state += (
            f" The repeats come from {len(codes)} versions of the metrics or of the populations: {', '.join(codes)}."
        )
    text = "\n".join([HEAD, state, *worst(summaries), *tables(summaries)]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text)
    lines = [
        {**asdict(cell), "cpu_seconds": round(found.seconds[cell], 1) or None, "metrics": rows}
        for cell, rows in summaries.items()
    ]
    facts = {"state": state, "codes": codes, "cpu_hours": hours, "earlier_cpu_seconds": found.earlier}
    document = record(lines, threads=1) | facts
    (folder / "coverage.json").write_text(json.dumps(document, indent=1) + "\n")
    print(text)
    print(f"written to {folder}", file=sys.stderr)
