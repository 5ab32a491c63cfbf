"""Replica-updates per second of `uncollapse` against a tutorial-style loop and a tight textbook loop.

One replica-update is one critic update of one seed, with the generator updates that belong to it. Both sides run in
this one process, interleaved (A B A B ...), with the same threads; the table gives medians over the rounds and their
range, and the ratio is the median of the ratios within a round. `benchmarks/results/speed.json` keeps every number.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from textbook_cures import MinibatchLoop, PackedLoop, UnrolledLoop

import uncollapse
from uncollapse.loop import Trainer
from uncollapse.networks.mlp import MLP
from uncollapse.run import make_spec

from textbook_loop import TextbookLoop
from tutorial_loop import LATENT, TutorialLoop

FOREVER = 100_000_000


class Loop(Protocol):
    """Something that can run n more critic updates."""

    def advance(self, n: int) -> None:
        """Run n more critic updates."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table.

    Attributes:
        name: What is compared.
        method: A row of the list.
        other: The loop on the other side.
        seeds: Seeds that ours trains together.
        width: Units of each hidden layer, of both networks of both sides.
        depth: Hidden layers.
        batch: Samples a batch.
        target: What the ratio ours / other must reach.
        device: "cpu" or "cuda".
    """

    name: str
    method: str
    other: Callable[..., Loop]
    seeds: int = 16
    width: int = 128
    depth: int = 3
    batch: int = 128
    target: float
    device: str = "cpu"

    def sizes(self) -> dict[str, int]:
        """The sizes that both sides share."""
        return {"width": self.width, "depth": self.depth, "batch": self.batch}


CASES = (
    Case(name="vanilla 3x128, batch 128", method="vanilla", other=TutorialLoop, target=2.5),
    Case(name="wgan-gp 3x128, batch 128", method="wgan-gp", other=TutorialLoop, target=1.8),
    Case(name="vanilla 2x32, batch 64", method="vanilla", other=TutorialLoop, width=32, depth=2, batch=64, target=3.5),
    Case(name="wgan-gp 2x32, batch 64", method="wgan-gp", other=TutorialLoop, width=32, depth=2, batch=64, target=3.5),
    Case(name="vanilla 3x128, one seed", method="vanilla", other=TextbookLoop, seeds=1, target=1 / 1.3),
    Case(name="wgan-gp 3x128, one seed", method="wgan-gp", other=TextbookLoop, seeds=1, target=1 / 1.3),
    Case(name="pacgan-2 3x128, one seed", method="pacgan-2", other=PackedLoop, seeds=1, target=1 / 1.3),
    Case(
        name="minibatch-discrimination 3x128, one seed",
        method="minibatch-discrimination",
        other=MinibatchLoop,
        seeds=1,
        target=1 / 1.3,
    ),
    Case(name="unrolled-5 3x128, one seed", method="unrolled-5", other=UnrolledLoop, seeds=1, target=1 / 1.3),
)
# The methods whose arithmetic `flop` counts.
COUNTED = ("vanilla", "wgan-gp")
CUDA_CASES = (
    Case(name="vanilla 3x128, GPU", method="vanilla", other=TutorialLoop, seeds=64, target=50, device="cuda"),
    Case(name="wgan-gp 3x128, GPU", method="wgan-gp", other=TutorialLoop, seeds=64, target=50, device="cuda"),
)


class Ours:
    """The package's own loop behind the same `advance(n)`."""

    def __init__(self, case: Case, threads: int) -> None:
        spec = make_spec(
            case.method,
            "blobs-8",
            seeds=tuple(range(case.seeds)),
            updates=FOREVER,
            batch=case.batch,
            networks=MLP(width=case.width, depth=case.depth, latent=LATENT, bounded=True),
            threads=threads,
            settings={"task.train_size": 10_000, "dynamics.critic_steps": 5 if case.method == "wgan-gp" else 1},
        )
        self.trainer = Trainer(spec, device=case.device)
        self.done = 0

    def advance(self, n: int) -> None:
        """Run n more critic updates of every seed."""
        self.done += n
        self.trainer.advance(until=self.done)


def seconds(loop: Loop, n: int, device: str) -> float:
    """Wall-clock seconds of n updates, the device's queue emptied before and after."""
    wait: Callable[[], object] = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    loop.advance(n)
    wait()
    return time.perf_counter() - start


def updates_for(loop: Loop, target: float, device: str) -> int:
    """How many updates take about `target` seconds, a multiple of 100; also warms the loop up."""
    seconds(loop, 100, device)
    return max(100, round(target / seconds(loop, 100, device)) * 100)


def measure(case: Case, *, rounds: int, target_seconds: float, threads: int) -> dict[str, object]:
    """Both sides of one case, interleaved; replica-updates per second of each round."""
    ours: Loop = Ours(case, threads)
    other: Loop = case.other(case.method, device=case.device, **case.sizes())
    counts = [updates_for(loop, target_seconds, case.device) for loop in (ours, other)]
    rates: tuple[list[float], list[float]] = ([], [])
    machine: list[float] = []
    for _ in range(rounds):
        rates[0].append(counts[0] * case.seeds / seconds(ours, counts[0], case.device))
        rates[1].append(counts[1] / seconds(other, counts[1], case.device))
        machine.append(machine_rate())
    ratios = [a / b for a, b in zip(*rates, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "case": case.name,
        "device": case.device,
        "seeds": case.seeds,
        "other": case.other.__name__,
        "updates_a_round": counts,
        "ours": rates[0],
        "theirs": rates[1],
        "ratios": ratios,
        "ratio": ratio,
        "target": case.target,
        "reached": ratio >= case.target,
        "bmm_gigaflop_a_second": machine,
        "share_of_machine": statistics.median(
            rate * flop(case) / 1e9 / limit for rate, limit in zip(rates[0], machine, strict=True)
        )
        if case.method in COUNTED
        else None,
    }


def flop(case: Case) -> float:
    """Multiplications and additions of the matrix products that one replica-update needs, element-wise work left out.

    Of a network with f FLOP a sample forward, gradients cost f for the weights and f for the inputs of each layer
    (the first layer's input only where it is asked for). A gradient penalty costs f forward, f for the slope, and 2 f
    for the slope's own gradient, because ReLU has no curvature. The batch runs through the critic as real and fake.
    """
    hidden = 2 * (case.depth - 1) * case.width**2
    first, last = 2 * 2 * case.width, 2 * case.width
    critic, generator = first + hidden + last, 2 * LATENT * case.width + hidden + 2 * last
    critic_step = generator + 2 * (3 * critic - first)
    generator_step = 3 * generator - 2 * LATENT * case.width + 2 * critic
    if case.method == "wgan-gp":
        critic_step += 4 * critic
        generator_step /= 5
    return case.batch * (critic_step + generator_step)


def machine_rate() -> float:
    """The rate of (16, 128, 128) x (16, 128, 128) float32 products on the CPU just now, in GFLOP/s."""
    a, b = torch.randn(16, 128, 128), torch.randn(16, 128, 128)
    out, repeats = torch.empty_like(a), 200
    torch.bmm(a, b, out=out)
    start = time.perf_counter()
    for _ in range(repeats):
        torch.bmm(a, b, out=out)
    return repeats * 2 * 16 * 128**3 / (time.perf_counter() - start) / 1e9


def span(values: list[float]) -> str:
    """Median with the smallest and largest value."""
    return f"{statistics.median(values):,.0f} [{min(values):,.0f}, {max(values):,.0f}]"


def print_table(rows: list[dict[str, object]]) -> None:
    """The rows as a Markdown table, then what they mean."""
    print(
        "| case | seeds | ours, replica-updates/s | the other loop | ratio | target | reached | of the machine's rate |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        share = f"{row['share_of_machine']:.0%}" if row["device"] == "cpu" and row["share_of_machine"] else "-"
        print(
            f"| {row['case']} | {row['seeds']} | {span(row['ours'])} | {row['other']} {span(row['theirs'])} "
            f"| {row['ratio']:.2f} | {row['target']:.2f} | {'yes' if row['reached'] else 'NO'} | {share} |"
        )
    limits = [rate for row in rows for rate in row["bmm_gigaflop_a_second"]]
    print(
        "\nMedian [smallest, largest]. The last column counts only the FLOP that the matrix products of the algorithm"
    )
    print(f"need (see `flop`), over the rate of (16,128,128) x (16,128,128) products, {span(limits)} GFLOP/s here.")
    print("One seed: the target <= 1.3 times the textbook loop's time is a ratio >= 0.77.")


def processor() -> str:
    """The processor's own name where Linux tells it."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor()


def record(rows: list[dict[str, object]], threads: int) -> dict[str, object]:
    """Everything that a reader needs to judge or repeat the numbers."""
    return {
        "schema": 1,
        "command": " ".join(["python", *sys.argv]),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "uncollapse": uncollapse.__version__,
        },
        "machine": {"processor": processor(), "cores": os.cpu_count(), "platform": platform.platform()},
        "threads": threads,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "rows": rows,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each case (at least 5 for a result)")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long each side of a round takes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for case in (*CASES, *(CUDA_CASES if torch.cuda.is_available() else ())):
        if options.only in case.name:
            print(f"measuring {case.name} ...", file=sys.stderr)
            rows.append(measure(case, rounds=options.rounds, target_seconds=options.seconds, threads=options.threads))
    print_table(rows)
    if not torch.cuda.is_available():
        print("The GPU cases (64 seeds in one CUDA graph) were not run: torch sees no CUDA device here.")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record(rows, options.threads), indent=1) + "\n")


if __name__ == "__main__":
    main()
