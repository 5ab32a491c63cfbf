"""A sweep of 40 tiny runs among kill -9 of workers and heads, a full disk and a poisoned spec: equal to a quiet one?

``python benchmarks/chaos.py --engine local --out results/chaos/local.json`` runs a quiet sweep, then the same plan
while a seeded hand kills the process of a training run or the whole head at random moments and fills the disk once;
whenever the head is gone it is started again. At the end it compares the tables byte for byte and every run to the
last bit. With ``--nodes 2`` Ray's cluster is one of two nodes with room for one run each, simulated on this machine,
which outlives the heads; after two thirds of the runs one of the nodes dies, and another joins.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uncollapse.files import read_lines
from uncollapse.lease import LEASE, read_owner

ROOT = Path(__file__).resolve().parents[1]
METHODS = ("vanilla", "lsgan", "wgan", "wgan-gp", "dragan", "sngan", "r1", "rpgan", "r3gan", "d2gan")
TASKS = ("blobs-4", "blobs-3", "blobs-2", "ring-8")
PLAN = """
[plan]
name = "chaos"
seeds = {{ first = 0, count = 2 }}
updates = {updates}
batch = 8
[[cells]]
methods = [{methods}]
tasks = [{tasks}]
set = {{ networks.width = 4, networks.depth = 1 }}
[[cells]]
methods = ["poisoned"]
tasks = ["blobs-4"]
set = {{ networks.width = 4, networks.depth = 1 }}
[compare]
baseline = "vanilla"
"""
# A loss that raises in the middle of training, in every attempt.
POISON = """
from dataclasses import dataclass
from uncollapse.methods import VANILLA
from uncollapse.parts.losses import Loss
@dataclass(frozen=True, kw_only=True)
class Poison(Loss):
    def critic(self, real, fake, state, scene):
        raise ZeroDivisionError("this spec is poisoned")
    def generator(self, real, fake, scene):
        raise ZeroDivisionError("this spec is poisoned")
POISONED = VANILLA.but(name="poisoned", loss=Poison())
"""


@dataclass
class Sweep:
    """One start of a plan after the other, until all its runs have ended."""

    engine: str
    folder: Path
    out: Path
    address: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    starts: int = 0
    finished: dict[str, tuple[int, int]] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)

    def start(self) -> subprocess.Popen[bytes]:
        """The head, as a user starts it."""
        command = [sys.executable, "-m", "uncollapse", "compare", "plan.toml", "--out", str(self.out)]
        command += ["--engine", self.engine, "--jobs", "2", "--device", "cpu", "--plugin", "poison:POISONED"]
        command += ["--engine-option", "retry_seconds=0.2", "--json"]
        command += ["--address", self.address] if self.address else []
        path = os.pathsep.join([str(ROOT / "src"), str(self.folder)])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self.starts += 1
        with (self.folder / f"{self.engine}-{self.starts}.log").open("wb") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=log)

    def look(self) -> None:
        """Notes every result when it is first seen, and one that was written a second time."""
        for path in self.out.glob("runs/*/result.json"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                seen = self.finished.setdefault(path.parent.name, (status.st_ino, status.st_mtime_ns))
                if seen != (status.st_ino, status.st_mtime_ns):
                    self.repeated.add(path.parent.name)

    def note(self, what: str, **more: Any) -> None:
        """Adds a line to the story."""
        self.log.append({"seconds": round(time.monotonic() - self.began, 1), "what": what, **more})
        print(f"{self.log[-1]}", file=sys.stderr, flush=True)


def training(out: Path) -> dict[str, int]:
    """The process of each run that is being trained, as its lease names it."""
    found = {}
    for path in out.glob(f"runs/*/{LEASE}"):
        owner = read_owner(path)
        if owner is not None and not owner.is_dead():
            found[path.parent.name] = owner.pid
    return found


def quiet(sweep: Sweep) -> None:
    """The plan, undisturbed."""
    code = sweep.start().wait()
    sweep.look()
    if code != 1 or not sweep.finished:  # the poisoned run makes it end with 1
        raise SystemExit((sweep.folder / f"{sweep.engine}-1.log").read_text(encoding="utf-8"))


def chaotic(
    sweep: Sweep, hand: random.Random, kills: int, mean: float, lose_a_node: Callable[[], None] | None = None
) -> None:
    """The plan among faults.

    Args:
        sweep: What is disturbed.
        hand: Chooses moments and victims.
        kills: Of workers and heads.
        mean: Seconds between two of them.
        lose_a_node: Called after two thirds of the runs. After one third the disk is full for a while.
    """
    left, total = kills, None
    fullness, losses = iter([True]), iter([lose_a_node] if lose_a_node else [])
    while True:
        head = sweep.start()
        next_kill = time.monotonic() + hand.expovariate(1 / mean)
        while head.poll() is None:
            time.sleep(0.05)
            sweep.look()
            if total is None and (sweep.out / "plan.lock.json").exists():
                with contextlib.suppress(ValueError):
                    total = len(json.loads((sweep.out / "plan.lock.json").read_text())["runs"])
            if total and len(sweep.finished) > total / 3 and next(fullness, False):
                fill_for_a_while(sweep, head)
            if total and len(sweep.finished) > 2 * total / 3 and (lose := next(losses, None)):
                sweep.note("a node dies", finished=len(sweep.finished))
                lose()
            workers = training(sweep.out)
            if time.monotonic() < next_kill or not left or not workers:
                continue
            next_kill = time.monotonic() + hand.expovariate(1 / mean)
            left -= 1
            if hand.random() < 0.3:
                sweep.note("kill -9 of the head", finished=len(sweep.finished))
                head.kill()
            else:
                run = hand.choice(sorted(workers))
                sweep.note("kill -9 of a worker", run=run)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[run], signal.SIGKILL)
        sweep.note("the head has ended", code=head.returncode, finished=len(sweep.finished))
        if head.returncode == 1 and not left and next(fullness, None) is None and total == len(sweep.finished) + 1:
            return
        if sweep.starts > kills + 20:
            raise SystemExit("the sweep comes to no end")


def fill_for_a_while(sweep: Sweep, head: subprocess.Popen[bytes]) -> None:
    """No byte is free for some seconds."""
    filler = sweep.out / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while stream.write(bytes(1 << 16)):
            pass
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as stream:
        while stream.write(bytes(512)):
            pass
    sweep.note("the disk is full", finished=len(sweep.finished))
    end = time.monotonic() + 6
    while time.monotonic() < end and head.poll() is None:
        time.sleep(0.05)
        sweep.look()
    filler.unlink()
    sweep.note("the disk has room again", finished=len(sweep.finished))


def tables(out: Path) -> str:
    """The tables of a comparison as text, without what is a clock."""
    document = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    for cell in document["cells"]:
        cell["cost"].pop("seconds", None)
    return json.dumps([document[key] for key in ("status", "unfinished", "cells", "differences")], indent=1)


def numbers(run: Path) -> dict[str, Any]:
    """All of a finished run but its clocks and its warnings."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    arrays = {}
    for path in sorted((run / "samples").iterdir()):
        with np.load(path) as stored:
            arrays |= {f"{path.name}/{key}": value.tobytes() for key, value in stored.items()}
    result.pop("warnings", None)
    return {"result": result, "history": (run / "history.jsonl").read_bytes(), "samples": arrays}


@contextlib.contextmanager
def disk(place: Path, megabytes: int = 200) -> Iterator[Path]:
    """A file system of its own, so that only the sweep runs out of room."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        raise SystemExit("This needs to mount a small file system, so run it as root on Linux.")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def report(one: Sweep, other: Sweep, seed: int) -> dict[str, Any]:
    """What the comparison of the quiet sweep with the chaotic one has found."""
    runs = sorted(path.name for path in (one.out / "runs").iterdir() if (path / "result.json").exists())
    unequal = [name for name in runs if numbers(one.out / "runs" / name) != numbers(other.out / "runs" / name)]
    cells = json.loads((other.out / "comparison.json").read_text(encoding="utf-8"))["cells"]
    poisoned = next(cell for cell in cells if cell["method"] == "poisoned")["failed"]
    kinds = [line["what"] for line in other.log]
    sittings = {run.name: len({line.get("from") for line in read_lines(run / "timing.jsonl")})
                for run in (other.out / "runs").iterdir() if run.is_dir()}  # fmt: skip
    return {
        "engine": other.engine,
        "seed": seed,
        "runs": len(runs) + len(poisoned),
        "tables_equal": tables(one.out) == tables(other.out),
        "table_bytes": len(tables(other.out).encode()),
        "runs_unequal": unequal,
        "finished_runs_lost": sorted(set(other.finished) - set(runs)),
        "finished_runs_repeated": sorted(other.repeated),
        "poisoned": poisoned,
        "worker_kills": kinds.count("kill -9 of a worker"),
        "head_kills": kinds.count("kill -9 of the head"),
        "full_disks": kinds.count("the disk is full"),
        "lost_nodes": kinds.count("a node dies"),
        "starts": other.starts,
        "runs_in_several_sittings": sum(count > 1 for count in sittings.values()),
        "seconds": {"quiet": round(one.log[-1]["seconds"], 1), "chaotic": round(other.log[-1]["seconds"], 1)},
        "log": other.log,
    }


def experiment(
    engine: str, *, runs: int, updates: int, kills: int, mean: float, seed: int, nodes: int = 0
) -> dict[str, Any]:
    """Both sweeps, and what their comparison has found."""
    count = max(1, round((runs - 1) / len(TASKS)))
    methods, tasks = METHODS[:count], TASKS if runs > len(TASKS) else TASKS[: runs - 1]
    with contextlib.ExitStack() as stack:
        lose: Callable[[], None] | None = None
        address = ""
        if nodes:
            from ray_nodes import simulated  # Ray is needed for this alone

            cluster = stack.enter_context(simulated(nodes))
            address, lose = cluster.address, cluster.replace_one
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="uncollapse-chaos-")))
        small = stack.enter_context(disk(folder / "disk"))
        listed = {"methods": ", ".join(map(json.dumps, methods)), "tasks": ", ".join(map(json.dumps, tasks))}
        (folder / "plan.toml").write_text(PLAN.format(updates=updates, **listed), encoding="utf-8")
        (folder / "poison.py").write_text(POISON, encoding="utf-8")
        one, other = Sweep("local", folder, folder / "quiet"), Sweep(engine, folder, small / "chaos", address)
        quiet(one)
        one.note("the quiet sweep has ended", finished=len(one.finished))
        other.began = time.monotonic()
        chaotic(other, random.Random(seed), kills, mean, lose)
        return report(one, other, seed) | {"nodes": nodes}


def main() -> None:
    """Runs the experiment and says whether it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--runs", type=int, default=41)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--mean", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=0, help="of a simulated cluster; 0 = Ray's own of this machine")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.nodes and chosen.engine != "ray":
        parser.error("--nodes is for --engine ray")
    if chosen.nodes == 1:
        parser.error("a cluster one of whose nodes dies needs --nodes 2 or more")
    options = {key: value for key, value in vars(chosen).items() if key not in ("engine", "out")}
    found = experiment(chosen.engine, **options)
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(text, encoding="utf-8")
    bad = found["runs_unequal"] or found["finished_runs_lost"] or found["finished_runs_repeated"]
    bad = bad or found["full_disks"] != 1 or found["lost_nodes"] != bool(chosen.nodes)
    raise SystemExit(bool(bad) or not found["tables_equal"] or len(found["poisoned"]) != 1)


if __name__ == "__main__":
    main()
