"""Fully connected generator and critic, built from a method and the sizes of a task; images are read as vectors.

They are plain modules whose extra heads, embeddings and encoders are whatever the parts of the method ask for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from uncollapse.networks.network import Networks, true_or_false, whole_number
from uncollapse.parts.scene import Judgement, Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method


@dataclass(frozen=True, kw_only=True)
class MLP(Networks):
    """The settings of a pair of fully connected networks.

    Attributes:
        width: Units in each hidden layer.
        depth: Hidden layers.
        latent: Dimension of the latent, standard normal.
        bounded: Whether the generator ends in a Tanh, for data in [-1, 1].
        octaves: Frequencies pi, 2 pi, 4 pi, ... at which the critic also sees sine and cosine of each number.
    """

    family: ClassVar[str] = "mlp"
    lifts: ClassVar[bool] = True

    width: int = 128
    depth: int = 3
    latent: int = 2
    bounded: bool = False
    octaves: int = 0

    def __post_init__(self) -> None:
        """Refuses networks without units or layers."""
        for name in ("width", "depth", "latent"):
            whole_number(getattr(self, name), name, 1)
        whole_number(self.octaves, "octaves", 0)
        true_or_false(self.bounded, "bounded")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON; the family is left out, because specs that lack one are fully connected."""
        return self.settings()

    def generator(self, method: Method, sizes: Sizes) -> Generator:
        """The generator of one run, drawn from torch's global generator."""
        return Generator(self, method, sizes)

    def critic(self, method: Method, sizes: Sizes) -> nn.Module:
        """The critic of one run, drawn from torch's global generator."""
        if method.loss.reads == "reconstruction":
            from uncollapse.networks.autoencoder import AutoencodingCritic

            return AutoencodingCritic(self, method, sizes)
        return Critic(self, method, sizes)


def trunk(inputs: int, width: int, depth: int) -> nn.Sequential:
    """`depth` layers of `width` ReLU units on `inputs` numbers."""
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers += [nn.Linear(inputs if layer == 0 else width, width), nn.ReLU()]
    return nn.Sequential(*layers)


class Octaves(nn.Module):
    """Joins sine and cosine of each number at frequencies pi, 2 pi, 4 pi, ... so that fine structure is easy to see.

    Args:
        count: Frequencies; 0 leaves the inputs as they are.

    Reference: Tancik et al. 2020, arXiv:2006.10739.
    """

    def __init__(self, count: int) -> None:
        """Holds no parameters."""
        super().__init__()
        self.count = count

    def width(self, numbers: int) -> int:
        """Numbers that come out for so many that go in."""
        return numbers * (1 + 2 * self.count)

    def forward(self, inputs: Tensor) -> Tensor:
        """(packs, numbers) -> (packs, numbers (1 + 2 count))."""
        seen = [inputs]
        for octave in range(self.count):
            angle = inputs * (math.pi * 2**octave)
            seen += [angle.sin(), angle.cos()]
        return torch.cat(seen, -1) if self.count else inputs


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

        def hidden(numbers: int) -> Callable[[], nn.Module]:
            return lambda: trunk(numbers, settings.width, 1)

        def last() -> nn.Module:
            layer = nn.Linear(settings.width, sizes.data)
            return nn.Sequential(layer, nn.Tanh()) if settings.bounded else layer

        widths = [inputs, *[settings.width] * (settings.depth - 1)]
        self.body = method.population.assemble([*map(hidden, widths), last])
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
        settings: Width, depth, octaves.
        method: Says how the batch is seen, what joins the samples, and which extra heads are read.
        sizes: Of the task and the batch.
        heads: Extra heads; by default what the method asks for. A second score comes from a critic of its own.
    """

    def __init__(self, settings: MLP, method: Method, sizes: Sizes, *, heads: Mapping[str, int] | None = None) -> None:
        """Builds body, score, embedding, summary, extra heads and second critic, in this order."""
        super().__init__()
        conditioning, view = method.conditioning, method.view
        self.conditioning, self.view, self.latent = conditioning, view, sizes.latent
        self.octaves = Octaves(settings.octaves)
        inputs = self.octaves.width(sizes.group * sizes.data) + conditioning.critic_extra(sizes)
        self.body = trunk(inputs, settings.width, settings.depth)
        width = settings.width + view.extra
        self.score = nn.Linear(width, 1)
        self.embedding = conditioning.critic_module(sizes)
        self.summary = view.module(settings.width)
        self.score_context = conditioning.score_module(sizes, width)
        wanted = dict(method.heads(sizes) if heads is None else heads)
        self.second = Critic(settings, method, sizes, heads={}) if wanted.pop("second_score", 0) else None
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in wanted.items()})

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> Judgement:
        """The judgement of each pack; `context` is (packs, group * k), as the conditioning made it."""
        features = self.view.summarise(self.summary, self._seen(inputs, context))
        score = self.conditioning.score(self.score_context, self.score(features).squeeze(-1), features, context)
        extra = {name: head(features) for name, head in self.heads.items()}
        if self.second is not None:
            extra["second_score"] = self.second(inputs, context).score
        return Judgement(score=score, features=features, **extra)

    def _seen(self, inputs: Tensor, context: Tensor | None) -> Tensor:
        """(packs, width), the last hidden layer before the view's summary."""
        joined = self.conditioning.critic_join(self.embedding, self.octaves(inputs.flatten(1)), context)
        features: Tensor = self.body(joined)
        return features

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
                critic.summary.initialise(critic._seen(packs, context))  # type: ignore[union-attr, operator]
