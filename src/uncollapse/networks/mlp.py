"""Fully connected generator and critic, built from a method and the sizes of a task; images are read as vectors.

They are plain modules whose extra heads, embeddings and encoders are whatever the parts of the method ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from uncollapse.errors import UserError
from uncollapse.parts.scene import Judgement, Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method


@dataclass(frozen=True, kw_only=True)
class MLP:
    """The settings of a pair of fully connected networks.

    Attributes:
        width: Units in each hidden layer.
        depth: Hidden layers.
        latent: Dimension of the latent, standard normal.
        bounded: Whether the generator ends in a Tanh, for data in [-1, 1].
    """

    width: int = 128
    depth: int = 3
    latent: int = 2
    bounded: bool = False

    def __post_init__(self) -> None:
        """Refuses networks without units or layers."""
        for name in ("width", "depth", "latent"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"networks.{name} = {value} is not a whole number of 1 or more.")
        if not isinstance(self.bounded, bool):
            raise UserError(f"networks.bounded = {self.bounded!r} is neither true nor false.")

    def generator(self, method: Method, sizes: Sizes) -> Generator:
        """The generator of one run, drawn from torch's global generator."""
        return Generator(self, method, sizes)

    def critic(self, method: Method, sizes: Sizes) -> Critic:
        """The critic of one run, drawn from torch's global generator."""
        return Critic(self, method, sizes)


def trunk(inputs: int, width: int, depth: int) -> nn.Sequential:
    """`depth` layers of `width` ReLU units on `inputs` numbers."""
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers += [nn.Linear(inputs if layer == 0 else width, width), nn.ReLU()]
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """latent (batch, latent) -> samples (batch, *shape).

    Args:
        settings: Width, depth, latent, output.
        method: Says what joins the latent, how many generators there are, and whether an encoder is needed.
        sizes: Of the task and the batch.
    """

    def __init__(self, settings: MLP, method: Method, sizes: Sizes) -> None:
        """Builds body, last layer, embedding and encoder, in this order."""
        super().__init__()
        self.shape, self.conditioning = sizes.shape, method.conditioning
        self.embedding = method.conditioning.generator_module(sizes)
        inputs = settings.latent + method.conditioning.generator_extra(sizes)

        def head() -> nn.Module:
            last = nn.Linear(settings.width, sizes.data)
            return nn.Sequential(last, nn.Tanh()) if settings.bounded else last

        self.body = method.population.assemble(lambda: trunk(inputs, settings.width, settings.depth), head)
        self.encoder = (
            nn.Sequential(trunk(sizes.data, settings.width, settings.depth), nn.Linear(settings.width, settings.latent))
            if method.conditioning.encodes
            else None
        )

    def forward(self, latent: Tensor, labels: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        """Samples; labels and index are one-hot rows where the method has them."""
        joined = self.conditioning.generator_join(self.embedding, latent, labels)
        samples: Tensor = self.body(joined, index).unflatten(-1, self.shape)
        return samples

    def encode(self, samples: Tensor) -> Tensor:
        """samples (batch, *shape) -> latent (batch, latent), for methods whose conditioning brings an encoder."""
        if self.encoder is None:
            raise RuntimeError("this method has no encoder")
        code: Tensor = self.encoder(samples.flatten(1))
        return code


class Critic(nn.Module):
    """Packs of samples (packs, ...) and their context -> `Judgement`.

    Args:
        settings: Width and depth.
        method: Says how the batch is seen, what joins the samples, and which extra heads are read.
        sizes: Of the task and the batch.
    """

    def __init__(self, settings: MLP, method: Method, sizes: Sizes) -> None:
        """Builds body, score, embedding, summary and extra heads, in this order."""
        super().__init__()
        conditioning, view = method.conditioning, method.view
        self.conditioning, self.view = conditioning, view
        self.body = trunk(sizes.group * sizes.data + conditioning.critic_extra(sizes), settings.width, settings.depth)
        width = settings.width + view.extra
        self.score = nn.Linear(width, 1)
        self.embedding = conditioning.critic_module(sizes)
        self.summary = view.module(settings.width)
        self.score_context = conditioning.score_module(sizes, width)
        heads: Mapping[str, int] = method.heads(sizes)
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in heads.items()})

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> Judgement:
        """The judgement of each pack; `context` is (packs, group * k), as the conditioning made it."""
        joined = self.conditioning.critic_join(self.embedding, inputs.flatten(1), context)
        features = self.view.summarise(self.summary, self.body(joined))
        score = self.conditioning.score(self.score_context, self.score(features).squeeze(-1), features, context)
        extra = {name: head(features) for name, head in self.heads.items()}
        if "second_score" in extra:
            extra["second_score"] = extra["second_score"].squeeze(-1)
        return Judgement(score=score, features=features, **extra)
