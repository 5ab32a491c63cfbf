"""Hand-written loops of three cures for one model, as tight as `textbook_loop.py`: the bar for one seed of ours."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import softplus

from textbook_loop import POOL, TextbookLoop
from tutorial_loop import LATENT, networks, points


class PackedLoop(TextbookLoop):
    """PacGAN: the critic judges `batch` packs of two samples each."""

    def __init__(self, method: str, *, width: int = 128, depth: int = 3, batch: int = 128, device: str = "cpu") -> None:
        super().__init__("vanilla", width=width, depth=depth, batch=batch, device=device)
        self.critic[0] = nn.Linear(4, width, device=device)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.real = points(2 * POOL * batch).to(device).split(2 * batch)
        self.latent = torch.randn(2 * POOL, 2 * batch, LATENT, device=device).unbind()

    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return super()._critic_loss(real.reshape(-1, 4), fake.reshape(-1, 4))

    def _generator_loss(self, fake: Tensor) -> Tensor:
        return super()._generator_loss(fake.reshape(-1, 4))


class Closeness(nn.Module):
    """Minibatch discrimination in its plainest form: every pair, every kernel, at once."""

    def __init__(self, width: int, kernels: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, kernels, size) * 0.05)
        self.log_scale = nn.Parameter(torch.zeros(kernels, size))
        self.bias = nn.Parameter(torch.full((kernels,), -1.0))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width) -> (batch, width + kernels)."""
        columns = self.weight * (self.log_scale.exp() / self.weight.square().sum(0).sqrt())
        projected = torch.einsum("nw,wbc->nbc", features, columns)
        apart = (projected.unsqueeze(0) - projected.unsqueeze(1)).abs().sum(-1)
        apart = apart + 1e6 * torch.eye(len(features)).unsqueeze(-1)
        return torch.cat([features, torch.exp(-apart).sum(1) + self.bias], 1)


class MinibatchLoop(TextbookLoop):
    """Minibatch discrimination with 16 kernels of 5 numbers; real and fake batches judged one after the other."""

    def __init__(self, method: str, *, width: int = 128, depth: int = 3, batch: int = 128, device: str = "cpu") -> None:
        super().__init__("vanilla", width=width, depth=depth, batch=batch, device=device)
        *body, last = self.critic
        self.critic = nn.Sequential(*body[:], Closeness(width, 16, 5), nn.Linear(width + 16, 1)).to(device)
        assert isinstance(last, nn.Linear)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-self.critic(real)).mean() + softplus(self.critic(fake)).mean()


class UnrolledLoop:
    """Unrolled GAN: the generator differentiates through five steps of the critic's Adam, written out."""

    def __init__(self, method: str, *, width: int = 128, depth: int = 3, batch: int = 128, device: str = "cpu") -> None:
        torch.manual_seed(0)
        self.generator, self.critic = (network.to(device) for network in networks(width, depth))
        self.real = points(2 * POOL * batch).to(device).split(batch)
        self.latent = torch.randn(2 * POOL, batch, LATENT, device=device).unbind()
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=1e-4, betas=(0.5, 0.999))
        self.done = 0

    def _loss(self, critic: dict[str, Tensor], real: Tensor, fake: Tensor) -> Tensor:
        scores = functional_call(self.critic, critic, (torch.cat([real, fake]),))
        return softplus(-scores[: len(real)]).mean() + softplus(scores[len(real) :]).mean()

    def _foreseen(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        critic: dict[str, Tensor] = dict(self.critic.named_parameters())
        state = [self.critic_adam.state[value] for value in self.critic.parameters()]
        first, second = [one["exp_avg"] for one in state], [one["exp_avg_sq"] for one in state]
        for step in range(self.done + 2, self.done + 7):
            gradient = torch.autograd.grad(self._loss(critic, real, fake), list(critic.values()), create_graph=True)
            first = [0.5 * m + 0.5 * g for m, g in zip(first, gradient, strict=True)]
            second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradient, strict=True)]
            moved = [
                value - 1e-4 * (m / (1 - 0.5**step)) / ((v / (1 - 0.999**step) + 1e-30).sqrt() + 1e-8)
                for value, m, v in zip(critic.values(), first, second, strict=True)
            ]
            critic = dict(zip(critic, moved, strict=True))
        return critic

    def advance(self, n: int) -> None:
        """Run n critic updates, each with its generator update."""
        for _ in range(n):
            at = self.done % POOL
            with torch.no_grad():
                fake = self.generator(self.latent[2 * at])
            self.critic_adam.zero_grad()
            self._loss(dict(self.critic.named_parameters()), self.real[2 * at], fake).backward()
            self.critic_adam.step()
            real, fake = self.real[2 * at + 1], self.generator(self.latent[2 * at + 1])
            self.generator_adam.zero_grad()
            (-self._loss(self._foreseen(real, fake), real, fake)).backward()
            self.generator_adam.step()
            self.done += 1
