"""A tight loop for one model: no DataLoader, every batch and latent made beforehand, nothing recorded.

The bar for a single seed of ours: what the bare algorithm costs in plain PyTorch, with the drawing left out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tutorial_loop import LATENT, networks, points, slope_penalty

POOL = 64


class TextbookLoop:
    """Trains one model on a pool of ready-made batches; `advance(n)` runs n critic updates.

    Args:
        method: "vanilla" or "wgan-gp".
        width: Units of each hidden layer.
        depth: Number of hidden layers.
        batch: Samples a batch.
        device: Where everything lives.
    """

    def __init__(self, method: str, *, width: int = 128, depth: int = 3, batch: int = 128, device: str = "cpu") -> None:
        torch.manual_seed(0)
        self.generator, self.critic = (network.to(device) for network in networks(width, depth))
        self.real = points(POOL * batch).to(device).split(batch)
        self.latent = torch.randn(2 * POOL, batch, LATENT, device=device).unbind()
        betas = (0.5, 0.999) if method == "vanilla" else (0.0, 0.9)
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=betas)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=2e-4, betas=betas)
        self.wasserstein = method == "wgan-gp"
        self.done = 0

    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        scores = self.critic(torch.cat([real, fake]))
        on_real, on_fake = scores[: len(real)], scores[len(real) :]
        if self.wasserstein:
            return on_fake.mean() - on_real.mean() + 10 * slope_penalty(self.critic, real, fake)
        return softplus(-on_real).mean() + softplus(on_fake).mean()

    def _generator_loss(self, fake: Tensor) -> Tensor:
        score = self.critic(fake)
        return -score.mean() if self.wasserstein else softplus(-score).mean()

    def advance(self, n: int) -> None:
        """Run n critic updates and the generator updates that belong to them."""
        for _ in range(n):
            at = self.done % POOL
            with torch.no_grad():
                fake = self.generator(self.latent[2 * at])
            self.critic_adam.zero_grad()
            self._critic_loss(self.real[at], fake).backward()
            self.critic_adam.step()
            if not self.wasserstein or self.done % 5 == 4:
                self.generator_adam.zero_grad()
                self._generator_loss(self.generator(self.latent[2 * at + 1])).backward()
                self.generator_adam.step()
            self.done += 1
