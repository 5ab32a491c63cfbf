"""What an update of each method costs, as a multiple of vanilla's, and what training seeds together saves.

An update is one critic update of one seed with its share of generator updates. A method and vanilla run in this one
process, interleaved, at the same sizes; the cost is the median of the ratios within a round. The result is packaged
(`src/uncollapse/costs.json`), because the list of methods shows it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import torch
from speed import FOREVER, record, seconds

from uncollapse.loop import Trainer
from uncollapse.method import Method
from uncollapse.methods import METHODS, VANILLA
from uncollapse.run import make_spec

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "src" / "uncollapse" / "costs.json"
BATCH, TOGETHER = 128, 16


class Seeds:
    """A method's seeds trained together, behind `advance(n)`.

    Args:
        method: Any row of the list.
        task: What it learns; its networks are the task's own (3 x 128 in the plane).
        seeds: How many.
        threads: CPU threads.
    """

    def __init__(self, method: Method, task: str, seeds: int, threads: int) -> None:
        """Nothing is trained yet."""
        spec = make_spec(method, task, seeds=range(seeds), updates=FOREVER, batch=BATCH, threads=threads)
        self.trainer, self.done = Trainer(spec), 0

    def advance(self, n: int) -> None:
        """Run n more critic updates of every seed."""
        self.done += n
        self.trainer.advance(until=self.done)


def updates_for(loop: Seeds, target: float) -> int:
    """How many updates take about `target` seconds, a multiple of 10; also warms the loop up."""
    seconds(loop, 10, "cpu")
    return max(10, round(target / seconds(loop, 10, "cpu")) * 10)


def ratio(one: Seeds, other: Seeds, *, rounds: int, target: float) -> tuple[float, list[float]]:
    """Median and values of (time of an update of one) / (time of an update of the other)."""
    counts = [updates_for(loop, target) for loop in (one, other)]
    values = []
    for _ in range(rounds):
        times = [seconds(loop, count, "cpu") / count for loop, count in zip((one, other), counts, strict=True)]
        values.append(times[0] / times[1])
    return statistics.median(values), values


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each method (at least 5 for a result)")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long each side of a round takes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], help="these methods; the others keep what was measured before")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = json.loads(options.out.read_text()) if options.only else {"relative": {}, "together": {}, "rows": []}
    relative, together = dict(before["relative"]), dict(before["together"])
    rows = [row for row in before["rows"] if row["method"] not in options.only]
    print("| method | cost of an update | 16 seeds together, times faster than one by one |\n|---|---|---|")
    for name, method in METHODS.items():
        if options.only and name not in options.only:
            continue
        task = "digits" if method.view.images_only else "blobs-8"
        few = [Seeds(chosen, task, 4, options.threads) for chosen in (method, VANILLA)]
        cost, costs = ratio(*few, rounds=options.rounds, target=options.seconds)
        many = [Seeds(method, task, seeds, options.threads) for seeds in (1, TOGETHER)]
        gain, gains = ratio(*many, rounds=options.rounds, target=options.seconds)
        relative[name], together[name] = round(cost, 2), round(gain * TOGETHER, 2)
        rows.append(
            {
                "method": name,
                "task": task,
                "costs": [round(value, 3) for value in costs],
                "gains": [round(value * TOGETHER, 3) for value in gains],
            }
        )
        print(f"| {name} | {relative[name]:.2f} | {together[name]:.2f} |", flush=True)
    document = {"relative": relative, "together": together, **record(rows, options.threads)}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written to {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
