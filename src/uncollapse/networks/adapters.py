"""Networks of the user's own in the shape the game calls: they are asked for samples and scores, and parts add theirs.

`own` builds these from what the user gave; `fitting` tries beforehand whether they fit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from uncollapse.parts.conditioning import Conditioning
from uncollapse.parts.scene import Judgement, Sizes

if TYPE_CHECKING:
    from uncollapse.method import Method


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a trial found of a critic.

    Attributes:
        packs: Items that it was shown.
        width: Width of the features it returns; 0 where it returns none.
        gives: The fields of its `Judgement` beside score and features.
        mixes: Whether samples see each other within a pass.
    """

    packs: int
    width: int = 0
    gives: frozenset[str] = frozenset()
    mixes: bool = False


def told(context: Tensor, conditioning: Conditioning, sizes: Sizes) -> Tensor:
    """What a critic of the user's is told: int64 labels (packs,) or (packs, group), or the code as it is."""
    if not conditioning.labelled:
        return context
    # (packs, group * classes) one-hot -> (packs, group)
    labels = context.reshape(len(context), sizes.group, -1).argmax(-1)
    return labels.squeeze(-1) if sizes.group == 1 else labels


def as_judgement(output: Tensor | Judgement) -> Judgement:
    """A critic's output as a `Judgement`; features that it does not return are not a number, so that none are read."""
    given = {} if isinstance(output, Tensor) else {item.name: getattr(output, item.name) for item in fields(output)}
    score = (output if isinstance(output, Tensor) else output.score).reshape(-1)
    more = {name: value for name, value in given.items() if value is not None and name != "score"}
    if "second_score" in more:
        more["second_score"] = more["second_score"].reshape(-1)
    return Judgement(score=score, **{"features": score.new_full((len(score), 1), math.nan), **more})


def initialised(network: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    """The network in training mode, its lazy layers with shapes and weights, drawn from torch's global generator."""
    if any(is_lazy(value) for value in (*network.parameters(), *network.buffers())):
        with torch.no_grad():
            network.eval()(*inputs)
    return network.train()


def frozen_as_buffers(network: nn.Module) -> nn.Module:
    """The network whose parameters that are not to be trained (``requires_grad = False``) are buffers."""
    for module in network.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            if not value.requires_grad:
                delattr(module, name)
                module.register_buffer(name, value.detach())
    return network


class OwnGenerator(nn.Module):
    """(latent, labels, index) -> samples (batch, *shape) from a network called with (latent) or (latent, labels).

    Args:
        network: The user's.
        sizes: Of the task and the batch.
    """

    def __init__(self, network: nn.Module, sizes: Sizes) -> None:
        """Adds nothing of its own."""
        super().__init__()
        self.network, self.shape = network, sizes.shape

    def forward(self, latent: Tensor, labels: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        """Samples; the network sees labels as int64 (batch,)."""
        asked = (latent,) if labels is None else (latent, labels.argmax(-1))
        samples: Tensor = self.network(*asked)
        return samples.reshape(len(latent), *self.shape)

    def encode(self, samples: Tensor) -> Tensor:
        """samples (batch, *shape) -> latent (batch, latent), for methods whose conditioning brings an encoder."""
        code: Tensor = self.network.encode(samples)  # type: ignore[operator]
        return code


class OwnCritic(nn.Module):
    """Packs of samples (packs, ...) and their context -> `Judgement`, with what a method's parts add to the user's.

    A view's summary of the batch joins the score by linear weights of its own, heads that the network does not return
    are linear in its features, and a second critic is a second network.

    Args:
        network: The user's.
        method: Says what is added.
        sizes: Of the task and the batch.
        fit: What is known of the network.
        second: Another network of the same kind, where the method reads a second score that this one does not return.
        heads: Extra heads; by default what the method asks for.
    """

    def __init__(
        self,
        network: nn.Module,
        method: Method,
        sizes: Sizes,
        fit: Fit,
        *,
        second: nn.Module | None = None,
        heads: Mapping[str, int] | None = None,
    ) -> None:
        """Builds second critic, summary, its weights, the context's share of the score and heads, in this order."""
        super().__init__()
        self.network, self.sizes, self.mixes = network, sizes, fit.mixes
        self.conditioning, self.view = method.conditioning, method.view
        self.second = None if second is None else OwnCritic(second, method, sizes, fit, heads={})
        width = fit.width + method.view.extra
        self.summary = method.view.module(fit.width)
        self.summary_score = nn.Linear(method.view.extra, 1, bias=False) if method.view.extra else None
        self.score_context = method.conditioning.score_module(sizes, width) if fit.width else None
        wanted = dict(method.heads(sizes) if heads is None else heads)
        missing = {name: size for name, size in wanted.items() if name not in {*fit.gives, "second_score"}}
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in missing.items()})

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> Judgement:
        """The judgement of each pack; `context` is (packs, group * k), as the conditioning made it."""
        judged = self._own(inputs, context)
        features, score = judged.features, judged.score
        if self.summary_score is not None:
            features = self.view.summarise(self.summary, features)
            score = score + self.summary_score(features[:, -self.summary_score.in_features :]).squeeze(-1)
        score = self.conditioning.score(self.score_context, score, features, context)
        extra = {name: head(features) for name, head in self.heads.items()}
        if self.second is not None:
            extra["second_score"] = self.second(inputs, context).score
        return replace(judged, score=score, features=features, **extra)

    def _own(self, inputs: Tensor, context: Tensor | None) -> Judgement:
        """What the user's network says by itself."""
        return as_judgement(self.network(*self._shown(inputs, context)))

    def _shown(self, inputs: Tensor, context: Tensor | None) -> tuple[Tensor, ...]:
        return (inputs,) if context is None else (inputs, told(context, self.conditioning, self.sizes))

    @property
    def starts_from_data(self) -> bool:
        """Whether `start` has something to set: in the view's summary, or in a network that says so itself."""
        return hasattr(self.summary, "initialise") or bool(getattr(self.network, "starts_from_data", False))

    def start(self, real: Tensor, labels: Tensor | None) -> None:
        """Sets what depends on data from a first batch (batch, *shape) and its one-hot labels."""
        code = real.new_zeros(len(real), self.sizes.latent)
        context = self.conditioning.context(labels, lambda: code)
        packs, context = self.view.pack(real), None if context is None else self.view.pack(context)
        if getattr(self.network, "starts_from_data", False):
            self.network.start(*self._shown(packs, context))  # type: ignore[operator]
        if hasattr(self.summary, "initialise"):
            # A look must not move the statistics of batch norm.
            looking = copy.deepcopy(self)
            self.summary.initialise(looking._own(packs, context).features)  # type: ignore[operator, union-attr]
        if self.second is not None:
            self.second.start(real, labels)
