"""A network as a pure function of its tensors, in full precision or with its layers in bfloat16.

`game.py` and `judge.py` call generator, encoder and critic through it; nobody else touches a network in an update.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call

from uncollapse.parts.scene import Judgement

Tensors = dict[str, Tensor]


class _Skeleton(NamedTuple):
    """What is asked of a network's structure in every call, found once."""

    buffers: frozenset[str]
    shares_weights: bool


_SKELETONS: WeakKeyDictionary[nn.Module, _Skeleton] = WeakKeyDictionary()


def _skeleton(network: nn.Module) -> _Skeleton:
    known = _SKELETONS.get(network)
    if known is None:
        single = sum(1 for _ in network.parameters())
        every = sum(1 for _ in network.named_parameters(remove_duplicate=False))
        known = _Skeleton(frozenset(name for name, _ in network.named_buffers()), every > single)
        _SKELETONS[network] = known
    return known


def called(
    network: nn.Module,
    parameters: Mapping[str, Tensor],
    buffers: Tensors,
    given: tuple[Any, ...],
    *,
    bfloat16_on: str = "",
) -> Any:
    """A network's output with these tensors in place of its own; buffers of its constraint are left aside.

    Args:
        network: Gives the structure.
        parameters: By name.
        buffers: By name; those that a layer updates are changed in place.
        given: What the network is called with.
        bfloat16_on: Type of the device on which its layers compute in bfloat16; empty for full precision. The output
            has the type of the parameters either way.
    """
    skeleton = _skeleton(network)
    own = {name: value for name, value in buffers.items() if name in skeleton.buffers}
    # Looking for weights that share a tensor costs as much as a small network, so only networks that have some pay.
    tied = skeleton.shares_weights
    if not bfloat16_on:
        return functional_call(network, {**parameters, **own}, given, tie_weights=tied)
    # Autocast's cache keeps no views, as these weights are, and a CUDA graph must not read from it.
    with torch.autocast(bfloat16_on, dtype=torch.bfloat16, cache_enabled=False):
        output = functional_call(network, {**parameters, **own}, given, tie_weights=tied)
    return restored(output, next(iter(parameters.values())).dtype)


def restored(output: Any, dtype: torch.dtype) -> Any:
    """A tensor, or every field of a judgement, in the given type: losses and decompositions need all digits."""
    if isinstance(output, Judgement):
        present = {item.name: value for item in fields(output) if (value := getattr(output, item.name)) is not None}
        return replace(output, **{name: value.to(dtype) for name, value in present.items()})
    return output.to(dtype)


class Encoder(nn.Module):
    """Gives `called` the encoder of a generator.

    Args:
        network: A generator with an encoder.
    """

    def __init__(self, network: nn.Module) -> None:
        """Keeps the generator as its only child."""
        super().__init__()
        self.network = network

    def forward(self, samples: Tensor) -> Tensor:
        """samples (batch, *shape) -> latent (batch, latent)."""
        encoded: Tensor = self.network.encode(samples)  # type: ignore[operator]
        return encoded


def under(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors of a child, as its parent names them."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}
