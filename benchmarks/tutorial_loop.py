"""The loop most people write first: one model, a DataLoader, plain modules. `speed.py` measures ours against it.

Settings of a widely read PyTorch course: 10,000 points of a mixture of eight Gaussians, three hidden layers of ReLU,
Tanh output of the generator, Adam; for WGAN-GP the critic learns on every batch and the generator on every fifth.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

CENTRES = np.array([(0, 0), (5, 5), (5, -5), (-5, 5), (-5, -5), (0, 5), (5, 0), (-5, 0)], dtype=np.float64)
SIGMA = 0.5
LATENT = 2


def points(n: int = 10_000, seed: int = 0) -> Tensor:
    """Samples of the eight Gaussians on the scale [-0.9, 0.9], float32 (n, 2)."""
    rng = np.random.default_rng(seed)
    x = CENTRES[rng.integers(len(CENTRES), size=n)] + SIGMA * rng.standard_normal((n, 2))
    return torch.tensor(x * 0.9 / (np.abs(CENTRES).max() + 3 * SIGMA), dtype=torch.float32)


def networks(width: int, depth: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The generator (latent 2 -> point 2, Tanh) and the critic (point 2 -> score 1)."""

    def stack(inputs: int, outputs: int) -> list[nn.Module]:
        sizes = [inputs, *[width] * depth]
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        return [*hidden, nn.Linear(width, outputs)]

    return nn.Sequential(*stack(LATENT, 2), nn.Tanh()), nn.Sequential(*stack(2, 1))


def slope_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """The two-sided gradient penalty of WGAN-GP, averaged over the batch."""
    mix = torch.rand(len(real), 1, device=real.device)
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((slopes.norm(2, dim=1) - 1) ** 2).mean()


class TutorialLoop:
    """Trains one model; `advance(n)` runs n batches.

    Args:
        method: "vanilla" or "wgan-gp".
        width: Units of each hidden layer.
        depth: Number of hidden layers.
        batch: Samples a batch.
        device: Where the model lives; batches are moved there one at a time.
    """

    def __init__(self, method: str, *, width: int = 128, depth: int = 3, batch: int = 128, device: str = "cpu") -> None:
        torch.manual_seed(0)
        self.device = device
        self.generator, self.critic = (network.to(device) for network in networks(width, depth))
        self.loader = DataLoader(TensorDataset(points()), batch_size=batch, shuffle=True)
        betas = (0.5, 0.999) if method == "vanilla" else (0.0, 0.9)
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=betas)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=2e-4, betas=betas)
        self.cross_entropy = nn.BCEWithLogitsLoss()
        self.step = self._vanilla if method == "vanilla" else self._wgan_gp
        self.batches = self._batches()
        self.done = 0
        self.losses: list[tuple[float, float]] = []

    def _batches(self) -> Iterator[Tensor]:
        while True:
            for (real,) in self.loader:
                yield real.to(self.device)

    def _latent(self, n: int) -> Tensor:
        return torch.randn(n, LATENT, device=self.device)

    def _vanilla(self, real: Tensor) -> tuple[Tensor, Tensor]:
        ones, zeros = torch.ones(len(real), 1, device=self.device), torch.zeros(len(real), 1, device=self.device)
        fake = self.generator(self._latent(len(real)))
        self.critic_adam.zero_grad()
        critic_loss = self.cross_entropy(self.critic(real), ones) + self.cross_entropy(
            self.critic(fake.detach()), zeros
        )
        critic_loss.backward()
        self.critic_adam.step()
        self.generator_adam.zero_grad()
        generator_loss = self.cross_entropy(self.critic(fake), ones)
        generator_loss.backward()
        self.generator_adam.step()
        return critic_loss, generator_loss

    def _wgan_gp(self, real: Tensor) -> tuple[Tensor, Tensor]:
        fake = self.generator(self._latent(len(real))).detach()
        self.critic_adam.zero_grad()
        critic_loss = self.critic(fake).mean() - self.critic(real).mean() + 10 * slope_penalty(self.critic, real, fake)
        critic_loss.backward()
        self.critic_adam.step()
        if self.done % 5:
            return critic_loss, critic_loss
        self.generator_adam.zero_grad()
        generator_loss = -self.critic(self.generator(self._latent(len(real)))).mean()
        generator_loss.backward()
        self.generator_adam.step()
        return critic_loss, generator_loss

    def advance(self, n: int) -> None:
        """Run n batches, noting both losses on every fiftieth."""
        for _ in range(n):
            critic_loss, generator_loss = self.step(next(self.batches))
            if self.done % 50 == 0:
                self.losses.append((critic_loss.item(), generator_loss.item()))
            self.done += 1
