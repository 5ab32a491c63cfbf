"""The loop: lifts a game over seeds and plays rounds; names no concrete part.

A lane is one seed (or one member of its ensemble). All lanes of a run move together; a lane that becomes non-finite is
frozen and recorded, and the others do not notice. Directories and records are the business of `run.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.functional import one_hot

from uncollapse import compatibility
from uncollapse.blocks import Blocks, Source
from uncollapse.capture import Captured
from uncollapse.draws import stream
from uncollapse.game import Batch, Clock, Game, Player, State, differentiate_alone, differentiate_lifted
from uncollapse.lanes import (
    Lanes,
    Specification,
    drawn_networks,
    lane_seeds,
    lifted,
    living,
    player,
    recorded,
    shared_out,
    sizes_of,
    where,
)
from uncollapse.optimiser import adam_fused, clipped
from uncollapse.trees import tree_map

# In updates; an average over less than this is the live generator to the last bit.
SHORTEST_HALF_LIFE = 1e-3
# Numbers in the samples that are made at once, because the layers of a convolution need many times their memory.
SAMPLED_NUMBERS = 2**21


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
        spec.networks.check(self.method, self.sizes)
        self.members = self.method.population.members
        seeds = lane_seeds(spec)
        # Plain autograd needs no lift; convolutions are faster in turn than as one stack.
        self.in_turn = len(seeds) == 1 or not spec.networks.lifts
        differentiate = differentiate_alone if self.in_turn else differentiate_lifted
        shape = shared_out(spec, self.sizes)
        networks = [drawn_networks(self.method, shape, self.sizes, seed, self.dtype) for seed in seeds]
        self.game = Game.of(self.method, *networks[0], differentiate)
        # The members of an ensemble learn from one data set, with batches of their own.
        sources = [
            spec.task.source(seed, device=self.device, dtype=self.dtype)
            for seed in spec.seeds
            for _ in range(self.members)
        ]
        self._prepare([critic for _, critic in networks], seeds, sources)
        self.lanes = self._start(networks)
        self.critic_blocks, self.generator_blocks = (
            Blocks(
                purpose,
                self.method,
                self.sizes,
                seeds,
                sources,
                with_real=with_real,
                device=self.device,
                dtype=self.dtype,
            )
            for purpose, with_real in (("critic", True), ("generator", self.method.generator_sees_real))
        )
        asked = [part.lanes for part in self.method.nested_parts() if part.lanes is not None]
        self.at_once = min(asked) if asked and self.device.type == "cpu" else None
        self.rounds = 0
        captured = self.device.type == "cuda" and not any(part.eager for part in self.method.nested_parts())
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
        """Seed -> critic update at which it became non-finite (the first of its members)."""
        found = {}
        for seed, members in zip(
            self.spec.seeds, self.lanes.diverged_at.reshape(-1, self.members).tolist(), strict=True
        ):
            when = [update for update in members if update >= 0]
            if when:
                found[seed] = min(when)
        return found

    def losses(self) -> dict[str, list[float | None]]:
        """The last losses of each seed (the mean of its members), None for a frozen one."""
        return self._by_seed({"critic": self.lanes.critic_loss, "generator": self.lanes.generator_loss})

    def loss_state(self) -> dict[str, list[float | None]]:
        """What the loss carries from update to update (BEGAN's k), by name and seed; None for a frozen one."""
        return self._by_seed(self.lanes.state.loss)

    def _by_seed(self, named: Mapping[str, Tensor]) -> dict[str, list[float | None]]:
        frozen = self.diverged()
        return {
            name: [
                None if seed in frozen else value
                for seed, value in zip(self.spec.seeds, values.reshape(-1, self.members).mean(1).tolist(), strict=True)
            ]
            for name, values in named.items()
        }

    def parameter_counts(self) -> dict[str, int]:
        """Parameters of each player, all members of an ensemble together."""
        layouts = {"generator": self.game.generator_layout, "critic": self.game.critic_layout}
        return {name: layout.size * self.members for name, layout in layouts.items()}

    def real_samples(self) -> int:
        """Real samples read so far for one seed."""
        reading = self.update + (self.generator_updates if self.method.generator_sees_real else 0)
        return reading * self.sizes.batch * self.members

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
        """What `samples` gives for the seed at one place; (n, *shape). Of several members, each sample asks one."""
        if labels is None and self.method.labelled:
            labels = self.spec.task.balanced_labels(n)
        numbers = stream(self.spec.seeds[lane], "sampling", draw, device="cpu", dtype=self.dtype)
        latent = numbers.latent(self.sizes.latent_law, n, self.sizes.latent).to(self.device)
        index = numbers.integers(self.sizes.generators, n) if self.sizes.generators > 1 else None
        asked = numbers.integers(self.members, n) if self.members > 1 else torch.zeros(n, dtype=torch.int64)
        batch = Batch(
            latent=latent,
            real=None,
            labels=None if labels is None else one_hot(labels, self.sizes.classes).to(self.device, self.dtype),
            generator_index=None
            if index is None
            else one_hot(index, self.sizes.generators).to(self.device, self.dtype),
            noise={},
        )
        samples = torch.empty(n, *self.spec.task.shape, dtype=self.dtype, device=self.device)
        for member in range(self.members):
            rows = (asked == member).nonzero().squeeze(-1).to(self.device)
            own = tree_map(lambda value, rows=rows: value[rows], batch)
            samples[rows] = self._generated(lane * self.members + member, own, averaged=averaged)
        return samples

    def _generated(self, lane: int, batch: Batch, *, averaged: bool) -> Tensor:
        """Samples of one lane, made a few thousand at a time; batch statistics are the running ones."""
        generator = self.lanes.state.generator
        weights = self.lanes.average if averaged else generator.parameters
        buffers = self.lanes.average_buffers if averaged else generator.buffers
        own = {name: value[lane] for name, value in buffers.items()}
        at_once = max(1, SAMPLED_NUMBERS // self.sizes.data)
        self.game.generator.eval()
        try:
            parts = [
                self.game.generate(weights[lane], own, tree_map(lambda value, at=at: value[at : at + at_once], batch))[
                    0
                ]
                for at in range(0, max(1, len(batch.latent)), at_once)
            ]
        finally:
            self.game.generator.train()
        return torch.cat(parts)

    @torch.no_grad()
    def _prepare(self, critics: Sequence[nn.Module], seeds: Sequence[int], sources: Sequence[Source]) -> None:
        """Lets critics that start from data look at a first real batch of their own seed."""
        for critic, seed, source in zip(critics, seeds, sources, strict=True):
            if getattr(critic, "starts_from_data", False):
                draw = stream(seed, "first look", device=self.device, dtype=self.dtype)
                real, labels = source(self.sizes.batch, draw)
                hot = None if labels is None else one_hot(labels, self.sizes.classes).to(real.dtype)
                critic.start(real.cpu(), None if hot is None else hot.cpu())  # type: ignore[operator]

    def _start(self, networks: Sequence[tuple[nn.Module, nn.Module]]) -> Lanes:
        """The lanes before the first update."""
        generators, critics = zip(*networks, strict=True)
        constrained = [
            self.method.constraint.init_buffers({name: value.detach() for name, value in critic.named_parameters()})
            for critic in critics
        ]
        generator = player(generators, self.game.generator_layout, [{} for _ in generators])
        critic = player(critics, self.game.critic_layout, constrained)
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
            critic.parameters,
            clipped(gradient, dynamics.clip),
            critic.moments,
            step=step,
            rate=rate,
            betas=dynamics.betas,
        )
        player = Player(self._projected(parameters), moments, outcome.critic_buffers)
        healthy = living(lanes.diverged_at, values, gradient)
        return lanes._replace(
            state=lanes.state._replace(critic=where(healthy, player, critic)),
            diverged_at=recorded(lanes.diverged_at, healthy, step),
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
            generator.parameters,
            clipped(gradient, dynamics.clip),
            generator.moments,
            step=step,
            rate=rate,
            betas=dynamics.betas,
        )
        player = Player(parameters, moments, outcome.generator_buffers)
        keep = self._kept_share(step)
        average = parameters.lerp(lanes.average, keep)
        healthy = living(lanes.diverged_at, values, gradient)
        return lanes._replace(
            state=lanes.state._replace(
                generator=where(healthy, player, generator), loss=where(healthy, outcome.loss, lanes.state.loss)
            ),
            average=where(healthy, average, lanes.average),
            average_buffers=where(
                healthy, self._averaged(lanes, outcome.generator_buffers, keep), lanes.average_buffers
            ),
            diverged_at=recorded(lanes.diverged_at, healthy, lanes.critic_updates),
            generator_loss=torch.where(healthy, values, lanes.generator_loss),
            generator_updates=step,
        )

    def _differentiate(
        self, objective: Any, parameters: Tensor, state: State, batch: Batch, clock: Clock
    ) -> tuple[Tensor, Tensor, Any]:
        """Values (seeds,), gradients (seeds, P) and outcomes of an objective in every lane.

        The lanes do not touch, so the gradient of the summed values holds each lane's own gradient.
        """
        if self.in_turn:
            lanes = [
                self._differentiate_lane(objective, parameters, lane, state, batch, clock)
                for lane in range(len(parameters))
            ]
            stacked: tuple[Tensor, Tensor, Any] = tree_map(lambda *items: torch.stack(items), *lanes)
            return stacked
        leaf = parameters.detach().requires_grad_()
        values, outcome = lifted(lambda at, lane: objective(at, *lane, clock), leaf, (state, batch), self.at_once)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), gradient, tree_map(Tensor.detach, outcome)

    @staticmethod
    def _differentiate_lane(
        objective: Any, parameters: Tensor, lane: int, state: State, batch: Batch, clock: Clock
    ) -> tuple[Tensor, Tensor, Any]:
        """The value, gradient (P,) and outcome of an objective in one lane, by plain autograd."""
        leaf = parameters[lane].detach().requires_grad_()
        own = tree_map(lambda value: value[lane], (state, batch))
        value, outcome = objective(leaf, *own, clock)
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.detach(), gradient, tree_map(Tensor.detach, outcome)

    def _clock(self, lanes: Lanes) -> Clock:
        """Where all lanes stand before an update."""
        progress = (lanes.critic_updates / self.spec.updates).clamp(max=1).to(self.dtype)
        return Clock(progress=progress, critic_step=lanes.critic_updates + 1)

    def _projected(self, critics: Tensor) -> Tensor:
        """Each lane's critic (seeds, P) put back where the constraint allows it."""
        if not self.method.constraint.projects:
            return critics
        return self.game.project(critics[0]).unsqueeze(0) if len(critics) == 1 else vmap(self.game.project)(critics)

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
