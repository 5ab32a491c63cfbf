"""A convolutional critic that judges a sample by how well it reconstructs it.

`Convolutional.critic` builds it for losses that read reconstructions (EBGAN, BEGAN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from uncollapse.networks.convolutions import Convolutional, Picture, mixing, started
from uncollapse.networks.image_critic import Features, heads_of
from uncollapse.parts.scene import Judgement, Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method

# Angles between codes, which the pulling-away term reads, mean little in one dimension.
LEAST_CODE = 2


class ImageAutoencoder(nn.Module):
    """Packs of samples (packs, ...) and their context -> `Judgement` whose score is minus the reconstruction error.

    The code is as wide as the latent, as in BEGAN; the decoder is built like the generator but ends without a bound.

    Args:
        settings: Of the family.
        method: Says how wrong a reconstruction is, what joins the samples, and which extra heads are read.
        sizes: Of the task and the batch.
    """

    def __init__(self, settings: Convolutional, method: Method, sizes: Sizes) -> None:
        """Builds features, code, decoder and extra heads, in this order."""
        super().__init__()
        self.loss, normalised = method.loss, settings.normalised(method)
        width = max(LEAST_CODE, sizes.latent)
        self.features = Features(settings, method, sizes)
        self.code = started(nn.Linear(settings.features, width), normalised=normalised)
        layers = settings.layers(Picture.of(sizes.shape, sizes.group), width, method)
        self.decoder = nn.Sequential(*[layer() for layer in layers])
        self.heads = heads_of(width, method.heads(sizes), normalised=normalised)
        self.mixes = mixing(self)

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> Judgement:
        """The judgement of each pack; no gradient is cut, neither at the sample nor at its reconstruction."""
        code = self.code(self.features(inputs, context))
        error = self.loss.error(self.decoder(code).flatten(1) - inputs.flatten(1))
        extra = {name: head(code) for name, head in self.heads.items()}
        return Judgement(score=-error, features=code, code=code, **extra)
