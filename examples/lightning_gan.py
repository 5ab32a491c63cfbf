"""A GAN in Lightning that is stopped when it collapses: ``python examples/lightning_gan.py`` (needs [lightning]).

The digits and networks of monitor_plain_dcgan.py; once healthy, once with a learning rate that becomes far too high.
"""

from __future__ import annotations

import logging

import torch
from lightning.pytorch import LightningModule, Trainer
from monitor_plain_dcgan import BATCH, LATENT, MISTAKE, STEPS, digits, networks
from torch import Tensor
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

from uncollapse.integrations.lightning import CollapseCallback


class Gan(LightningModule):
    """Two optimisers under manual optimisation, and `sample`, which the callback asks."""

    def __init__(self, rate_after_mistake: float) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.critic = networks()
        self.rate_after_mistake, self.batches = rate_after_mistake, 0

    def sample(self, n: int) -> Tensor:
        """Fakes (n, 1, 8, 8) from fresh latents."""
        return self.generator(torch.randn(n, LATENT, device=self.device))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """The critic's step, then the generator's."""
        optimisers, self.batches = self.optimizers(), self.batches + 1
        if self.batches == MISTAKE:
            optimisers[0].param_groups[0]["lr"] = self.rate_after_mistake
        for which in (1, 0):
            score = self.critic(self.sample(len(batch[0])))
            optimisers[which].zero_grad()
            loss = softplus(-self.critic(batch[0])) + softplus(score) if which else softplus(-score)
            self.manual_backward(loss.mean())
            optimisers[which].step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Of the generator and of the critic."""
        return [torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.999)) for net in (self.generator, self.critic)]


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for name, rate in (("as it should", 1e-3), ("a learning rate of 0.1 after batch 450", 0.1)):
        torch.manual_seed(0)
        callback = CollapseCallback(reference=digits(), every=50, on_alarm="stop")
        trainer = Trainer(
            callbacks=[callback], accelerator="cpu", max_steps=2 * STEPS, max_epochs=-1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Gan(rate), DataLoader(TensorDataset(digits()), BATCH, shuffle=True))
        print(f"{name}: {callback.step} batches, {callback.monitor}")
