"""Rows of a table from a mixture model, watched and evaluated: ``python examples/tabular_generator.py``.

Five kinds of customers. In the second run the model is tuned for high incomes half way, with nothing that holds it to
the data: it keeps to the one kind that earns most.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributions, nn

import uncollapse as uc

STEPS, BATCH, TUNED_FROM, PARTS = 700, 256, 400, 12
KINDS = torch.tensor([[22, 18, 9, 1], [35, 52, 3, 4], [48, 95, 2, 2], [67, 31, 6, 1], [41, 24, 1, 6]]).float()
SPREAD = torch.tensor([2.0, 4.0, 0.5, 0.4])  # age, income in thousands, visits a month, people in the household


def customers(n: int) -> Tensor:
    """Rows (n, 4), each column centred and divided by its spread over the kinds."""
    rows = KINDS[torch.randint(len(KINDS), (n,))] + SPREAD * torch.randn(n, 4)
    return (rows - KINDS.mean(0)) / KINDS.std(0)


class Mixture(nn.Module):
    """Normal distributions of rows with learnt shares, centres and widths."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.shares, self.centres = nn.Parameter(torch.zeros(len(start))), nn.Parameter(start.clone())
        self.widths = nn.Parameter(torch.full_like(start, -1.0))

    def rows(self) -> distributions.Distribution:
        """The distribution of a row."""
        parts = distributions.Independent(distributions.Normal(self.centres, self.widths.exp()), 1)
        return distributions.MixtureSameFamily(distributions.Categorical(logits=self.shares), parts)


def train(name: str, *, tuned: bool) -> None:
    """Trains with a monitor, then evaluates."""
    torch.manual_seed(0)
    real, held_out = customers(2_000), customers(2_000)
    model = Mixture(real[:PARTS])
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    monitor = uc.CollapseMonitor(reference=real, sampler=lambda n: model.rows().sample((n,)), every=100)
    for step in range(STEPS):
        x = real[torch.randint(len(real), (BATCH,))]
        loss = -model.rows().mean[1] if tuned and step >= TUNED_FROM else -model.rows().log_prob(x).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        monitor.update(step=step)
    judged = uc.evaluate(held_out, model.rows().sample((2_000,)), metrics=("recall", "coverage"))
    print(f"{name}\n  monitor: {monitor.verdict}\n  evaluate: {judged.verdict.status}")


if __name__ == "__main__":
    train("as it should", tuned=False)
    train("tuned for high incomes after step 400", tuned=True)
