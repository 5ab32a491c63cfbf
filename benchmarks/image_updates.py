"""Critic updates per second of WGAN-GP on 28x28 images: ours against the loop most people write, on the same networks.

The other loop has a DataLoader over float images, one pass each for real, fake and the points between, Adam, and a
generator step after every fifth batch. Both sides run in this one process, interleaved, with the same threads; the
table gives medians over the rounds, and the ratio is the median of the ratios within a round. With `--lanes`, several
seeds of one run in turn against the same seeds as one stack under vmap, which is a grouped convolution.
`benchmarks/results/image_updates.json` keeps every number. Images are random where MNIST is not at hand: an update does
the same work on them. On a GPU (`--device cuda`) the other loop is the same, launched operation by operation, and the
target is three times as fast.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from speed import FOREVER, Loop, record, seconds, span, updates_for
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from uncollapse.errors import UserError
from uncollapse.lanes import drawn_networks, sizes_of
from uncollapse.loop import Trainer
from uncollapse.networks import in_family
from uncollapse.run import make_spec
from uncollapse.spec import RunSpec
from uncollapse.tasks import Arrays
from uncollapse.tasks.task import Task

BATCH, CRITIC_STEPS, WEIGHT = 64, 5, 10.0
TARGET, AIM = {"cpu": 1.0, "cuda": 3.0}, 1.3
SEEDS = 4


def task() -> Task:
    """MNIST, or as many random images where it is not at hand."""
    from uncollapse.data.fetch import dataset
    from uncollapse.tasks import find

    try:
        dataset("mnist")
    except UserError:
        return Arrays(torch.rand(10_000, 28, 28).mul(2).sub(1).numpy(), clusters=2)
    return find("mnist")


def specification(family: str, seeds: int, threads: int) -> RunSpec:
    """WGAN-GP with five critic steps on a task's networks of one family."""
    chosen = task()
    return make_spec(
        "wgan-gp",
        chosen,
        seeds=tuple(range(seeds)),
        updates=FOREVER,
        batch=BATCH,
        networks=in_family(family, chosen.networks),
        threads=threads,
        settings={"dynamics.critic_steps": CRITIC_STEPS, "penalties.0.weight": WEIGHT},
    )


class Ours:
    """The package's own loop behind `advance(n)`.

    Args:
        spec: What is trained.
        device: "cpu" or "cuda".
        together: Whether all seeds move as one stack.
    """

    def __init__(self, spec: RunSpec, device: str, *, together: bool = False) -> None:
        if together:
            # The choice is a fact of the family; for this measurement alone it is turned round.
            family = type(spec.networks)
            family.lifts = True
            try:
                self.trainer = Trainer(spec, device=device)
            finally:
                family.lifts = False
        else:
            self.trainer = Trainer(spec, device=device)
        self.done = 0

    def advance(self, n: int) -> None:
        """Run n more critic updates of every seed."""
        self.done += n
        self.trainer.advance(until=self.done)


class TutorialImageLoop:
    """One model, a DataLoader, plain modules: the networks are ours, the loop is the tutorial's."""

    def __init__(self, spec: RunSpec, device: str) -> None:
        sizes = sizes_of(spec)
        self.device = device
        players = drawn_networks(spec.method, spec.networks, sizes, 0, torch.float32)
        self.generator, self.critic = (player.to(device) for player in players)
        self.latent = sizes.latent
        images, _ = spec.task.source(0)(10_000, _stream())
        self.loader = DataLoader(TensorDataset(images), batch_size=BATCH, shuffle=True, drop_last=True)
        self.batches = self._batches()
        adam: dict[str, Any] = {"lr": 1e-4, "betas": (0.0, 0.9)}
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), **adam)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), **adam)
        self.losses: list[float] = []
        self.done = 0

    def _batches(self) -> Iterator[Tensor]:
        while True:
            for (real,) in self.loader:
                yield real.to(self.device)

    def advance(self, n: int) -> None:
        """Run n more batches."""
        for _ in range(n):
            real = next(self.batches)
            self.critic_adam.zero_grad()
            fake = self.generator(self._latent(len(real))).detach()
            loss = self._score(fake).mean() - self._score(real).mean() + WEIGHT * self._penalty(real, fake)
            loss.backward()
            self.critic_adam.step()
            self.done += 1
            if self.done % CRITIC_STEPS == 0:
                self.generator_adam.zero_grad()
                generator_loss = -self._score(self.generator(self._latent(len(real)))).mean()
                generator_loss.backward()
                self.generator_adam.step()
            if self.done % 50 == 0:
                self.losses.append(loss.item())

    def _latent(self, n: int) -> Tensor:
        return torch.randn(n, self.latent, device=self.device)

    def _score(self, images: Tensor) -> Tensor:
        score: Tensor = self.critic(images).score
        return score

    def _penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        mix = torch.rand(len(real), *[1] * (real.ndim - 1), device=self.device)
        between = (mix * real + (1 - mix) * fake).requires_grad_(True)
        (slopes,) = torch.autograd.grad(self._score(between).sum(), between, create_graph=True)
        return ((slopes.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


def _stream() -> Any:
    from uncollapse.draws import stream

    return stream(0, "benchmark")


def measure(
    name: str, ours: Loop, other: Loop, *, device: str, rounds: int, target: float, long: float
) -> dict[str, object]:
    """Both sides interleaved; updates per second of each round."""
    counts = [updates_for(loop, long, device) for loop in (ours, other)]
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, loop in enumerate((ours, other)):
            rates[side].append(counts[side] / seconds(loop, counts[side], device))
    ratios = [a / b for a, b in zip(*rates, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "case": name, "updates_a_round": counts, "ours": rates[0], "theirs": rates[1], "ratios": ratios,
        "ratio": ratio, "target": target, "reached": ratio >= target,
    }  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each case (at least 5 for a result)")
    parser.add_argument("--seconds", type=float, default=6.0, help="about how long each side of a round takes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--family", action="append", help="networks: dcgan or residual; default: both")
    parser.add_argument("--lanes", action="store_true", help="measure seeds in turn against seeds as one stack, too")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "image_updates.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = options.device
    often: dict[str, Any] = {
        "device": device, "rounds": options.rounds, "long": options.seconds, "target": TARGET[device],
    }  # fmt: skip
    rows = []
    for family in options.family or ("dcgan", "residual"):
        print(f"measuring {family} ...", file=sys.stderr)
        spec = specification(family, 1, options.threads)
        rows.append(measure(f"{family}, one seed", Ours(spec, device), TutorialImageLoop(spec, device), **often))
        if options.lanes:
            several = specification(family, SEEDS, options.threads)
            turns, stack = Ours(several, device), Ours(several, device, together=True)
            rows.append(measure(f"{family}, {SEEDS} seeds in turn or as a stack", turns, stack, **often))
    print("| case | ours, updates/s | the other loop | ratio | target | reached |\n|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['case']} | {span(row['ours'])} | {span(row['theirs'])} | {row['ratio']:.2f} | {row['target']:.2f} "
            f"| {'yes' if row['reached'] else 'NO'} |"
        )
    aim = f"The target is no slower; the aim is {AIM} times as fast." if device == "cpu" else ""
    print(f"\nMedian [smallest, largest]. {aim}".rstrip())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record(rows, options.threads), indent=1) + "\n")


if __name__ == "__main__":
    main()
