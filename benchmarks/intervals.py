"""How often each metric's interval holds its estimand, over simulated repeats whose truth is known.

A cell is one configuration (populations, dimension, sizes; `cells.py`). Repeat i of a cell draws real and fake from
`SeedSequence([crc32(name of the cell), i])`; the first `--repeats` are measured with intervals, all up to `--fresh`
without. The truth is the population value where it is known, else the mean of the values of all these repeats. Each
repeat is one line of `--out` and is never drawn again, so that a run can stop and go on; `--again` draws what lies
outside its limits more often, and `--table` writes results/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from cells import FAMILIES, OWN_TRUTH, Cell
from coverage_table import doubtful, forget, mend, path_of, read, summaries_of, write_table

import uncollapse

ROOT = Path(__file__).resolve().parents[1]
LEVEL = 0.95
# Squared rows of one task: tasks take seconds, so that a time limit is kept and little is lost when a run is stopped.
TASK_PAIRS, MOST_REPEATS = 2e7, 50
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Task:
    """Some repeats of one cell, for one process.

    Attributes:
        cell: Which.
        metrics: Who looks.
        repeats: Numbers of the repeats.
        level: Nominal coverage; None measures values only.
        code: Digest of the code.
    """

    cell: Cell
    metrics: tuple[str, ...]
    repeats: tuple[int, ...]
    level: float | None
    code: str


def code_digest() -> str:
    """Eight digits that change with the metrics, what they rest on, or the populations."""
    here, package = Path(__file__).parent, Path(uncollapse.__file__).parent
    files = [here / f"{name}.py" for name in ("cells", "populations", "image_features", "verdict_data")]
    files += sorted((package / "metrics").rglob("*.py"))
    files += sorted(path for ending in ("py", "safetensors") for path in (package / "features").rglob(f"*.{ending}"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]


def perform(task: Task) -> str:
    """The lines of one task; runs in a process of its own."""
    torch.set_num_threads(1)
    measure, lines = FAMILIES[task.cell.family].measure, []
    for repeat in task.repeats:
        start = time.process_time()
        rows = measure(task.cell, task.metrics, task.cell.stream(repeat), task.level)
        seconds = round(time.process_time() - start, 4)
        line = {"repeat": repeat, "level": task.level, "seconds": seconds, "code": task.code, "metrics": rows}
        lines.append(json.dumps(line) + "\n")
    return "".join(lines)


def tasks_of(cell: Cell, options: argparse.Namespace, code: str) -> Iterator[Task]:
    """What is still to do in a cell, the repeats with intervals first, then the fresh draws for the truth."""
    size = min(MOST_REPEATS, max(2, round(TASK_PAIRS / (cell.n_real + cell.n_fake) ** 2)))
    kept, family = read(options.out, cell), FAMILIES[cell.family]
    looking = tuple(name for name in family.metrics if not options.metrics or name in options.metrics)
    simulated = tuple(name for name in looking if name not in OWN_TRUTH and family.known(cell, name) is None)
    # Doubt is a matter of the first repeats alone: what is drawn more often is drawn to the end.
    first = replace(
        kept, measured={repeat: kept.measured[repeat] for repeat in kept.measured if repeat < options.repeats}
    )
    found = summaries_of({cell: first}).get(cell, {}) if options.again else {}
    again = tuple(name for name in looking if name in found and doubtful(found[name]))
    for level, done, wanted, numbers in (
        (LEVEL, kept.measured, looking, range(options.repeats)),
        (LEVEL, kept.measured, again, range(options.repeats, options.again)),
        (None, kept.fresh, simulated, range(options.repeats, options.fresh)),
    ):
        waiting: dict[tuple[str, ...], list[int]] = {}
        for repeat in numbers:
            missing = tuple(name for name in wanted if name not in done.get(repeat, {}))
            if missing:
                waiting.setdefault(missing, []).append(repeat)
        for missing, repeats in waiting.items():
            for start in range(0, len(repeats), size):
                yield Task(cell, missing, tuple(repeats[start : start + size]), level, code)


def in_rounds(cells: Iterable[Cell], options: argparse.Namespace) -> list[Task]:
    """All tasks, one of every cell in turn, intervals before fresh draws: what is stopped early is still a table."""
    ranked, code = [], code_digest()
    for cell in cells:
        tasks = list(tasks_of(cell, options, code))
        ranked += [(task.level is None, task.repeats[0], task) for task in tasks]
    return [task for _, _, task in sorted(ranked, key=lambda entry: entry[:2])]


def execute(tasks: Sequence[Task], options: argparse.Namespace) -> int:
    """Runs the tasks until they or the time are over; a cell that fails is said and left out; returns how many did."""
    start, done, failed = time.monotonic(), 0, set()
    waiting = iter(tasks)
    running: dict[Future[str], Task] = {}
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        while True:
            while len(running) < 2 * options.jobs and time.monotonic() - start < 60 * options.time_limit:
                task = next((task for task in waiting if task.cell not in failed), None)
                if task is None:
                    break
                running[pool.submit(perform, task)] = task
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task, done = running.pop(future), done + 1
                try:
                    with path_of(options.out, task.cell).open("a") as file:
                        file.write(future.result())
                except Exception as error:
                    failed.add(task.cell)
                    print(f"{task.cell.name}, repeat {task.repeats[0]} or later: {error!r}", file=sys.stderr)
                if done % 100 == 0 or not running:
                    print(f"{done} of {len(tasks)} tasks, {time.monotonic() - start:.0f} s", file=sys.stderr)
    return len(failed)


def chosen(options: argparse.Namespace) -> list[Cell]:
    """The cells that the options leave."""
    return [
        cell
        for name, family in FAMILIES.items()
        if not options.families or name in options.families
        for cell in family.cells
        if (not options.metrics or set(options.metrics) & set(family.metrics))
        and (not options.dims or name not in ("features", "images", "paired") or cell.size in options.dims)
        and (not options.rows or max(cell.n_real, cell.n_fake) in options.rows)
    ]


def names(text: str) -> list[str]:
    """The parts of a comma-separated option."""
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str) -> list[int]:
    """The whole numbers of a comma-separated option."""
    return [int(part) for part in names(text)]


def main() -> int:
    """Simulate what is missing, or write the table of what is there; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "intervals", help="folder of the repeats")
    parser.add_argument("--repeats", type=int, default=500, help="repeats with intervals")
    parser.add_argument("--again", type=int, default=0, help="repeats of what lies outside its limits")
    parser.add_argument("--fresh", type=int, default=2_000, help="draws behind a simulated truth, those included")
    parser.add_argument("--metrics", type=names, default=[], help="only these, for example precision,recall")
    parser.add_argument("--families", type=names, default=[], help=f"only these of {', '.join(FAMILIES)}")
    parser.add_argument("--dims", type=numbers, default=[], help="only these dimensions, for example 2,16")
    parser.add_argument("--rows", type=numbers, default=[], help="only cells whose larger side has so many rows")
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--time-limit", type=float, default=1e9, help="minutes after which no new task begins")
    parser.add_argument("--forget", type=names, default=[], help="remove what is known of these metrics, and end")
    parser.add_argument("--table", type=Path, nargs="?", const=ROOT / "results" / "intervals", help="write, and end")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.forget:
        forget(options.out, options.forget)
        return 0
    if options.table:
        every = (cell for family in FAMILIES.values() for cell in family.cells)
        write_table(options.table, {cell: read(options.out, cell) for cell in every}, options.repeats, options.fresh)
        return 0
    os.environ.update(THREADS)
    cells = chosen(options)
    for cell in cells:
        mend(path_of(options.out, cell))
    failed = execute(in_rounds(cells, options), options)
    spent = sum(read(options.out, cell).seconds for cell in cells)
    print(f"{spent / 3600:.2f} CPU hours are behind what is kept of these {len(cells)} cells in {options.out}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
