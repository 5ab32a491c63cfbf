"""The page, the numbers and the curve of `monitor.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from monitor_generators import EVERY, UPDATES
from speed import record

from monitor import CONDITIONS, WITHIN
from uncollapse.metrics.intervals import wilson

Lines = Sequence[Mapping[str, object]]
Cell = tuple[str, str]
HEAD = f"""# How often `CollapseMonitor` raises an alarm

`nice .venv/bin/python benchmarks/monitor.py --runs 200` makes the runs and goes on where they end; with `--table` it
writes this page, with `--overhead` it times a host.

The monitor's alpha is 3 %: the chance of any false alarm in a whole run. It looks every {EVERY} updates at 500 fakes,
unless said otherwise, against 600 real rows: points of blobs-8 in clusters that it found itself, digits in the classes
of the shipped classifier.

- **healthy**: {UPDATES:,} updates of a simulated training. Shares of modes wander (a standard deviation of 0.2, 0.35 or
  0.5 of their logarithms), modes appear one after the other at the beginning, the noise falls and fluctuates. Samples
  are real ones that the reference does not hold. Counted are the runs that the *true* modes call healthy: the data in
  modes with at least a fifth of their share never fell by more than the margin, 15 %, below its best. At most 5 % of
  them may raise an alarm.
- **half**: the same, and at a random update half of the modes, chosen at random, begin to fade and are gone 200 updates
  later. An alarm within {WITHIN:,} updates counts, one before does not; at least 95 % are wanted. With looks every
  {EVERY} updates there are two.
- **one**: one mode of eight or ten is lost, and the margin is 5 %. **one-1000**: the same with 1,000 fakes a look.
- **trained**: real trainings of r3gan, 8,000 updates; true modes are those that the task assigns. **trained-half**: the
  same with a filter behind the generator that rejects half of the modes from an update on.
- **edge**: no data but counts, 200 looks: after ten healthy ones exactly the margin is lost, the most that the null
  allows.

The fourth column is the share of runs in which health was ever established. Intervals are Wilson's, 95 %; bold where a
limit is missed.

| data | condition | runs | healthy once | false alarms | found within {WITHIN:,} updates | until found: median, 95 % |
|---|---|---|---|---|---|---|
"""


def write(folder: Path, found: Mapping[Cell, Lines]) -> None:
    """Writes README.md, monitor.json and curve.png, and prints the first."""
    rows = [row for cell, lines in found.items() if lines and (row := summary(cell, lines))["counted"]]
    folder.mkdir(parents=True, exist_ok=True)
    text = HEAD + "\n".join(table_row(row) for row in rows) + "\n\n![alarms over time](curve.png)\n" + overhead(folder)
    (folder / "README.md").write_text(text)
    (folder / "monitor.json").write_text(json.dumps(record(rows, threads=1), indent=1) + "\n")
    curve(folder / "curve.png", found)
    print(text)


def summary(cell: Cell, lines: Lines) -> dict[str, object]:
    """Counts of one cell."""
    task, condition = cell
    planted = CONDITIONS[condition][0] > 0
    counted = lines if planted else [line for line in lines if line["healthy"]]
    delays = [delay for line in counted if (delay := delay_of(line)) is not None]
    early = sum(any(before(line)) for line in counted)
    return {
        "data": task, "condition": condition, "runs": len(lines), "counted": len(counted),
        "established": sum(line["established"] is not None for line in counted),
        "false": early, "false_wilson": wilson(early, len(counted)) if counted else None,
        "found": len(delays) if planted else None,
        "found_wilson": wilson(len(delays), len(counted)) if planted and counted else None,
        "delays": sorted(delays), "margin": CONDITIONS[condition][1],
    }  # fmt: skip


def before(line: Mapping[str, object]) -> list[int]:
    """Alarms that nothing had caused."""
    planted = line["planted"]
    return [step for step in line["alarms"] if planted is None or step <= planted]  # type: ignore[union-attr, operator]


def delay_of(line: Mapping[str, object]) -> int | None:
    """Updates from the first loss to the first alarm after it, if that is within the time that counts."""
    planted = line["planted"]
    if planted is None:
        return None
    after = [step - planted for step in line["alarms"] if step > planted]  # type: ignore[union-attr, operator]
    return after[0] if after and after[0] <= WITHIN else None


def table_row(row: Mapping[str, object]) -> str:
    """A line of the table; bold where a limit is missed."""
    n = int(row["counted"])  # type: ignore[call-overload]
    false = share(int(row["false"]), n, row["false_wilson"])  # type: ignore[call-overload]
    if row["found"] is None and int(row["false"]) > 0.05 * n:  # type: ignore[call-overload]
        false = f"**{false}**"
    found, until = "", ""
    if row["found"] is not None:
        found = share(int(row["found"]), n, row["found_wilson"])  # type: ignore[call-overload]
        if str(row["condition"]).endswith("half") and int(row["found"]) < 0.95 * n:  # type: ignore[call-overload]
            found = f"**{found}**"
        if row["delays"]:
            middle, late = np.quantile(row["delays"], [0.5, 0.95], method="higher")  # type: ignore[call-overload]
            until = f"{middle:,.0f}, {late:,.0f}"
    runs = f"{row['runs']:,}" if n == row["runs"] else f"{n:,} of {row['runs']:,}"
    healthy = f"{100 * int(row['established']) / n:.0f} %"  # type: ignore[call-overload]
    return f"| {row['data']} | {row['condition']} | {runs} | {healthy} | {false} | {found} | {until} |"


def share(count: int, n: int, ends: object) -> str:
    """A count as a share with its interval."""
    low, high = ends  # type: ignore[misc]
    return f"{count} = {100 * count / n:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def curve(path: Path, found: Mapping[Cell, Lines]) -> None:
    """Left: healthy runs that raised an alarm so far; right: collapsed ones that were found so far."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for (task, condition), lines in found.items():
        counted = [line for line in lines if line["healthy"]]
        if condition == "healthy" and counted:
            first = [min(before(line), default=np.inf) for line in counted]
            steps = np.arange(0, UPDATES + 1, EVERY)
            left.step(steps, [100 * np.mean(np.array(first) <= step) for step in steps], where="post", label=task)
        elif condition in ("half", "one") and lines:
            delays = [delay_of(line) or np.inf for line in lines]
            steps = np.arange(0, WITHIN + 1, 10)
            right.plot(steps, [100 * np.mean(np.array(delays) <= step) for step in steps], label=f"{task}, {condition}")
    left.axhline(5, color="0.5", linestyle=":", label="limit")
    left.set(xlabel="updates", ylabel="% with a false alarm", ylim=(-0.3, 10), title="healthy runs")
    left.set_xticks(range(0, UPDATES + 1, 5_000))
    right.axhline(95, color="0.5", linestyle=":", label="limit for half")
    right.set(xlabel="updates since modes began to fade", ylabel="% found", ylim=(-2, 102), title="planted losses")
    for panel in (left, right):
        panel.legend(fontsize=8)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def overhead(folder: Path) -> str:
    """The paragraph on cost, where it was measured."""
    path = folder / "overhead.json"
    if not path.exists():
        return ""
    rows = json.loads(path.read_text())["rows"]
    lines = [
        f"| {row['host']} | {row['step_ms']:.2f} | {row['look_ms']:.1f} | {100 * row['share']:.2f} % | "
        f"{100 * row['share_at_5_ms']:.2f} % |"
        for row in rows
    ]
    return (
        "\n## What it costs\n\n"
        "Processor time on digits, one thread, a look every 500 steps at 500 fresh fakes with all evidence, sampler "
        "included; `benchmarks/monitor.py --overhead`. The last column takes a step of 5 ms. At most 2 % is wanted.\n\n"
        "| host | ms a step | ms a look | share of the time | at 5 ms a step |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n"
    )
