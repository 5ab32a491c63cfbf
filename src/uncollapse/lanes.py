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
from torch.nn.functional import one_hot

from uncollapse.blocks import Source
from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.game import Batch, Clock, Game, Outcome, Player, State
from uncollapse.method import Method
from uncollapse.networks.network import Networks
from uncollapse.optimiser import Moments
from uncollapse.parts.constraints import Constraint, initial_buffers, reparameterised
from uncollapse.parts.scene import Sizes
from uncollapse.tasks.task import Task
from uncollapse.trees import rebuilt, tree_leaves, tree_map

# Of one lane: parameters, state, batch, clock -> value and what it leaves behind.
Objective = Callable[[Tensor, State, Batch, Clock], tuple[Tensor, Outcome]]
# Values (seeds,), gradients (seeds, P) and outcomes of an objective.
Result = tuple[Tensor, Tensor, Outcome]


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
    @property
    def accumulate(self) -> int: ...  # noqa: D102


class Numbers(NamedTuple):
    """Where and in which floating type a run's numbers live."""

    device: torch.device
    dtype: torch.dtype


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


def sizes_of(spec: Specification, method: Method | None = None) -> Sizes:
    """The sizes that networks and parts are built from, by default those of the spec's method."""
    method = method or spec.method
    return Sizes(
        shape=spec.task.shape,
        latent=spec.networks.latent,
        classes=spec.task.classes,
        batch=spec.batch * method.view.samples,
        group=method.view.group,
        generators=method.population.count,
        latent_law=spec.networks.latent_law,
    )


def dtype_of(spec: Specification) -> torch.dtype:
    """The type of the weights and of all samples; bfloat16 is that of the layers' arithmetic alone."""
    found: torch.dtype = torch.float32 if spec.dtype == "bfloat16" else getattr(torch, spec.dtype)
    return found


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
            " choose wider networks, fewer members, or no critic_width where there is one."
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


@torch.no_grad()
def look_at_data(
    critics: Sequence[nn.Module],
    seeds: Sequence[int],
    sources: Sequence[Source],
    constraint: Constraint,
    sizes: Sizes,
    numbers: Numbers,
) -> None:
    """Lets critics that start from data look at a first real batch of their own seed."""
    for critic, seed, source in zip(critics, seeds, sources, strict=True):
        if getattr(critic, "starts_from_data", False):
            real, labels = source(sizes.batch, stream(seed, "first look", device=numbers.device, dtype=numbers.dtype))
            hot = None if labels is None else one_hot(labels, sizes.classes).to(real.dtype)
            with reparameterised(critic, constraint):
                critic.start(real.cpu(), None if hot is None else hot.cpu())  # type: ignore[operator]


def started(game: Game, networks: Sequence[tuple[nn.Module, nn.Module]], numbers: Numbers) -> Lanes:
    """The lanes of these pairs of generator and critic before the first update, on the device."""
    generators, critics = zip(*networks, strict=True)
    constraint = game.method.constraint
    constrained = [initial_buffers(constraint, critic) for critic in critics]
    generator = player(generators, game.generator_layout, [{} for _ in generators])
    critic = player(critics, game.critic_layout, constrained)
    critic = critic._replace(parameters=projected(game, critic.parameters))
    count, dtype = len(networks), numbers.dtype
    loss = {
        name: value.to(dtype).expand(count, *value.shape).clone()
        for name, value in game.method.loss.init_state().items()
    }
    lanes = Lanes(
        state=State(critic, generator, loss),
        average=generator.parameters.clone(),
        average_buffers={name: value.clone() for name, value in generator.buffers.items()},
        diverged_at=torch.full((count,), -1),
        critic_loss=torch.zeros(count, dtype=dtype),
        generator_loss=torch.zeros(count, dtype=dtype),
        critic_updates=torch.zeros((), dtype=torch.float64),
        generator_updates=torch.zeros((), dtype=torch.float64),
    )
    moved: Lanes = tree_map(lambda value: value.to(numbers.device), lanes)
    return moved


def projected(game: Game, critics: Tensor) -> Tensor:
    """Each lane's critic (seeds, P) put back where the constraint allows it."""
    if not game.method.constraint.projects:
        return critics
    return game.project(critics[0]).unsqueeze(0) if len(critics) == 1 else vmap(game.project)(critics)


def differentiated(
    objective: Objective,
    parameters: Tensor,
    state: State,
    batch: Batch,
    clock: Clock,
    *,
    in_turn: bool,
    at_once: int | None = None,
) -> Result:
    """Values, gradients and outcomes of an objective in every lane.

    The lanes do not touch, so the gradient of the summed values holds each lane's own gradient.

    Args:
        objective: Of one lane.
        parameters: Where to differentiate, (seeds, P).
        state: Of all lanes.
        batch: Of all lanes.
        clock: Where all lanes stand.
        in_turn: One lane after the other by plain autograd, instead of all in one lift.
        at_once: Lanes in a lift; None for all.
    """
    if in_turn:
        each = [_in_lane(objective, parameters, state, batch, clock, lane) for lane in range(len(parameters))]
        stacked: Result = tree_map(lambda *items: torch.stack(items), *each)
        return stacked

    def in_lift(at: Tensor, lane: tuple[State, Batch]) -> tuple[Tensor, Outcome]:
        own_state, own_batch = lane
        return objective(at, own_state, own_batch, clock)

    leaf = parameters.detach().requires_grad_()
    values, outcome = lifted(in_lift, leaf, (state, batch), at_once)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), gradient, tree_map(Tensor.detach, outcome)


def _in_lane(objective: Objective, parameters: Tensor, state: State, batch: Batch, clock: Clock, lane: int) -> Result:
    """The value, gradient (P,) and outcome of an objective in one lane, by plain autograd."""
    leaf = parameters[lane].detach().requires_grad_()
    own_state, own_batch = tree_map(lambda value: value[lane], (state, batch))
    value, outcome = objective(leaf, own_state, own_batch, clock)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient, tree_map(Tensor.detach, outcome)


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
