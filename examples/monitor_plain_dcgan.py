"""A collapse seen while it happens, in a plain PyTorch loop: ``python examples/monitor_plain_dcgan.py``.

A small DCGAN learns digits twice: as it should, and with a generator whose learning rate becomes far too high.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import softplus

import uncollapse as uc

BATCH, LATENT, MISTAKE, STEPS = 32, 16, 450, 620


def digits() -> Tensor:
    """Real digits (1797, 1, 8, 8) in [-1, 1]."""
    return torch.tensor(load_digits().images).float()[:, None] / 8 - 1


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


def train(name: str, rate_after_mistake: float) -> None:
    """The loop; the monitor is two lines of it."""
    torch.manual_seed(0)
    real, (generator, critic) = digits(), networks()
    steps = [torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.999)) for net in (generator, critic)]
    monitor = uc.CollapseMonitor(reference=real, sampler=lambda n: generator(torch.randn(n, LATENT)), every=100)
    for step in range(STEPS):
        if step == MISTAKE:
            steps[0].param_groups[0]["lr"] = rate_after_mistake
        x = real[torch.randint(len(real), (BATCH,))]
        for which in (1, 0):  # the critic, then the generator
            score = critic(generator(torch.randn(BATCH, LATENT)))
            steps[which].zero_grad()
            (softplus(-critic(x)) + softplus(score) if which else softplus(-score)).mean().backward()
            steps[which].step()
        monitor.update(step=step)
    print(f"{name}: {monitor.verdict}", *monitor.verdict.suggest, monitor.cost, sep="\n  ")


if __name__ == "__main__":
    train("as it should", 1e-3)
    train("a learning rate of 0.1 after step 450", 0.1)
