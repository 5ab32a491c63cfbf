"""The loop: lifts a game over seeds and plays rounds; names no concrete part.

A lane is one seed. All lanes of a run move together; a lane that becomes non-finite is frozen and recorded, and the
others do not notice. Directories, records and checkpoints are the business of `run.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import vmap

from uncollapse import compatibility
from uncollapse.blocks import Blocks
from uncollapse.capture import Captured
from uncollapse.draws import stream
from uncollapse.game import Batch, Clock, Game, Player, State, differentiate_alone, differentiate_lifted
from uncollapse.method import Method
from uncollapse.networks.mlp import MLP
from uncollapse.optimiser import Moments, adam_fused
from uncollapse.parts.scene import Sizes
from uncollapse.tasks.task import Task
from uncollapse.trees import rebuilt, tree_leaves, tree_map

# In updates; an average over less than this is the live generator to the last bit.
SHORTEST_HALF_LIFE = 1e-3


class Specification(Protocol):
    """What the loop reads of a run's spec."""

    @property
    def method(self) -> Method: ...  # noqa: D102
    @property
    def task(self) -> Task: ...  # noqa: D102
    @property
    def networks(self) -> MLP: ...  # noqa: D102
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
        batch=spec.batch,
        group=spec.method.view.group,
        generators=spec.method.population.count,
    )


class Trainer:
    """The loop of one run, in memory.

    Args:
        spec: Method, task, networks, seeds, updates, batch, dtype.
        device: Where to train.
    """

    def __init__(self, spec: Specification, *, device: torch.device | str = "cpu") -> None:
        """Builds the players of every seed and draws their weights."""
        self.spec, self.method, self.device = spec, spec.method, torch.device(device)
        self.dtype: torch.dtype = getattr(torch, spec.dtype)
        self.sizes = sizes_of(spec)
        compatibility.check(self.method, self.sizes)
        self.alone = len(spec.seeds) == 1
        differentiate = differentiate_alone if self.alone else differentiate_lifted
        networks = [self._networks(seed) for seed in spec.seeds]
        self.game = Game.of(self.method, *networks[0], differentiate)
        self.lanes = self._start(networks)
        sources = [spec.task.source(seed, device=self.device, dtype=self.dtype) for seed in spec.seeds]
        self.critic_blocks, self.generator_blocks = (
            Blocks(
                purpose,
                self.method,
                self.sizes,
                spec.seeds,
                sources,
                with_real=with_real,
                device=self.device,
                dtype=self.dtype,
            )
            for purpose, with_real in (("critic", True), ("generator", self.method.generator_sees_real))
        )
        self.rounds = 0
        captured = self.device.type == "cuda" and not any(part.eager for part in self.method.parts())
        self._round = Captured(self._play_round) if captured else self._play_round

    @property
    def update(self) -> int:
        """Critic updates done."""
        return self.rounds * self.method.dynamics.critic_steps

    @property
    def generator_updates(self) -> int:
        """Generator updates done."""
        return self.rounds * self.method.dynamics.generator_steps

    def advance(self, until: int) -> None:
        """Plays whole rounds until at least `until` critic updates are done."""
        dynamics = self.method.dynamics
        while self.update < until:
            critic, generator = self.update, self.generator_updates
            critic_batches = [self.critic_blocks.batch(critic + step) for step in range(dynamics.critic_steps)]
            generator_batches = [
                self.generator_blocks.batch(generator + step) for step in range(dynamics.generator_steps)
            ]
            self.lanes = self._round(self.lanes, critic_batches, generator_batches)
            self.rounds += 1

    def diverged(self) -> dict[int, int]:
        """Seed -> critic update of the lanes that became non-finite."""
        when = self.lanes.diverged_at.tolist()
        return {seed: update for seed, update in zip(self.spec.seeds, when, strict=True) if update >= 0}

    def losses(self) -> dict[str, list[float | None]]:
        """The last losses of each seed, None for a frozen lane."""
        alive = (self.lanes.diverged_at < 0).tolist()
        named = {"critic": self.lanes.critic_loss, "generator": self.lanes.generator_loss}
        return {
            name: [value if lives else None for value, lives in zip(values.tolist(), alive, strict=True)]
            for name, values in named.items()
        }

    def parameter_counts(self) -> dict[str, int]:
        """Parameters of each player."""
        return {"generator": self.game.generator_layout.size, "critic": self.game.critic_layout.size}

    @torch.no_grad()
    def samples(self, n: int, *, averaged: bool = True, labels: Tensor | None = None, draw: int = 0) -> Tensor:
        """Samples of every seed from its own stream of latents; (seeds, n, *shape).

        Args:
            n: Samples for each seed.
            averaged: From the averaged generator, or from the live one.
            labels: (n,) labels to ask for; by default the task's balanced labels.
            draw: Another number gives other latents; the same number always the same.
        """
        lanes = range(len(self.spec.seeds))
        return torch.stack([self.lane_samples(lane, n, averaged=averaged, labels=labels, draw=draw) for lane in lanes])

    @torch.no_grad()
    def lane_samples(
        self, lane: int, n: int, *, averaged: bool = True, labels: Tensor | None = None, draw: int = 0
    ) -> Tensor:
        """What `samples` gives for one lane; (n, *shape)."""
        if labels is None and self.method.labelled:
            labels = self.spec.task.balanced_labels(n)
        numbers = stream(self.spec.seeds[lane], "sampling", draw, device="cpu", dtype=self.dtype)
        latent = numbers.normal(n, self.sizes.latent).to(self.device)
        index = numbers.integers(self.sizes.generators, n) if self.sizes.generators > 1 else None
        hot = torch.nn.functional.one_hot
        batch = Batch(
            latent=latent,
            real=None,
            labels=None if labels is None else hot(labels, self.sizes.classes).to(self.device, self.dtype),
            generator_index=None if index is None else hot(index, self.sizes.generators).to(self.device, self.dtype),
            noise={},
        )
        generator = self.lanes.state.generator
        weights = self.lanes.average if averaged else generator.parameters
        buffers = self.lanes.average_buffers if averaged else generator.buffers
        return self.game.generate(weights[lane], {name: value[lane] for name, value in buffers.items()}, batch)[0]

    def _networks(self, seed: int) -> tuple[nn.Module, nn.Module]:
        """Generator and critic with the weights of one seed, leaving torch's global generator as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(stream(seed, "weights").integers(2**62, 1)))
            generator = self.spec.networks.generator(self.method, self.sizes)
            critic = self.spec.networks.critic(self.method, self.sizes)
        return generator.to(self.dtype), critic.to(self.dtype)

    def _start(self, networks: Sequence[tuple[nn.Module, nn.Module]]) -> Lanes:
        """The lanes before the first update."""
        generators, critics = zip(*networks, strict=True)
        constrained = [
            self.method.constraint.init_buffers({name: value.detach() for name, value in critic.named_parameters()})
            for critic in critics
        ]
        generator = _player(generators, self.game.generator_layout, [{} for _ in generators])
        critic = _player(critics, self.game.critic_layout, constrained)
        critic = critic._replace(parameters=self._projected(critic.parameters))
        seeds = len(networks)
        loss = {
            name: value.to(self.dtype).expand(seeds, *value.shape).clone()
            for name, value in self.method.loss.init_state().items()
        }
        lanes = Lanes(
            state=State(critic, generator, loss),
            average=generator.parameters.clone(),
            average_buffers={name: value.clone() for name, value in generator.buffers.items()},
            diverged_at=torch.full((seeds,), -1),
            critic_loss=torch.zeros(seeds, dtype=self.dtype),
            generator_loss=torch.zeros(seeds, dtype=self.dtype),
            critic_updates=torch.zeros((), dtype=torch.float64),
            generator_updates=torch.zeros((), dtype=torch.float64),
        )
        moved: Lanes = tree_map(lambda value: value.to(self.device), lanes)
        return moved

    def _play_round(self, lanes: Lanes, critic_batches: Sequence[Batch], generator_batches: Sequence[Batch]) -> Lanes:
        """Critic steps, then generator steps: a pure function of its arguments."""
        for batch in critic_batches:
            lanes = self._critic_update(lanes, batch)
        for batch in generator_batches:
            lanes = self._generator_update(lanes, batch)
        return lanes

    def _critic_update(self, lanes: Lanes, batch: Batch) -> Lanes:
        clock, critic = self._clock(lanes), lanes.state.critic
        values, gradient, outcome = self._differentiate(
            self.game.critic_objective, critic.parameters, lanes.state, batch, clock
        )
        dynamics = self.method.dynamics
        step = lanes.critic_updates + 1
        rate = dynamics.lr_critic * dynamics.schedule(clock.progress)
        parameters, moments = adam_fused(
            critic.parameters, self._clipped(gradient), critic.moments, step=step, rate=rate, betas=dynamics.betas
        )
        player = Player(self._projected(parameters), moments, outcome.critic_buffers)
        healthy = _healthy(lanes.diverged_at, values, gradient)
        return lanes._replace(
            state=lanes.state._replace(critic=_where(healthy, player, critic)),
            diverged_at=_recorded(lanes.diverged_at, healthy, step),
            critic_loss=torch.where(healthy, values, lanes.critic_loss),
            critic_updates=step,
        )

    def _generator_update(self, lanes: Lanes, batch: Batch) -> Lanes:
        clock, generator = self._clock(lanes), lanes.state.generator
        values, gradient, outcome = self._differentiate(
            self.game.generator_objective, generator.parameters, lanes.state, batch, clock
        )
        dynamics = self.method.dynamics
        step = lanes.generator_updates + 1
        rate = dynamics.lr_generator * dynamics.schedule(clock.progress)
        parameters, moments = adam_fused(
            generator.parameters, self._clipped(gradient), generator.moments, step=step, rate=rate, betas=dynamics.betas
        )
        player = Player(parameters, moments, outcome.generator_buffers)
        keep = self._kept_share(step)
        average = parameters.lerp(lanes.average, keep)
        healthy = _healthy(lanes.diverged_at, values, gradient)
        return lanes._replace(
            state=lanes.state._replace(
                generator=_where(healthy, player, generator), loss=_where(healthy, outcome.loss, lanes.state.loss)
            ),
            average=_where(healthy, average, lanes.average),
            average_buffers=_where(
                healthy, self._averaged(lanes, outcome.generator_buffers, keep), lanes.average_buffers
            ),
            diverged_at=_recorded(lanes.diverged_at, healthy, lanes.critic_updates),
            generator_loss=torch.where(healthy, values, lanes.generator_loss),
            generator_updates=step,
        )

    def _differentiate(
        self, objective: Any, parameters: Tensor, state: State, batch: Batch, clock: Clock
    ) -> tuple[Tensor, Tensor, Any]:
        """Values (seeds,), gradients (seeds, P) and outcomes of an objective in every lane.

        The lanes do not touch, so the gradient of the summed values holds each lane's own gradient.
        """
        leaf = parameters.detach().requires_grad_()
        if self.alone:
            first = tree_map(lambda value: value[0], (state, batch))
            value, outcome = objective(leaf[0], *first, clock)
            values, outcome = value.unsqueeze(0), tree_map(lambda item: item.unsqueeze(0), outcome)
        else:
            values, outcome = _lifted(lambda at, lane: objective(at, *lane, clock), leaf, (state, batch))
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), gradient, tree_map(Tensor.detach, outcome)

    def _clock(self, lanes: Lanes) -> Clock:
        """Where all lanes stand before an update."""
        progress = (lanes.critic_updates / self.spec.updates).clamp(max=1).to(self.dtype)
        return Clock(progress=progress, critic_step=lanes.critic_updates + 1)

    def _projected(self, critics: Tensor) -> Tensor:
        """Each lane's critic (seeds, P) put back where the constraint allows it."""
        if not self.method.constraint.projects:
            return critics
        return self.game.project(critics[0]).unsqueeze(0) if self.alone else vmap(self.game.project)(critics)

    def _clipped(self, gradient: Tensor) -> Tensor:
        """Each lane's gradient, no longer than the limit."""
        limit = self.method.dynamics.clip
        if not limit:
            return gradient
        norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
        scaled: Tensor = gradient * (limit / norm.clamp(min=limit))
        return scaled

    def _kept_share(self, step: Tensor) -> Tensor:
        """The share of the averaged generator that survives one generator update."""
        dynamics = self.method.dynamics
        longest = dynamics.ramp * step if dynamics.ramp else torch.full_like(step, dynamics.half_life)
        half_life = longest.clamp(max=dynamics.half_life).clamp(min=SHORTEST_HALF_LIFE)
        return torch.pow(0.5, 1 / half_life).to(self.dtype)

    def _averaged(self, lanes: Lanes, live: dict[str, Tensor], keep: Tensor) -> dict[str, Tensor]:
        """The generator's floating buffers averaged like its weights; counters are copied."""
        return {
            name: value.lerp(lanes.average_buffers[name], keep) if value.is_floating_point() else value
            for name, value in live.items()
        }


def _lifted(function: Callable[[Tensor, Any], tuple[Tensor, Any]], leaf: Tensor, lanes: Any) -> tuple[Tensor, Any]:
    """`function` in every lane at once; trees are taken apart here, because vmap's own way costs more than a layer."""
    shape: list[Any] = []

    def flat(at: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        value, outcome = function(at, rebuilt(lanes, tensors))
        shape.append(outcome)
        return (value, *tree_leaves(outcome))

    values, *rest = vmap(flat)(leaf, *tree_leaves(lanes))
    return values, rebuilt(shape[0], rest)


def _player(networks: Sequence[nn.Module], layout: Any, extra: Sequence[dict[str, Tensor]]) -> Player:
    """The stacked players of all lanes."""
    flat = torch.stack([layout.pack(dict(network.named_parameters())).detach() for network in networks])
    named = [{**dict(network.named_buffers()), **more} for network, more in zip(networks, extra, strict=True)]
    buffers = {name: torch.stack([one[name].detach().clone() for one in named]) for name in named[0]}
    return Player(flat, Moments(torch.zeros_like(flat), torch.zeros_like(flat)), buffers)


def _healthy(diverged_at: Tensor, values: Tensor, gradient: Tensor) -> Tensor:
    """(seeds,) bool: lanes that live and whose value and gradient are finite."""
    healthy: Tensor = (diverged_at < 0) & values.isfinite() & gradient.norm(dim=-1).isfinite()
    return healthy


def _recorded(diverged_at: Tensor, healthy: Tensor, update: Tensor) -> Tensor:
    """`diverged_at` with this update for the lanes that stopped being healthy in it."""
    return torch.where(healthy | (diverged_at >= 0), diverged_at, update.to(diverged_at.dtype))


def _where(healthy: Tensor, new: Any, old: Any) -> Any:
    """The new tree for healthy lanes, the old one for frozen lanes."""
    # On the CPU looking costs nothing and spares a pass over the memory; on CUDA it would stop the graph.
    if healthy.device.type == "cpu" and bool(healthy.all()):
        return new
    return tree_map(
        lambda fresh, kept: torch.where(healthy.reshape(-1, *([1] * (fresh.ndim - 1))), fresh, kept), new, old
    )
