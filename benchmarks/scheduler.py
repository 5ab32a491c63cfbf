"""The scheduler of a comparison, simulated event by event on measured costs: utilisation and makespan at scale.

A free worker takes the next run that is due, as `experiments/engines/attempts.py` has it: a worker that dies costs its
run the work since the last checkpoint and one attempt, it is tried again after 2 s, 4 s, and given up after the third
death. Times of runs are the measured costs of the methods of `cures` times ten minutes for vanilla. Seeded; writes
results/scale/scheduler.json.

    python benchmarks/scheduler.py [--out FILE]
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
from dataclasses import dataclass
from pathlib import Path

from uncollapse.experiments.plan import load_plan
from uncollapse.methods import COSTS

ROOT = Path(__file__).resolve().parents[1]
WORKERS = (2, 16, 128, 1_000)
ORDERS = ("arbitrary", "longest first")
# Law of deaths, and whether there are stragglers: each alone, then both.
TROUBLES = (("none", False), ("weibull", False), ("none", True), ("exponential", True), ("weibull", True))
VANILLA_SECONDS = 600.0
SEED = 20_260_101
CHECKPOINT_SECONDS, START_SECONDS, RETRY_SECONDS, RETRIES = 30.0, 10.0, 2.0, 2
# Seconds until a machine that died is back.
REPAIR_SECONDS = 300.0
# A worker dies on average after so many hours, by the exponential law or the Weibull law of shape 0.7.
HOURS = 24.0
SLOW_SHARE, SLOW_FACTOR = 0.02, 3.0
# Standard deviation of the logarithm of an estimated time around the true one: 30 %.
ESTIMATE_ERROR = 0.3
SEEDS = 3


@dataclass
class Run:
    """One run: seconds left on a worker of speed 1, where it stands in the order, and how often its worker died."""

    left: float
    rank: float
    deaths: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hours until all were settled, the bound that no order could beat, and what was lost on the way."""

    hours: float
    bound: float
    utilisation: float
    deaths: int
    given_up: int


def measured() -> list[float]:
    """Seconds of a run of each method of `cures`, whose updates are equally many."""
    methods = {name for group in load_plan("cures").groups for name in group.methods}
    return [VANILLA_SECONDS * cost for name, cost in COSTS.items() if name in methods]


def simulate(
    seconds: list[float], workers: int, *, order: str, law: str, slow: bool, generator: random.Random
) -> Outcome:
    """One comparison.

    Args:
        seconds: Of each run on an undisturbed worker.
        workers: How many train.
        order: One of `ORDERS`; the longest first as far as an estimate with its error knows.
        law: Of a worker's life: "none", "exponential" or "weibull".
        slow: Whether some workers are stragglers.
        generator: Of all draws.
    """
    runs = [Run(left=one, rank=_rank(one, order, generator)) for one in seconds]
    speeds = [1 / SLOW_FACTOR if slow and generator.random() < SLOW_SHARE else 1.0 for _ in range(workers)]
    ready = [(run.rank, number) for number, run in enumerate(runs)]
    heapq.heapify(ready)
    later: list[tuple[float, int]] = []
    free = [(START_SECONDS, number) for number in range(workers)]
    heapq.heapify(free)
    idle: list[int] = []
    dies = [_life(law, generator) for _ in range(workers)]
    settled, busy, deaths, given_up, end = 0, 0.0, 0, 0, 0.0
    while settled < len(runs):
        now, worker = heapq.heappop(free)
        while later and later[0][0] <= now:
            number = heapq.heappop(later)[1]
            heapq.heappush(ready, (runs[number].rank, number))
        if not ready:
            if not later:  # what is left is being trained by others, and one of them may die
                idle.append(worker)
                continue
            heapq.heappush(free, (later[0][0], worker))
            continue
        number = heapq.heappop(ready)[1]
        if dies[worker] < now:  # it died and came back while there was nothing to do
            dies[worker] = now + _life(law, generator)
        run, needed = runs[number], runs[number].left / speeds[worker]
        if now + needed <= dies[worker]:
            busy += needed
            settled += 1
            end = max(end, now + needed)
            heapq.heappush(free, (now + needed, worker))
            continue
        alive = dies[worker] - now
        deaths, run.deaths = deaths + 1, run.deaths + 1
        run.left -= speeds[worker] * (alive // CHECKPOINT_SECONDS) * CHECKPOINT_SECONDS
        busy += (alive // CHECKPOINT_SECONDS) * CHECKPOINT_SECONDS
        back = now + alive + REPAIR_SECONDS + START_SECONDS
        dies[worker] = back + _life(law, generator)
        heapq.heappush(free, (back, worker))
        if run.deaths > RETRIES:
            settled, given_up, end = settled + 1, given_up + 1, max(end, now + alive)
        else:
            due = now + alive + RETRY_SECONDS * 2 ** (run.deaths - 1)
            heapq.heappush(later, (due, number))
            if idle:
                heapq.heappush(free, (due, idle.pop()))
    bound = max(sum(seconds) / sum(speeds), max(seconds))
    hours, used = end / 3600, busy / (end * workers)
    return Outcome(hours=hours, bound=bound / 3600, utilisation=used, deaths=deaths, given_up=given_up)


def _rank(seconds: float, order: str, generator: random.Random) -> float:
    """What runs are sorted by, the least first."""
    noise = generator.random(), generator.gauss(0, ESTIMATE_ERROR)
    return -seconds * math.exp(noise[1]) if order == "longest first" else noise[0]


def _life(law: str, generator: random.Random) -> float:
    """Seconds until a worker dies."""
    mean = 3600 * HOURS
    if law == "none":
        return math.inf
    if law == "exponential":
        return generator.expovariate(1 / mean)
    return generator.weibullvariate(mean / math.gamma(1 + 1 / 0.7), 0.7)


def table(times: list[float]) -> list[dict[str, object]]:
    """A row for each number of workers, runs a worker, trouble and order: medians over a few seeds."""
    rows: list[dict[str, object]] = []
    for workers in WORKERS:
        for each in (3, 30):
            for law, slow in TROUBLES:
                for order in ORDERS:
                    found = []
                    for seed in range(SEEDS):
                        generator = random.Random(f"{SEED} {seed} {workers} {each}")
                        seconds = generator.choices(times, k=workers * each)
                        found.append(simulate(seconds, workers, order=order, law=law, slow=slow, generator=generator))
                    rows.append(
                        {"workers": workers, "runs": workers * each, "deaths_law": law, "stragglers": slow}
                        | {"order": order}
                        | {
                            name: round(statistics.median(getattr(one, name) for one in found), 3)
                            for name in ("hours", "bound", "utilisation", "deaths", "given_up")
                        }
                        | {"over_bound": round(statistics.median(one.hours / one.bound for one in found), 3)}
                    )
    return rows


def main() -> None:
    """Simulates and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "scale" / "scheduler.json")
    out = parser.parse_args().out
    times = measured()
    rows = table(times)
    facts = {"methods": len(times), "mean": round(statistics.mean(times), 1), "longest": round(max(times), 1)}
    facts |= {"shortest": round(min(times), 1)}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"seconds": facts, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(*(f"{value}" for value in row.values()), sep="\t")


if __name__ == "__main__":
    main()
