"""A critic that judges a sample by how well it reconstructs it; built from a method and the sizes of a task.

`MLP.critic` builds it for losses that read reconstructions (EBGAN, BEGAN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from uncollapse.networks.mlp import MLP, Octaves, trunk
from uncollapse.parts.scene import Judgement, Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method


def code_width(numbers: int) -> int:
    """Width of the code for samples of so many numbers: half of them, but at least two, for which angles mean much."""
    return max(2, numbers // 2)


class AutoencodingCritic(nn.Module):
    """Packs of samples (packs, ...) and their context -> `Judgement` whose score is minus the reconstruction error.

    Args:
        settings: Width, depth, octaves.
        method: Says how wrong a reconstruction is, what joins the samples, and which extra heads are read.
        sizes: Of the task and the batch.
    """

    def __init__(self, settings: MLP, method: Method, sizes: Sizes) -> None:
        """Builds encoder, decoder, embedding and extra heads, in this order."""
        super().__init__()
        self.conditioning, self.loss = method.conditioning, method.loss
        self.octaves = Octaves(settings.octaves)
        numbers = sizes.group * sizes.data
        code = code_width(numbers)
        inputs = self.octaves.width(numbers) + method.conditioning.critic_extra(sizes)
        self.encoder = nn.Sequential(trunk(inputs, settings.width, settings.depth), nn.Linear(settings.width, code))
        self.decoder = nn.Sequential(trunk(code, settings.width, settings.depth), nn.Linear(settings.width, numbers))
        self.embedding = method.conditioning.critic_module(sizes)
        self.heads = nn.ModuleDict({name: nn.Linear(code, size) for name, size in method.heads(sizes).items()})

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> Judgement:
        """The judgement of each pack; no gradient is cut, neither at the sample nor at its reconstruction."""
        flat = inputs.flatten(1)
        code = self.encoder(self.conditioning.critic_join(self.embedding, self.octaves(flat), context))
        error = self.loss.error(self.decoder(code) - flat)
        extra = {name: head(code) for name, head in self.heads.items()}
        return Judgement(score=-error, features=code, code=code, **extra)
