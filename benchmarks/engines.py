"""What the local engine costs a run, beyond `import torch` and the training itself, against the stated target.

Jobs of one update are trained in this process, by workers that train one after the other, and (as under a limit of
memory) by a worker of its own for each. The seconds of a run are the slope between few and many jobs, so that the start
of the first worker does not count.
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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from uncollapse.experiments.engines import Job, perform
from uncollapse.experiments.engines.limits import Limits
from uncollapse.experiments.engines.local import LocalEngine
from uncollapse.experiments.progress import SilentBoard
from uncollapse.run import make_spec
from uncollapse.tasks import find

TARGET_SECONDS = 0.150
FEW, MANY = 2, 12


def jobs(folder: Path, count: int) -> list[Job]:
    """Runs that have next to nothing to train and to judge."""
    task = replace(find("blobs-2"), measure_size=100)
    made = []
    for seed in range(count):
        settings = {"networks.width": 4, "networks.depth": 1}
        spec = make_spec("vanilla", task, seeds=(seed,), updates=1, batch=4, settings=settings)
        made.append(
            Job(
                spec=spec.to_json(), directory=folder / f"run-{seed}", method="vanilla", task="blobs-2", seeds=(seed,),
                updates=1, device="cpu",
            )
        )  # fmt: skip
    return made


def never() -> bool:
    """No request to stop."""
    return False


def here(given: list[Job]) -> None:
    """All in this process, without any engine."""
    for job in given:
        outcome = perform(job, progress=lambda _: None, stop=never)
        assert outcome.status == "finished", outcome


def engine(limits: Limits, workers: int) -> Callable[[list[Job]], None]:
    """All by the local engine."""

    def run(given: list[Job]) -> None:
        outcomes = LocalEngine(jobs=workers, limits=limits).run(given, board=SilentBoard(given), stop=never)
        assert all(outcome.status == "finished" for outcome in outcomes.values()), outcomes

    return run


def seconds_a_run(way: Callable[[list[Job]], None], repeats: int) -> float:
    """The median slope between few and many jobs."""
    found = []
    for _ in range(repeats):
        taken = []
        for count in (FEW, MANY):
            with tempfile.TemporaryDirectory() as name:
                given = jobs(Path(name), count)
                start = time.perf_counter()
                way(given)
                taken.append(time.perf_counter() - start)
        found.append((taken[1] - taken[0]) / (MANY - FEW))
    return statistics.median(found)


def import_seconds(repeats: int) -> float:
    """Seconds of a process that imports torch and ends."""
    taken = []
    for _ in range(3 * repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Measures and prints, as text and on request as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        here(jobs(Path(name), 1))  # what is loaded once must not count
    alone = seconds_a_run(here, chosen.repeats)
    kept = seconds_a_run(engine(Limits(run_minutes=60), 1), chosen.repeats)
    own = seconds_a_run(engine(Limits(run_memory=100), 1), chosen.repeats)
    torch_seconds = import_seconds(chosen.repeats)
    found = {
        "in_this_process": alone,
        "by_a_kept_worker": kept,
        "by_a_worker_of_its_own": own,
        "import_torch": torch_seconds,
        "overhead_kept": kept - alone,
        "overhead_own": own - alone - torch_seconds,
        "target": TARGET_SECONDS,
        "load": os.getloadavg()[0],
    }
    if chosen.json:
        print(json.dumps({key: round(value, 4) for key, value in found.items()}, indent=1))
        return
    print(f"a run of one update in this process        {1000 * alone:8.0f} ms")
    print(f"by a worker that trains one after the other {1000 * kept:7.0f} ms")
    print(f"by a worker of its own                     {1000 * own:8.0f} ms")
    print(f"import torch                               {1000 * torch_seconds:8.0f} ms")
    for name in ("overhead_kept", "overhead_own"):
        verdict = "within" if found[name] <= TARGET_SECONDS else "ABOVE"
        print(f"{name:42s} {1000 * found[name]:8.0f} ms, {verdict} the target of {1000 * TARGET_SECONDS:.0f} ms")
    print(f"load of the machine meanwhile              {found['load']:8.1f}")


if __name__ == "__main__":
    main()
