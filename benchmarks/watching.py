"""How long `uncollapse watch` takes to show a large directory: 20 runs of 64 seeds with 5,000 records each.

Makes such a comparison directory, starts the real server on it and measures, from a client's side, the time from a
request to the whole HTML with the state in it: at once after the start, while the histories are still being read, and
when all is read; then with ten viewers whose streams stay open. What the reading costs is measured too.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import numpy as np

TARGET_SECONDS = 1.0
VIEWERS = 10
METHODS = (
    "vanilla",
    "wgan-gp",
    "lsgan",
    "dragan",
    "pacgan-2",
    "began",
    "hinge",
    "unrolled-5",
    "veegan",
    "relativistic",
)
TASKS = ("ring-8", "grid-25")
COMMAND = str(Path(sys.executable).with_name("uncollapse"))


def make_run(
    folder: Path, method: str, task: str, seeds: int, records: int, draw: np.random.Generator
) -> dict[str, Any]:
    """Writes one unfinished run as the trainer would; returns its line of the lock."""
    modes = int(task.rsplit("-", 1)[1])
    updates = 4 * records
    (folder / "samples").mkdir(parents=True)
    numbers = list(range(seeds))
    spec = {"schema": 1, "method": {"name": method}, "task": {"name": task}, "seeds": numbers, "updates": updates}
    (folder / "spec.json").write_text(json.dumps(spec))
    snapshots = {round(share * records) for share in (0, 0.01, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.75, 0.9)}
    losses = 1 + 0.3 * draw.standard_normal((records, 2, seeds))
    with (folder / "history.jsonl").open("w") as stream:
        for record in range(round(0.95 * records) if method == METHODS[0] else records):
            update = 4 * (record + 1)
            line = {
                "update": update,
                "losses": {"critic": losses[record, 0].tolist(), "generator": losses[record, 1].tolist()},
            }
            stream.write(json.dumps(line) + "\n")
            if record in snapshots:
                shares = draw.dirichlet(np.full(modes, 0.4), seeds)
                solid = (shares > 0.2 / modes).sum(1)
                measures = {
                    "modes_solid": solid.astype(float).tolist(),
                    "modes_hit": solid.astype(float).tolist(),
                    "high_quality_share": draw.random(seeds).tolist(),
                }
                judged = {"measures": measures, "shares": shares.tolist()}
                live = {f"{key}_live": value for key, value in judged.items()}
                stream.write(json.dumps({"update": update, "snapshot": True, **judged, **live}) + "\n")
                buffer = io.BytesIO()
                np.savez_compressed(buffer, samples=draw.standard_normal((seeds, 500, 2)).astype(np.float32))
                (folder / "samples" / f"step-{update:08d}.npz").write_bytes(buffer.getvalue())
    clock = {"update": updates // 2, "from": 0, "seconds": 600.0, "device": "cpu", "updates_per_second": 900.0}
    (folder / "timing.jsonl").write_text(json.dumps(clock) + "\n")
    return {"directory": folder.name, "method": method, "task": task, "seeds": numbers, "updates": updates}


def make_directory(folder: Path, runs: int, seeds: int, records: int) -> int:
    """Writes the comparison; returns its size in bytes."""
    draw = np.random.default_rng(7)
    cells = [(method, task) for method in METHODS for task in TASKS][:runs]
    lines = [make_run(folder / "runs" / f"{m}-{t}", m, t, seeds, records, draw) for m, t in cells]
    lock = {"schema": 1, "plan": {"name": "large", "weights": "averaged"}, "plugins": [], "runs": lines}
    (folder / "plan.lock.json").write_text(json.dumps(lock))
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Viewer:
    """A browser's worth of requests: a cookie, the page, and the stream of changes."""

    def __init__(self, url: str) -> None:
        """Not opened yet."""
        self.base = url.partition("?")[0].rstrip("/")
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self.url = url

    def page(self, first: bool = False) -> tuple[float, str]:
        """Seconds from the request to the last byte of the HTML, and the HTML."""
        start = time.perf_counter()
        with self.opener.open(self.url if first else self.base + "/", timeout=60) as answer:
            html = answer.read().decode()
        return time.perf_counter() - start, html

    def get(self, path: str) -> tuple[float, bytes]:
        """Seconds and bytes of one request."""
        start = time.perf_counter()
        with self.opener.open(self.base + path, timeout=60) as answer:
            return time.perf_counter() - start, answer.read()

    def follow(self, states: list[int], end: threading.Event) -> None:
        """Reads the stream until the end, noting the version of every state."""
        with self.opener.open(self.base + "/events", timeout=60) as stream:
            while not end.is_set():
                line = stream.readline()
                if not line:
                    return
                if line.startswith(b"data: "):
                    states.append(json.loads(line[6:])["version"])


def state_of(html: str) -> dict[str, Any]:
    """The first state in a page."""
    found = re.search(r'<script type="application/json" id="state">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    state: dict[str, Any] = json.loads(found[1])
    return state


def measure(folder: Path) -> dict[str, Any]:
    """Starts the server on a directory and measures it."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [COMMAND, "watch", str(folder), "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    text = ""
    while "}" not in text:
        text += process.stdout.readline()
    started = time.perf_counter()
    found: dict[str, Any] = {"start_seconds": started - begun}
    try:
        url = json.loads(text)["url"]
        viewer = Viewer(url)
        found["first_paint_at_once_seconds"], html = viewer.page(first=True)
        assert all(row["update"] > 0 for row in state_of(html)["rows"])
        during = []
        while any(row["behind"] for row in state_of(html)["rows"]):
            seconds, html = viewer.page()
            during.append(seconds)
            time.sleep(0.2)
        found["all_read_after_seconds"] = time.perf_counter() - started
        found["while_reading_seconds"] = {"n": len(during), "median": statistics.median(during), "max": max(during)}
        paints = [viewer.page() for _ in range(20)]
        found["first_paint_seconds"] = {
            "median": statistics.median(p[0] for p in paints),
            "max": max(p[0] for p in paints),
        }
        found["page_bytes"] = len(html)
        identifier = state_of(html)["rows"][0]["id"]
        first, content = viewer.get(f"/runs/{identifier}")
        again, _ = viewer.get(f"/runs/{identifier}")
        found["run_seconds"], found["run_again_seconds"], found["run_bytes"] = first, again, len(content)
        found |= with_viewers(url, process.pid)
    finally:
        process.terminate()
        process.wait()
    return found


def with_viewers(url: str, pid: int) -> dict[str, Any]:
    """Ten streams open, then a page: its time, and the processor's share that the server needs."""
    end, threads, states = threading.Event(), [], [[] for _ in range(VIEWERS)]
    for kept in states:
        viewer = Viewer(url)
        viewer.page(first=True)
        thread = threading.Thread(target=viewer.follow, args=(kept, end), daemon=True)
        thread.start()
        threads.append(thread)
    time.sleep(2)
    before, start = cpu_seconds(pid), time.perf_counter()
    time.sleep(5)
    share = (cpu_seconds(pid) - before) / (time.perf_counter() - start)
    late = Viewer(url)
    seconds, _ = late.page(first=True)
    end.set()
    assert all(kept for kept in states), "a viewer got no state"
    return {
        "viewers": VIEWERS,
        "first_paint_with_viewers_seconds": seconds,
        "cpu_share_with_viewers": share,
        "memory_mb": memory(pid),
    }


def cpu_seconds(pid: int) -> float:
    """Processor seconds of a process so far; 0 where Linux does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Resident megabytes of a process; 0 where Linux does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return 0.0


def main() -> None:
    """Make, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="at most 20")
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--records", type=int, default=5_000)
    parser.add_argument("--directory", type=Path, help="use this one, made before, instead of making one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "watching.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.directory or Path(scratch) / "large"
        if not folder.exists():
            make_directory(folder, options.runs, options.seeds, options.records)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        found = measure(folder)
    worst = max(
        found["first_paint_at_once_seconds"], found["while_reading_seconds"]["max"], found["first_paint_seconds"]["max"]
    )
    print(f"{options.runs} runs x {options.seeds} seeds x {options.records} records, {size / 1e6:.0f} MB")
    print(
        f"first paint at once after the start: {found['first_paint_at_once_seconds']:.3f} s, target < {TARGET_SECONDS}"
    )
    reading, paint = found["while_reading_seconds"], found["first_paint_seconds"]
    print(f"while reading: median {reading['median']:.3f} s, max {reading['max']:.3f} s ({reading['n']} requests)")
    print(f"all is read after {found['all_read_after_seconds']:.1f} s, in the background")
    print(f"then: median {paint['median']:.3f} s, max {paint['max']:.3f} s; page of {found['page_bytes'] / 1e3:.0f} kB")
    print(f"a run's curves: {found['run_seconds']:.3f} s, again {found['run_again_seconds']:.3f} s")
    print(
        f"with {VIEWERS} viewers: {found['first_paint_with_viewers_seconds']:.3f} s, "
        f"{100 * found['cpu_share_with_viewers']:.1f} % of a core, {found['memory_mb']:.0f} MB"
    )
    machine = {"cores": os.cpu_count(), "platform": platform.platform()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "schema": 1,
        "command": " ".join(["python", *sys.argv]),
        "python": platform.python_version(),
        "machine": machine,
    }
    result |= {"runs": options.runs, "seeds": options.seeds, "records": options.records, "bytes": size, **found}
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    raise SystemExit(0 if worst < TARGET_SECONDS else 1)


if __name__ == "__main__":
    main()
