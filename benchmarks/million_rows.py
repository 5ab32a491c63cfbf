"""Peak memory and seconds of `uncollapse evaluate` on a million rows of 256 features a side, a whole process.

The real side is a mixture of ten Gaussians in 256 dimensions (float32 .npy, 1 GB), the fakes the same with one of the
ten made half as often. Peak memory is the kernel's own count of the process (`ru_maxrss`, pages of mapped files
included); its anonymous part is looked up in /proc twice a second, where there is a /proc.

    .venv/bin/python benchmarks/million_rows.py [--rows N] [--width D] [--metrics a,b]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from speed import record

TARGET_GB = 4.0
ROWS, WIDTH, MODES, THREADS = 1_000_000, 256, 10, 2
BLOCK = 50_000
ENVIRONMENT = {**os.environ, **{f"{name}_NUM_THREADS": str(THREADS) for name in ("OMP", "MKL", "OPENBLAS")}}


def write_side(file: Path, rows: int, width: int, shares: np.ndarray, seed: int) -> None:
    """A mixture of Gaussians around places of a common seed, block by block."""
    draws, places = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(len(shares), width))
    scale = np.geomspace(1.0, 0.05, width)
    made = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(rows, width))
    for first in range(0, rows, BLOCK):
        count = min(BLOCK, rows - first)
        mode = draws.choice(len(shares), count, p=shares)
        made[first : first + count] = (places[mode] + draws.standard_normal((count, width))) * scale
    made.flush()


@contextlib.contextmanager
def watched(process: int) -> Iterator[dict[str, float]]:
    """Largest anonymous memory of a process in GB, as looked up while it lives."""
    seen, ended = {"anonymous": 0.0}, threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{process}/status").read_text().splitlines():
                    if line.startswith("RssAnon:"):
                        seen["anonymous"] = max(seen["anonymous"], int(line.split()[1]) * 1024 / 1e9)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def evaluate(real: Path, fake: Path, out: Path, metrics: str | None) -> dict[str, Any]:
    """One whole process: seconds, peak memory, seconds of each step, and what was said."""
    command = [sys.executable, "-m", "uncollapse", "evaluate", str(real), str(fake), "--no-cache", "--out", str(out)]
    command += [] if metrics is None else ["--metrics", metrics]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    with watched(process.pid) as seen:
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"uncollapse evaluate ended with exit code {process.returncode}")
    document = json.loads((out / "evaluation.json").read_text())
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "peak_gb": round(usage.ru_maxrss * unit / 1e9, 2), "anonymous_gb": round(seen["anonymous"], 2),
        "wall_seconds": round(wall, 1), "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "steps": document["seconds"], "verdict": document["verdict"]["status"],
        "lost": [row["mode"] for row in document["verdict"]["lost"]],
        "rows": {name: [item["n_real"], item["n_fake"]] for name, item in document["metrics"].items()},
        "values": {name: item["value"] for name, item in document["metrics"].items()},
    }  # fmt: skip


def main() -> None:
    """Measures, prints, and records a full measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--metrics")
    asked = parser.parse_args()
    shares = np.full(MODES, 1 / MODES)
    poorer = shares.copy()
    poorer[3] /= 2
    with tempfile.TemporaryDirectory(prefix="uncollapse-million-") as folder:
        real, fake = Path(folder) / "real.npy", Path(folder) / "fake.npy"
        write_side(real, asked.rows, asked.width, shares, 1)
        write_side(fake, asked.rows, asked.width, poorer / poorer.sum(), 2)
        found = evaluate(real, fake, Path(folder) / "out", asked.metrics)
    print(json.dumps(found, indent=2))
    if (asked.rows, asked.width, asked.metrics) == (ROWS, WIDTH, None):
        row = {"case": f"{ROWS:,} rows of {WIDTH} features a side", "target_gb": TARGET_GB, **found}
        target = Path(__file__).parent / "results" / "million_rows.json"
        target.write_text(json.dumps(record([row], THREADS), indent=2) + "\n")
    if found["peak_gb"] > TARGET_GB:
        raise SystemExit(f"{found['peak_gb']} GB at the peak, above the target of {TARGET_GB} GB")


if __name__ == "__main__":
    main()
