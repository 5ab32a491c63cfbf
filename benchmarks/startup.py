"""Seconds that `uncollapse --help` takes, and the peak memory of `uncollapse demo`, against the stated targets.

Memory is the largest sum over the demo's whole process tree, shared pages counted once (PSS, sampled five times a
second, Linux), and the largest single process as the kernel counts it (`ru_maxrss`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HELP_TARGET_SECONDS = 0.3
MEMORY_TARGET_GB = 1.5
COMMAND = str(Path(sys.executable).with_name("uncollapse"))
# A machine may forbid byte code; an installed package has it, so the measurement allows it.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def help_seconds(times: int) -> list[float]:
    """Wall-clock seconds of `uncollapse --help`, once unmeasured to fill the caches."""
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        subprocess.run([COMMAND, "--help"], check=True, capture_output=True, env=ENVIRONMENT)
        taken.append(time.perf_counter() - start)
    return taken[1:]


def tree_bytes(pid: int) -> int:
    """Proportional set size of a process and all its descendants; 0 where Linux does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # the process ended between two reads, or this is no Linux
        return 0
    own = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return own + sum(tree_bytes(int(child)) for child in children)


def demo_memory(folder: Path) -> tuple[float, float, float]:
    """Run the demo; returns peak GB of the tree, peak GB of its largest process, and seconds."""
    start = time.perf_counter()
    process = subprocess.Popen([COMMAND, "demo", "--out", str(folder)], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_bytes(process.pid))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"uncollapse demo ended with exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return peak / 1e9, largest / 1e9, time.perf_counter() - start


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="how often --help is timed")
    parser.add_argument("--no-demo", action="store_true", help="only time --help")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "startup.json")
    options = parser.parse_args()
    taken = help_seconds(options.times)
    median = statistics.median(taken)
    print(f"uncollapse --help: {median:.3f} s [{min(taken):.3f}, {max(taken):.3f}], target < {HELP_TARGET_SECONDS} s")
    result = {
        "schema": 1,
        "command": " ".join(["python", *sys.argv]),
        "python": platform.python_version(),
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
        "help_seconds": taken,
    }
    if not options.no_demo:
        with tempfile.TemporaryDirectory() as folder:
            tree, largest, seconds = demo_memory(Path(folder) / "demo")
        print(
            f"uncollapse demo: {seconds:.0f} s, peak memory {tree:.2f} GB over all processes "
            f"({largest:.2f} GB in the largest), target < {MEMORY_TARGET_GB} GB"
        )
        result |= {"demo_seconds": seconds, "demo_peak_gb": tree, "demo_largest_process_gb": largest}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
