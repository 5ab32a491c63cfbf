"""What a monitor costs a host that trains on digits: processor time with and without it, block after block."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from speed import record
from torch import Tensor, nn
from torch.nn.functional import softplus

from uncollapse.monitor import CollapseMonitor
from uncollapse.tasks.digits import split

EVERY, BLOCKS = 500, 4
Step = Callable[[], None]


def convolutional() -> tuple[nn.Module, nn.Module]:
    """A small DCGAN with batch norm and dropout."""
    generator = nn.Sequential(
        nn.Linear(16, 64 * 4), nn.Unflatten(1, (64, 2, 2)), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32),
        nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(), nn.Flatten(1, 2),
    )  # fmt: skip
    critic = nn.Sequential(
        nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 32, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 3, 2, 1),
        nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Flatten(), nn.Linear(64 * 4, 1),
    )  # fmt: skip
    return generator, critic


def dense() -> tuple[nn.Module, nn.Module]:
    """Three hidden layers of 128."""

    def stack(inputs: int, outputs: int) -> list[nn.Module]:
        sizes = [inputs, 128, 128, 128]
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        return [*hidden, nn.Linear(128, outputs)]

    return nn.Sequential(*stack(16, 64), nn.Tanh(), nn.Unflatten(1, (8, 8))), nn.Sequential(nn.Flatten(), *stack(64, 1))


class Host:
    """A plain training loop, batches of 64."""

    def __init__(self, networks: tuple[nn.Module, nn.Module]) -> None:
        self.generator, self.critic = networks
        self.optimisers = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in networks]
        self.real = split().train

    def sample(self, n: int) -> Tensor:
        """n fakes, in the mode the networks are in."""
        fakes: Tensor = self.generator(torch.randn(n, 16))
        return fakes

    def step(self) -> None:
        """One critic step and one generator step."""
        real, fake = self.real[torch.randint(len(self.real), (64,))], self.sample(64)
        self._move(1, softplus(-self.critic(real)).mean() + softplus(self.critic(fake.detach())).mean())
        self._move(0, softplus(-self.critic(self.sample(64))).mean())

    def _move(self, which: int, loss: Tensor) -> None:
        self.optimisers[which].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[which].step()


def seconds(act: Step, times: int) -> float:
    """Processor seconds of one call, on average."""
    begin = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - begin) / times


def timed(name: str, networks: tuple[nn.Module, nn.Module]) -> dict[str, object]:
    """One host: blocks without a monitor, blocks of looks and calls between them, in turn."""
    host = Host(networks)
    monitor = CollapseMonitor(host.real, sampler=host.sample, every=EVERY, critic=host.critic, on_alarm=lambda v: None)
    now = 0

    def look() -> None:
        nonlocal now
        now += EVERY
        monitor.update(step=now)

    def between() -> None:
        monitor.update(step=now)

    seconds(host.step, 100)
    look()
    steps, looks, idle = [], [], []
    for _ in range(BLOCKS):
        steps.append(seconds(host.step, EVERY))
        looks.append(seconds(look, 10))
        idle.append(seconds(between, 2_000))
    step, spent = statistics.median(steps), statistics.median(looks) + (EVERY - 1) * statistics.median(idle)
    return {
        "host": name, "step_ms": 1e3 * step, "look_ms": 1e3 * statistics.median(looks),
        "between_us": 1e6 * statistics.median(idle), "share": spent / (EVERY * step + spent),
        "share_at_5_ms": spent / (EVERY * 0.005 + spent), "preparing_s": monitor.cost.preparing,
        "steps_ms": [1e3 * value for value in steps], "looks_ms": [1e3 * value for value in looks],
    }  # fmt: skip


def measure(path: Path) -> None:
    """Times both hosts and keeps the numbers."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = [timed("three dense layers of 128", dense()), timed("small DCGAN", convolutional())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record(rows, threads=1), indent=1) + "\n")
    for row in rows:
        print({key: value for key, value in row.items() if not isinstance(value, list)})
