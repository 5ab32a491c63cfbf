"""Lanes: what every seed of a run carries, how it starts, and how a frozen lane is kept from its neighbours.

`loop.py` moves them. A lane is one game: a seed, or one member of a seed's ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import vmap

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.game import Player, State
from uncollapse.method import Method
from uncollapse.networks.network import Networks
from uncollapse.optimiser import Moments
from uncollapse.parts.scene import Sizes
from uncollapse.tasks.task import Task
from uncollapse.trees import rebuilt, tree_leaves, tree_map


class Specification(Protocol):
    """What the loop reads of a run's spec."""

    @property
    def method(self) -> Method: ...  # noqa: D102
    @property
    def task(self) -> Task: ...  # noqa: D102
    @property
    def networks(self) -> Networks: ...  # noqa: D102
    @property
    def seeds(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def updates(self) -> int: ...  # noqa: D102
    @property
    def batch(self) -> int: ...  # noqa: D102
    @property
    def dtype(self) -> str: ...  # noqa: D102


class Lanes(NamedTuple):
    """Everything that a run carries, the lanes in front; scalars that all lanes share come last.

    Attributes:
        state: Players and loss state, every tensor (seeds, ...).
        average: Averaged generator, (seeds, P).
        average_buffers: Its buffers.
        diverged_at: (seeds,) int64: the critic update at which a lane was frozen, -1 while it lives.
        critic_loss: (seeds,), of the last critic update.
        generator_loss: (seeds,), of the last generator update.
        critic_updates: Scalar float64: critic updates done.
        generator_updates: Scalar float64: generator updates done.
    """

    state: State
    average: Tensor
    average_buffers: dict[str, Tensor]
    diverged_at: Tensor
    critic_loss: Tensor
    generator_loss: Tensor
    critic_updates: Tensor
    generator_updates: Tensor


def sizes_of(spec: Specification) -> Sizes:
    """The sizes that networks and parts are built from."""
    return Sizes(
        shape=spec.task.shape,
        latent=spec.networks.latent,
        classes=spec.task.classes,
        batch=spec.batch * spec.method.view.samples,
        group=spec.method.view.group,
        generators=spec.method.population.count,
        latent_law=spec.networks.latent_law,
    )


def lane_seeds(spec: Specification) -> tuple[int, ...]:
    """The seed of each lane's own numbers: the run's seeds, each followed by those of its further members."""
    return tuple(
        seed if member == 0 else int(stream(seed, f"member {member}").integers(2**62, 1))
        for seed in spec.seeds
        for member in range(spec.method.population.members)
    )


def shared_out(spec: Specification, sizes: Sizes) -> Networks:
    """The networks of one member: so wide that all members together have at most the parameters of one alone."""
    members, whole = spec.method.population.members, spec.networks
    if members == 1:
        return whole

    def parameters(width: int) -> int:
        made = replace(whole, width=width)
        with torch.device("meta"):
            networks = made.generator(spec.method, sizes), made.critic(spec.method, sizes)
        return sum(value.numel() for network in networks for value in network.parameters())

    allowed, low, high = parameters(whole.width), 1, whole.width
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if members * parameters(middle) <= allowed else (low, middle - 1)
    if members * parameters(low) > allowed:
        raise UserError(
            f"{members} members do not fit into the parameters of one network of width {whole.width};"
            " choose wider networks or fewer members."
        )
    return replace(whole, width=low)


def drawn_networks(
    method: Method, networks: Networks, sizes: Sizes, seed: int, dtype: torch.dtype
) -> tuple[nn.Module, nn.Module]:
    """Generator and critic with the weights of one seed, leaving torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(stream(seed, "weights").integers(2**62, 1)))
        generator = networks.generator(method, sizes)
        critic = networks.critic(method, sizes)
    return generator.to(dtype), critic.to(dtype)


def lifted(
    function: Callable[[Tensor, Any], tuple[Tensor, Any]], leaf: Tensor, lanes: Any, at_once: int | None = None
) -> tuple[Tensor, Any]:
    """`function` in every lane, all or some `at_once`.

    Trees are taken apart here, because vmap's own way costs more than a layer.
    """
    shape: list[Any] = []

    def flat(at: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        value, outcome = function(at, rebuilt(lanes, tensors))
        shape.append(outcome)
        return (value, *tree_leaves(outcome))

    values, *rest = vmap(flat, chunk_size=at_once)(leaf, *tree_leaves(lanes))
    return values, rebuilt(shape[0], rest)


def player(networks: Sequence[nn.Module], layout: Any, extra: Sequence[dict[str, Tensor]]) -> Player:
    """The stacked players of all lanes."""
    flat = torch.stack([layout.pack(dict(network.named_parameters())).detach() for network in networks])
    named = [{**dict(network.named_buffers()), **more} for network, more in zip(networks, extra, strict=True)]
    buffers = {name: torch.stack([one[name].detach().clone() for one in named]) for name in named[0]}
    return Player(flat, Moments(torch.zeros_like(flat), torch.zeros_like(flat)), buffers)


def living(diverged_at: Tensor, values: Tensor, gradient: Tensor) -> Tensor:
    """(seeds,) bool: lanes that live and whose value and gradient are finite."""
    healthy: Tensor = (diverged_at < 0) & values.isfinite() & gradient.norm(dim=-1).isfinite()
    return healthy


def recorded(diverged_at: Tensor, healthy: Tensor, update: Tensor) -> Tensor:
    """`diverged_at` with this update for the lanes that stopped being healthy in it."""
    return torch.where(healthy | (diverged_at >= 0), diverged_at, update.to(diverged_at.dtype))


def where(healthy: Tensor, new: Any, old: Any) -> Any:
    """The new tree for healthy lanes, the old one for frozen lanes."""
    # On the CPU looking costs nothing and spares a pass over the memory; on CUDA it would stop the graph.
    if healthy.device.type == "cpu" and bool(healthy.all()):
        return new
    return tree_map(
        lambda fresh, kept: torch.where(healthy.reshape(-1, *([1] * (fresh.ndim - 1))), fresh, kept), new, old
    )
