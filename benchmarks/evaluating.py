"""Seconds of `uncollapse evaluate` on two folders of MNIST PNGs, a whole process, report included, against the target.

The folders hold the first and the second 2,000 test images. Nothing is kept from one round to the next (`--no-cache`),
two threads are allowed, and CPU seconds of the process stand beside the wall clock, because these hold on a busy
machine too. Seconds of each step come from the document that the verb writes.

    UNCOLLAPSE_DATA=... .venv/bin/python benchmarks/evaluating.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from speed import record

from uncollapse.data.fetch import dataset

WALL_TARGET_SECONDS = 30.0
CPU_TARGET_SECONDS = 40.0
ROWS, THREADS = 2_000, 2
# Whatever library counts threads; byte code is allowed, as an installed package has it.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    **{f"{name}_NUM_THREADS": str(THREADS) for name in ("OMP", "MKL", "OPENBLAS")},
}


def write_folders(root: Path, rows: int) -> tuple[Path, Path]:
    """Two folders of so many PNGs, as most people keep samples."""
    images = dataset("mnist", "test")[0]
    folders = root / "real", root / "fake"
    for place, folder in enumerate(folders):
        folder.mkdir()
        for number, image in enumerate(images[place * rows : (place + 1) * rows]):
            Image.fromarray(image).save(folder / f"{number:05d}.png")
    return folders


def evaluate(real: Path, fake: Path, out: Path) -> dict[str, Any]:
    """One whole process: wall and CPU seconds, peak memory in GB, seconds of each step, and the verdict."""
    command = [sys.executable, "-m", "uncollapse", "evaluate", str(real), str(fake), "--no-cache", "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"uncollapse evaluate ended with exit code {process.returncode}")
    document = json.loads((out / "evaluation.json").read_text())
    assert (out / "report.html").exists()
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    return {
        "wall_seconds": wall,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gb": usage.ru_maxrss * unit / 1e9,
        "steps": document["seconds"],
        "status": document["verdict"]["status"],
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="how often it is timed")
    parser.add_argument("--rows", type=int, default=ROWS, help="images a side")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "evaluating.json")
    options = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        real, fake = write_folders(Path(folder), options.rows)
        for number in range(options.times):
            rounds.append(evaluate(real, fake, Path(folder) / f"out-{number}"))
            steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in rounds[-1]["steps"].items())
            told = "{wall_seconds:.1f} s, {cpu_seconds:.1f} CPU s, {peak_gb:.2f} GB, {status}".format(**rounds[-1])
            print(f"{told}; {steps}", flush=True)
    wall, cpu = (statistics.median(row[key] for row in rounds) for key in ("wall_seconds", "cpu_seconds"))
    print(f"median: {wall:.1f} s (target < {WALL_TARGET_SECONDS:g}), {cpu:.1f} CPU s (aim <= {CPU_TARGET_SECONDS:g})")
    result = record(rounds, THREADS) | {
        "images_a_side": options.rows,
        "load": os.getloadavg()[0],
        "target_wall_seconds": WALL_TARGET_SECONDS,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
