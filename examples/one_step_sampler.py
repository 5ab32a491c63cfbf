"""A one-step sampler that collapses for one prompt only: ``python examples/one_step_sampler.py``.

Not a GAN: a student learns a teacher's map (noise, prompt) -> sample from stored pairs. In the second run the noises of
one prompt were stored in another order, so that nothing is left to learn there but the mean. One monitor a prompt sees
it; one for all prompts together would have to look very closely. They share one chance of a false alarm, 3 %.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import uncollapse as uc

PROMPTS, CORNERS = ("a cat", "a dog", "a bird"), torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
STEPS, BATCH, SHUFFLED_AFTER = 1_200, 128, 600


def teacher(noise: Tensor, prompt: int) -> Tensor:
    """Four kinds of each animal (n, 2): the slow sampler's map, which is known here."""
    kind = torch.atan2(noise[:, 1], noise[:, 0]).div(torch.pi / 2).floor().long() % 4
    return CORNERS[kind] + torch.tensor([4.0 * prompt, 0.0]) + 0.1 * noise


def asked(noise: Tensor, prompt: int) -> Tensor:
    """Noise (n, 2) beside the prompt as one-hot, (n, 5)."""
    return torch.cat([noise, torch.eye(len(PROMPTS))[prompt].expand(len(noise), -1)], 1)


def distil(name: str, broken: str) -> None:
    """Trains the student; the pairs of the broken prompt fall apart half way."""
    torch.manual_seed(0)
    student = nn.Sequential(nn.Linear(5, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    optimiser = torch.optim.Adam(student.parameters(), 2e-3)
    monitors = {
        prompt: uc.CollapseMonitor(
            reference=teacher(torch.randn(1_000, 2), number), every=100, cells=4, alpha=0.03 / len(PROMPTS),
            sampler=lambda n, number=number: student(asked(torch.randn(n, 2), number)),
        )
        for number, prompt in enumerate(PROMPTS)
    }  # fmt: skip
    for step in range(STEPS):
        loss = torch.zeros(())
        for number, prompt in enumerate(PROMPTS):
            noise = torch.randn(BATCH, 2)
            sample = teacher(noise, number)
            if prompt == broken and step > SHUFFLED_AFTER:
                sample = sample[torch.randperm(BATCH)]
            loss = loss + (student(asked(noise, number)) - sample).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        verdicts = {prompt: monitor.update(step=step) for prompt, monitor in monitors.items()}
    print(name, *(f"{prompt}: {verdict}" for prompt, verdict in verdicts.items()), sep="\n  ")


if __name__ == "__main__":
    distil("pairs as they were made", broken="")
    distil("the noises of one prompt in another order", broken="a bird")
