"""How near `compare --dry-run` comes: three small plans estimated, then run, in seconds of clock and of processor.

Writes results/scale/estimates.json. On a machine that does something else, only the processor's time says something.

    python benchmarks/estimates.py [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uncollapse.experiments.estimate import estimate

PLANS = {
    "MLP": """
[plan]
name = "mlp"
seeds = { first = 0, count = 32 }
updates = 600
batch = 128
[[cells]]
methods = ["vanilla", "wgan-gp"]
tasks = ["ring-8"]
set = { networks.width = 64 }
""",
    "convolutions": """
[plan]
name = "convolutions"
seeds = { first = 0, count = 4 }
updates = 500
batch = 32
[[cells]]
methods = ["vanilla", "wgan-gp"]
tasks = ["digits"]
set = { networks.family = "dcgan" }
""",
    "mixed": """
[plan]
name = "mixed"
seeds = { first = 0, count = 4 }
batch = 64
[[cells]]
methods = ["vanilla", "r3gan", "pacgan-2"]
tasks = ["ring-8"]
updates = 1000
[[cells]]
methods = ["cgan"]
tasks = ["digits"]
updates = 400
set = { networks.family = "dcgan" }
""",
}
JOBS = 2


def measured(name: str, text: str, folder: Path) -> dict[str, object]:
    """One plan's estimate beside what it took."""
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    found = estimate(path, out=folder / name, jobs=JOBS, device="cpu")
    command = [sys.executable, "-m", "uncollapse", "compare", str(path), "--jobs", str(JOBS), "--device", "cpu"]
    before, begun = os.times(), time.perf_counter()
    done = subprocess.run([*command, "--out", str(folder / name)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    wall, after = time.perf_counter() - begun, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "plan": name,
        "runs": len(found.runs),
        "estimated_seconds": round(found.seconds, 1),
        "seconds": round(wall, 1),
        "estimated_processor_seconds": round(found.processor_seconds, 1),
        "processor_seconds": round(used, 1),
        "processor_ratio": round(found.processor_seconds / used, 3),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Measures and writes all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/scale/estimates.json"))
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="uncollapse-") as folder:
        rows = []
        for name, text in PLANS.items():
            rows.append(measured(name, text, Path(folder)))
            print(json.dumps(rows[-1]), flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"jobs": JOBS, "plans": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
