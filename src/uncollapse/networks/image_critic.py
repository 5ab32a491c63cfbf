"""The convolutional critic: features of an image and of what is told with it, and the heads that read them.

`Convolutional.critic` builds it; `image_autoencoder` takes its features to a code instead of a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from uncollapse.networks.convolutions import LEAKY_GAIN, SLOPE, Convolutional, Picture, mixing, started
from uncollapse.parts.scene import Judgement, Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method


class Features(nn.Module):
    """Packs of samples (packs, ...) and their context -> features (packs, width), the critic's last hidden layer.

    What a conditioning tells of a pack is told beside the image, because a label says what to look for. A code, which
    has as many numbers as the latent, joins what was seen before the hidden layer.

    Args:
        settings: Of the family.
        method: Whose critic it is.
        sizes: Of the task and the batch.
    """

    def __init__(self, settings: Convolutional, method: Method, sizes: Sizes) -> None:
        """Builds reader, hidden layer and embedding, in this order."""
        super().__init__()
        self.conditioning, self.picture = method.conditioning, Picture.of(sizes.shape, sizes.group)
        extra = method.conditioning.critic_extra(sizes)
        self.late = method.conditioning.encodes
        self.reader, numbers = settings.reader(self.picture, 0 if self.late else extra, method)
        self.hidden = started(
            nn.Linear(numbers + (extra if self.late else 0), settings.features),
            normalised=settings.normalised(method),
            gain=LEAKY_GAIN,
        )
        self.embedding = method.conditioning.critic_module(sizes)

    def forward(self, inputs: Tensor, context: Tensor | None) -> Tensor:
        """The features; `context` is (packs, group * k), as the conditioning made it."""
        images = self.picture.images(inputs)
        told = self.conditioning.critic_join(self.embedding, images.new_zeros(len(images), 0), context)
        seen = self.reader(images, told).flatten(1)
        return leaky_relu(self.hidden(torch.cat([seen, told], 1) if self.late else seen), SLOPE)


def heads_of(width: int, wanted: Mapping[str, int], *, normalised: bool) -> nn.ModuleDict:
    """A linear layer on `width` numbers for each extra head."""
    return nn.ModuleDict(
        {name: started(nn.Linear(width, size), normalised=normalised) for name, size in wanted.items()}
    )


class Critic(nn.Module):
    """Packs of samples (packs, ...) and their context -> `Judgement`.

    Args:
        settings: Of the family.
        method: Says how the batch is seen, what joins the samples, and which extra heads are read.
        sizes: Of the task and the batch.
        heads: Extra heads; by default what the method asks for. A second score comes from a critic of its own.
    """

    def __init__(
        self, settings: Convolutional, method: Method, sizes: Sizes, *, heads: Mapping[str, int] | None = None
    ) -> None:
        """Builds features, score, summary, extra heads and second critic, in this order."""
        super().__init__()
        self.conditioning, self.view, self.latent = method.conditioning, method.view, sizes.latent
        normalised = settings.normalised(method)
        self.features = Features(settings, method, sizes)
        self.mixes = mixing(self.features)
        width = settings.features + method.view.extra
        self.score = started(nn.Linear(width, 1), normalised=normalised)
        self.summary = method.view.module(settings.features)
        self.score_context = method.conditioning.score_module(sizes, width)
        wanted = dict(method.heads(sizes) if heads is None else heads)
        self.second = Critic(settings, method, sizes, heads={}) if wanted.pop("second_score", 0) else None
        self.heads = heads_of(width, wanted, normalised=normalised)

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> Judgement:
        """The judgement of each pack; `context` is (packs, group * k), as the conditioning made it."""
        features = self.view.summarise(self.summary, self.features(inputs, context))
        score = self.conditioning.score(self.score_context, self.score(features).squeeze(-1), features, context)
        extra = {name: head(features) for name, head in self.heads.items()}
        if self.second is not None:
            extra["second_score"] = self.second(inputs, context).score
        return Judgement(score=score, features=features, **extra)

    @property
    def starts_from_data(self) -> bool:
        """Whether `start` has something to set."""
        return hasattr(self.summary, "initialise")

    def start(self, real: Tensor, labels: Tensor | None) -> None:
        """Sets what depends on data from a first batch (batch, *shape) and its one-hot labels."""
        context = self.conditioning.context(labels, lambda: real.new_zeros(len(real), self.latent))
        packs = self.view.pack(real)
        context = None if context is None else self.view.pack(context)
        for critic in (self, self.second):
            if critic is not None:
                critic.summary.initialise(critic.features(packs, context))  # type: ignore[union-attr, operator]
