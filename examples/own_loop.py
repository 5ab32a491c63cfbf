"""The parts in a plain PyTorch loop of one's own: ``python examples/own_loop.py``.

A critic layer that compares the samples of a batch, and a loss; the rest is plain PyTorch. Penalties and generator
terms are functions of `uncollapse.functional` in the same way.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import uncollapse as uc
from uncollapse.parts.losses import NonSaturating

LOSS, BATCH = NonSaturating(), 64


def real_samples(n: int) -> Tensor:
    """n points of eight Gaussians on a circle."""
    angle = torch.randint(8, (n,)) * (torch.pi / 4)
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.02 * torch.randn(n, 2)


def main() -> None:
    """Train one generator for a moment and say how many of the eight it reaches."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    body = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    closeness = uc.nn.MinibatchDiscrimination(64, kernels=16)
    closeness.initialise(body(real_samples(BATCH)))  # without this the layer says nothing
    critic = nn.Sequential(body, closeness, nn.Linear(64 + 16, 1))
    critic_step, generator_step = (
        torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999)) for net in (critic, generator)
    )
    for _ in range(300):
        real, fake = real_samples(BATCH), generator(torch.randn(BATCH, 2))
        loss = uc.functional.critic_loss(LOSS, real=critic(real), fake=critic(fake.detach()))
        critic_step.zero_grad()
        loss.backward()
        critic_step.step()
        loss = uc.functional.generator_loss(LOSS, fake=critic(generator(torch.randn(BATCH, 2))))
        generator_step.zero_grad()
        loss.backward()
        generator_step.step()
    made = generator(torch.randn(1000, 2))
    angle = torch.atan2(made[:, 1], made[:, 0])
    nearest = (angle / (torch.pi / 4)).round().long() % 8
    near = (made.norm(dim=1) - 1).abs() < 0.2
    print("samples near each of the eight modes:", torch.bincount(nearest[near], minlength=8).tolist())


if __name__ == "__main__":
    main()
