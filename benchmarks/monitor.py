"""How often `CollapseMonitor` raises an alarm: in healthy runs, and after a generator has lost half of its modes.

A cell is a task and a condition; a run of it is one line of `--out` and is never made again, so that a sitting can stop
and another go on. `--table` writes the page, the numbers and the curve to results/monitor; `--overhead` times a host
with and without a monitor.

    nice .venv/bin/python benchmarks/monitor.py --runs 200 --jobs 1 --time-limit 60
    .venv/bin/python benchmarks/monitor.py --overhead
    .venv/bin/python benchmarks/monitor.py --table
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TASKS = ("blobs-8", "digits")
# Condition -> part of the modes that is lost (1 = one mode), the monitor's margin, the runs wanted (of --runs), and the
# fakes of a look.
CONDITIONS = {
    "healthy": (0.0, 0.15, 1.0, 500),
    "half": (0.5, 0.15, 1.0, 500),
    "one": (1.0, 0.05, 0.5, 500),
    "one-1000": (1.0, 0.05, 0.5, 1_000),
    "trained": (0.0, 0.15, 0.06, 500),
    "trained-half": (0.5, 0.15, 0.06, 500),
    "edge": (0.0, 0.15, 5.0, 500),
}
# Seeds that are trained together, and updates within which a loss has to be found.
TOGETHER, WITHIN = 4, 1_000
# Looks of a run on the edge of the null.
EDGE_LOOKS = 200


def cells() -> Iterator[tuple[str, str]]:
    """Task and condition; on the edge there are no data, only counts."""
    for condition in CONDITIONS:
        for task in TASKS if condition != "edge" else ("counts",):
            yield task, condition


def modes_lost(condition: str, k: int) -> int:
    """How many modes fade."""
    part = CONDITIONS[condition][0]
    return 1 if part == 1 else int(part * k)


@cache
def reference(task: str, seed: int, samples: int) -> object:
    """A prepared reference; twenty serve all runs of as many fakes a look."""
    from monitor_generators import data_of

    from uncollapse.monitor import make_reference

    return make_reference(data_of(task).reference(seed), samples=samples, cache=False)


def watched(task: str, condition: str, run: int, source: object) -> object:
    """A monitor of a source."""
    from monitor_generators import EVERY, REFERENCES

    from uncollapse.monitor import CollapseMonitor

    _, margin, _, samples = CONDITIONS[condition]
    return CollapseMonitor(
        reference(task, run % REFERENCES, samples), sampler=source.sample, every=EVERY, samples=samples, seed=run,  # type: ignore[attr-defined]
        margin=margin, on_alarm=lambda verdict: None,
    )  # fmt: skip


class Course:
    """One run: a source, its monitor, and what both say at every look."""

    def __init__(self, task: str, condition: str, run: int, source: object) -> None:
        self.run, self.source, self.margin = run, source, CONDITIONS[condition][1]
        self.monitor = watched(task, condition, run, source)
        self.shares: list[object] = []

    def look(self, update: int) -> None:
        """Goes to an update and looks."""
        self.shares.append(self.source.at(update))  # type: ignore[attr-defined]
        self.monitor.update(step=update)  # type: ignore[attr-defined]

    def line(self) -> dict[str, object]:
        """The run as it is kept."""
        from monitor_generators import healthy

        source, history = self.source, self.monitor.history  # type: ignore[attr-defined]
        return {
            "run": self.run, "planted": source.planted,  # type: ignore[attr-defined]
            "healthy": healthy(self.shares, source.weights, self.margin),  # type: ignore[attr-defined, arg-type]
            "established": next((row["step"] for row in history if row["best"] is not None), None),
            "alarms": [row["step"] for row in history if row["alarm"]],
            "coverage": [round(row["coverage"], 3) for row in history],
        }  # fmt: skip


def perform(task: str, condition: str, runs: Sequence[int]) -> str:
    """Some runs of a cell as lines."""
    import logging

    import torch

    torch.set_num_threads(1)
    logging.getLogger("uncollapse.monitor").setLevel(logging.CRITICAL)
    if condition == "edge":
        lines = [on_the_edge(run) for run in runs]
    elif condition.startswith("trained"):
        lines = trained(task, condition, list(runs))
    else:
        lines = [drifted(task, condition, run) for run in runs]
    return "".join(json.dumps(line) + "\n" for line in lines)


def drifted(task: str, condition: str, run: int) -> dict[str, object]:
    """One simulated training; of one with a loss nothing after the time that counts."""
    from monitor_generators import EVERY, UPDATES, Drifting, data_of

    source = Drifting(task, run, lost=modes_lost(condition, len(data_of(task).weights)))
    course = Course(task, condition, run, source)
    last = UPDATES if source.planted is None else source.planted + WITHIN
    for update in range(0, last + 1, EVERY):
        course.look(update)
    return course.line()


def trained(task: str, condition: str, runs: list[int]) -> list[dict[str, object]]:
    """Seeds trained together; the seed is the run."""
    from monitor_generators import courses, data_of

    lost, made = modes_lost(condition, len(data_of(task).weights)), []
    for update, view in courses(task, runs):
        made = made or [Course(task, condition, run, view(lane, lost)) for lane, run in enumerate(runs)]
        for course in made:
            planted = course.source.planted  # type: ignore[attr-defined]
            if planted is None or update <= planted + WITHIN:
                course.look(update)
    return [course.line() for course in made]


def on_the_edge(run: int) -> dict[str, object]:
    """Counts alone: ten healthy looks, then exactly the margin is lost, the most that the null allows, for good."""
    from uncollapse.monitor.sequential import REACHED, CoverageTest

    draws = np.random.default_rng([13, run])
    weights = np.full(20, 0.05)
    test = CoverageTest(weights, alpha=0.03, margin=CONDITIONS["edge"][1], healthy=0.6)
    edge = weights.copy()
    # Three cells of twenty are lost, in one of three ways: wholly, or more cells in part.
    kind = run % 3
    edge[: 3 + kind] = REACHED * 0.05 * kind / (3 + kind)
    alarms = []
    for look in range(EDGE_LOOKS):
        shares = weights if look < 10 else edge
        cells = draws.choice(21, CONDITIONS["edge"][3], p=[*shares, max(0.0, 1 - shares.sum())])
        if test.look(np.where(cells == 20, -1, cells)).alarm:
            alarms.append(look)
    return {"run": run, "planted": None, "healthy": True, "established": 0, "alarms": alarms, "coverage": []}


def path_of(folder: Path, cell: tuple[str, str]) -> Path:
    """Where a cell's lines are kept."""
    return folder / f"{cell[0]}-{cell[1]}.jsonl"


def read(folder: Path, cell: tuple[str, str]) -> dict[int, dict[str, object]]:
    """Run -> its line."""
    path = path_of(folder, cell)
    lines = [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []
    return {line["run"]: line for line in lines}


def execute(chosen: Sequence[tuple[str, str]], options: argparse.Namespace) -> None:
    """Makes what is missing, one piece of every cell in turn, until it or the time is over."""
    start, pieces = time.monotonic(), []
    for cell in chosen:
        wanted = max(TOGETHER, round(CONDITIONS[cell[1]][2] * options.runs))
        size = TOGETHER if cell[1].startswith("trained") else 100 if cell[1] == "edge" else options.piece
        missing = [run for run in range(wanted) if run not in read(options.out, cell)]
        pieces += [(at, cell, missing[at : at + size]) for at in range(0, len(missing), size)]
    pieces.sort(key=lambda piece: piece[0])
    if options.jobs == 1:  # in this process, which keeps its prepared references
        while pieces and time.monotonic() - start < 60 * options.time_limit:
            _, cell, runs = pieces.pop(0)
            keep(options.out, cell, perform(*cell, runs), len(pieces), start)
        return
    running: dict[Future[str], tuple[str, str]] = {}
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        while pieces or running:
            while pieces and len(running) < options.jobs and time.monotonic() - start < 60 * options.time_limit:
                _, cell, runs = pieces.pop(0)
                running[pool.submit(perform, *cell, runs)] = cell
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                keep(options.out, running.pop(future), future.result(), len(pieces), start)


def keep(folder: Path, cell: tuple[str, str], lines: str, left: int, start: float) -> None:
    """Adds the lines of a piece to its file at once, and says how far it is."""
    with path_of(folder, cell).open("a") as file:
        file.write(lines)
    print(f"{left} pieces left, {time.monotonic() - start:.0f} s", file=sys.stderr)


def main() -> None:
    """Make what is missing, or time a host, or write the page of what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    results = ROOT / "results" / "monitor"
    parser.add_argument("--out", type=Path, default=results / "runs", help="folder of the runs")
    parser.add_argument("--runs", type=int, default=200, help="runs of the main cells; the others have their part")
    parser.add_argument("--tasks", nargs="*", default=[], help="only these tasks")
    parser.add_argument("--conditions", nargs="*", default=[], help="only these conditions")
    parser.add_argument("--piece", type=int, default=5, help="runs that a process makes at a time")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--time-limit", type=float, default=1e9, help="minutes after which no new piece begins")
    parser.add_argument("--overhead", action="store_true", help="time a host with and without a monitor, and end")
    parser.add_argument("--table", type=Path, nargs="?", const=results, help="write the page, and end")
    options = parser.parse_args()
    os.environ.update(THREADS)
    if options.overhead:
        from monitor_overhead import measure

        measure(results / "overhead.json")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = [
        cell
        for cell in cells()
        if (not options.tasks or cell[0] in options.tasks) and (not options.conditions or cell[1] in options.conditions)
    ]
    if options.table:
        from monitor_page import write

        write(options.table, {cell: list(read(options.out, cell).values()) for cell in chosen})
    else:
        execute(chosen, options)


if __name__ == "__main__":
    main()
