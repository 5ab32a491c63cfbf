"""What a GPU does in one critic update of WGAN-GP on 28x28 images: launches, waits, and how much of the time it works.

Every case is trained launch by launch and as one CUDA graph a round, and watched by torch's profiler for some rounds;
the wall clock is read without the profiler. A host that waits for the device within a round would show as a wait.
`benchmarks/results/profile_updates.json` keeps the numbers.

    .venv/bin/python benchmarks/profile_updates.py        # needs a CUDA device
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from image_updates import specification
from speed import record, seconds
from torch.autograd.profiler_util import DeviceType
from torch.profiler import ProfilerActivity, profile

from uncollapse.loop import Trainer

# What the host calls when it waits for the device.
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")


class Watched:
    """A trainer of one family behind `advance(n)`, with or without its CUDA graph."""

    def __init__(self, family: str, *, graph: bool) -> None:
        self.trainer = Trainer(specification(family, 1, 1), device="cuda")
        if not graph:
            self.trainer._round = self.trainer._play_round
        self.done = 0

    def advance(self, n: int) -> None:
        """Run n more critic updates."""
        self.done += n
        self.trainer.advance(until=self.done)


def measure(family: str, *, graph: bool, updates: int) -> dict[str, object]:
    """Milliseconds, launches and waits of one critic update."""
    loop = Watched(family, graph=graph)
    loop.advance(100)
    wall = 1_000 * seconds(loop, 500, "cuda") / 500
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        loop.advance(updates)
    busy = kernels = launches = waits = 0.0
    for event in seen.key_averages():
        if event.device_type == DeviceType.CUDA:
            busy, kernels = busy + event.self_device_time_total, kernels + event.count
        elif event.key in LAUNCHES:
            launches += event.count
        elif event.key in WAITS:
            waits += event.count
    busy /= 1_000 * updates
    return {
        "case": f"{family}, {'one graph a round' if graph else 'launch by launch'}",
        "wall_ms": wall,
        "busy_ms": busy,
        "busy_share": busy / wall,
        "kernels": kernels / updates,
        "launches": launches / updates,
        "waits": waits / updates,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=10, help="critic updates under the profiler")
    parser.add_argument("--family", action="append", help="networks: dcgan or residual; default: both")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "profile_updates.json")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device here, and this measures one.")
    rows = [
        measure(family, graph=graph, updates=options.updates)
        for family in options.family or ("dcgan", "residual")
        for graph in (False, True)
    ]
    print("| case | ms an update | GPU works, ms | share | kernels | launches | waits |\n|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['case']} | {row['wall_ms']:.2f} | {row['busy_ms']:.2f} | {row['busy_share']:.0%} "
            f"| {row['kernels']:.0f} | {row['launches']:.1f} | {row['waits']:.2f} |"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record(rows, 1), indent=1) + "\n")


if __name__ == "__main__":
    main()
