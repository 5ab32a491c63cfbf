"""A collapse seen while it happens, in a plain PyTorch loop: ``python examples/monitor_plain_pytorch.py``.

A small DCGAN learns digits, until its generator gets a learning rate that is far too high; the monitor ends the loop.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import softplus

import uncollapse as uc

BATCH, LATENT, MISTAKE = 32, 16, 330


def networks() -> tuple[nn.Module, nn.Module]:
    """Generator (16 numbers -> image in [-1, 1]) and critic (image -> score)."""
    generator = nn.Sequential(
        nn.Linear(LATENT, 128), nn.Unflatten(1, (32, 2, 2)), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    critic = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(256, 1),
    )  # fmt: skip
    return generator, critic


def main() -> None:
    """Train until the monitor says stop."""
    torch.manual_seed(0)
    real = torch.tensor(load_digits().images).float()[:, None] / 8 - 1
    generator, critic = networks()
    steps = [torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.999)) for net in (generator, critic)]

    def sample(n: int) -> Tensor:
        return generator(torch.randn(n, LATENT))

    monitor = uc.CollapseMonitor(reference=real, sampler=sample, every=100, on_alarm="stop")
    try:
        for step in range(MISTAKE + 100):
            if step == MISTAKE:
                steps[0].param_groups[0]["lr"] = 0.1
            x = real[torch.randint(len(real), (BATCH,))]
            for which in (1, 0):  # the critic, then the generator
                score = critic(sample(BATCH))
                steps[which].zero_grad()
                (softplus(-critic(x)) + softplus(score) if which else softplus(-score)).mean().backward()
                steps[which].step()
            if monitor.update(step=step).step == step:
                print(f"step {step}: {monitor.verdict}")
    except uc.monitor.CollapseStop as stop:
        print(f"step {stop.verdict.step}: {stop.verdict}", *stop.verdict.suggest, monitor.cost, sep="\n")


if __name__ == "__main__":
    main()
