"""The loop: lifts a game over seeds and plays rounds; names no concrete part.

A lane is one seed (or one member of its ensemble). All lanes of a run move together; a lane that becomes non-finite is
frozen and recorded, and the others do not notice. Directories and records are the business of `run.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from uncollapse import compatibility
from uncollapse.blocks import Blocks
from uncollapse.capture import Captured
from uncollapse.first_update import try_first_update
from uncollapse.game import Batch, Clock, Game, Player, State, differentiate_alone, differentiate_lifted
from uncollapse.generation import Sampler
from uncollapse.lanes import (
    Lanes,
    Numbers,
    Objective,
    Result,
    Specification,
    differentiated,
    drawn_networks,
    dtype_of,
    lane_seeds,
    living,
    look_at_data,
    projected,
    recorded,
    shared_out,
    sizes_of,
    started,
    where,
)
from uncollapse.optimiser import Moments, adam_fused, clipped
from uncollapse.shares import Shares, check_networks, check_shares, mean_of_shares

if TYPE_CHECKING:
    from uncollapse.distributed import Team

# In updates; an average over less than this is the live generator to the last bit.
SHORTEST_HALF_LIFE = 1e-3


class Trainer:
    """The loop of one run, in memory.

    Args:
        spec: Method, task, networks, seeds, updates, batch, dtype, shares of an update.
        device: Where to train.
        team: The processes that train this run together; None for this one alone.
    """

    def __init__(self, spec: Specification, *, device: torch.device | str = "cpu", team: Team | None = None) -> None:
        """Builds the players of every seed and draws their weights."""
        self.spec, self.method, self.device, self.team = spec, spec.method, torch.device(device), team
        rounded = spec.dtype == "bfloat16"
        self.dtype = dtype_of(spec)
        self.sizes = sizes_of(spec)
        self.members = self.method.population.members
        self.shares = Shares.of_rank(0 if team is None else team.rank, self.ranks, spec.accumulate)
        compatibility.check(self.method, self.sizes)
        check_shares(self.method, self.sizes, self.shares.count)
        spec.networks.check(self.method, self.sizes)
        seeds = lane_seeds(spec)
        # Plain autograd needs no lift; convolutions are faster in turn than as one stack, and a lift rounds nothing.
        self.in_turn = len(seeds) == 1 or not spec.networks.lifts or rounded
        shape = shared_out(spec, self.sizes)
        networks = [drawn_networks(self.method, shape, self.sizes, seed, self.dtype) for seed in seeds]
        check_networks(*networks[0], self.shares.count)
        self.game = Game.of(
            self.method,
            *networks[0],
            differentiate_alone if self.in_turn else differentiate_lifted,
            bfloat16_on=self.device.type if rounded else "",
        )
        # The members of an ensemble learn from one data set, with batches of their own.
        sources = [
            spec.task.source(seed, device=self.device, dtype=self.dtype)
            for seed in spec.seeds
            for _ in range(self.members)
        ]
        numbers = Numbers(self.device, self.dtype)
        critics = [critic for _, critic in networks]
        look_at_data(critics, seeds, sources, self.method.constraint, self.sizes, numbers)
        self.lanes = started(self.game, networks, numbers)
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
        self.sampler = Sampler(spec=spec, game=self.game, sizes=self.sizes, device=self.device, dtype=self.dtype)
        asked = [part.lanes for part in self.method.nested_parts() if part.lanes is not None]
        self.at_once = min(asked) if asked and self.device.type == "cpu" else None
        self.rounds = 0
        # Processes wait for each other within an update, which no graph can hold.
        waits = self.ranks > 1 or any(part.eager for part in self.method.nested_parts())
        self._untried = True
        self._round = Captured(self._play_round) if self.device.type == "cuda" and not waits else self._play_round

    @property
    def ranks(self) -> int:
        """Processes that train this run together."""
        return 1 if self.team is None else self.team.size

    @property
    def update(self) -> int:
        """Critic updates done."""
        return self.rounds * self.method.dynamics.critic_steps

    @property
    def generator_updates(self) -> int:
        """Generator updates done."""
        return self.rounds * self.method.dynamics.generator_steps

    def advance(self, until: int) -> None:
        """Plays whole rounds until at least `until` critic updates are done; rank 0 leads its whole team."""
        if self.team is None:
            self.play(until)
        else:
            self.team.advance(self, until)

    def put_back(self, lanes: Lanes) -> None:
        """Goes on from other lanes than those it holds, in all processes of a team."""
        self.lanes = lanes
        if self.team is not None:
            self.team.begin_again()

    def play(self, until: int) -> None:
        """What `advance` does in this process."""
        dynamics = self.method.dynamics
        if self.update < until:
            self.try_out()
        while self.update < until:
            critic, generator = self.update, self.generator_updates
            critic_batches = [self.critic_blocks.batch(critic + step) for step in range(dynamics.critic_steps)]
            generator_batches = [
                self.generator_blocks.batch(generator + step) for step in range(dynamics.generator_steps)
            ]
            self.lanes = self._round(self.lanes, critic_batches, generator_batches)
            self.rounds += 1

    def try_out(self) -> None:
        """Tries the first update of a method with parts of the user's own, once; nothing moves.

        Raises:
            UserError: It fails; one sentence says how.
        """
        if self._untried:
            try_first_update(self, self._clock(self.lanes))
            self._untried = False

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

    def samples(self, n: int, *, averaged: bool = True, labels: Tensor | None = None, draw: int = 0) -> Tensor:
        """Samples of every seed from its own stream of latents; (seeds, n, *shape). For the rest see `Sampler`."""
        places = range(len(self.spec.seeds))
        return torch.stack([self.lane_samples(at, n, averaged=averaged, labels=labels, draw=draw) for at in places])

    def lane_samples(
        self,
        lane: int,
        n: int,
        *,
        averaged: bool = True,
        labels: Tensor | None = None,
        draw: int = 0,
        purpose: str = "sampling",
    ) -> Tensor:
        """What `samples` gives for the seed at one place; (n, *shape)."""
        return self.sampler.of_seed(self.lanes, lane, n, averaged=averaged, labels=labels, draw=draw, purpose=purpose)

    def _play_round(self, lanes: Lanes, critic_batches: Sequence[Batch], generator_batches: Sequence[Batch]) -> Lanes:
        """Critic steps, then generator steps: a pure function of its arguments."""
        for batch in critic_batches:
            lanes = self._critic_update(lanes, batch)
        for batch in generator_batches:
            lanes = self._generator_update(lanes, batch)
        return lanes

    def _critic_update(self, lanes: Lanes, batch: Batch) -> Lanes:
        clock, critic = self._clock(lanes), lanes.state.critic
        values, gradient, outcome = self._differentiated(
            self.game.critic_objective, critic.parameters, lanes.state, batch, clock
        )
        step = lanes.critic_updates + 1
        rate = self.method.dynamics.critic_rate(clock.progress)
        parameters, moments = self._moved(critic, gradient, rate, step)
        moved = Player(projected(self.game, parameters), moments, outcome.critic_buffers)
        healthy = living(lanes.diverged_at, values, gradient)
        return lanes._replace(
            state=lanes.state._replace(critic=where(healthy, moved, critic)),
            diverged_at=recorded(lanes.diverged_at, healthy, step),
            critic_loss=torch.where(healthy, values, lanes.critic_loss),
            critic_updates=step,
        )

    def _generator_update(self, lanes: Lanes, batch: Batch) -> Lanes:
        clock, generator = self._clock(lanes), lanes.state.generator
        values, gradient, outcome = self._differentiated(
            self.game.generator_objective, generator.parameters, lanes.state, batch, clock
        )
        step = lanes.generator_updates + 1
        rate = self.method.dynamics.generator_rate(clock.progress)
        parameters, moments = self._moved(generator, gradient, rate, step)
        moved = Player(parameters, moments, outcome.generator_buffers)
        keep = self._kept_share(step)
        average = parameters.lerp(lanes.average, keep)
        buffers = self._averaged(lanes, outcome.generator_buffers, keep)
        healthy = living(lanes.diverged_at, values, gradient)
        return lanes._replace(
            state=lanes.state._replace(
                generator=where(healthy, moved, generator), loss=where(healthy, outcome.loss, lanes.state.loss)
            ),
            average=where(healthy, average, lanes.average),
            average_buffers=where(healthy, buffers, lanes.average_buffers),
            diverged_at=recorded(lanes.diverged_at, healthy, lanes.critic_updates),
            generator_loss=torch.where(healthy, values, lanes.generator_loss),
            generator_updates=step,
        )

    def _differentiated(
        self, objective: Objective, parameters: Tensor, state: State, batch: Batch, clock: Clock
    ) -> Result:
        """Values (seeds,), gradients (seeds, P) and outcomes of an objective on the whole batch, in every lane."""
        result = mean_of_shares(
            differentiated(objective, parameters, state, part, clock, in_turn=self.in_turn, at_once=self.at_once)
            for part in self.shares.of(batch)
        )
        return result if self.team is None else self.team.mean(result)

    def _moved(self, player: Player, gradient: Tensor, rate: Tensor, step: Tensor) -> tuple[Tensor, Moments]:
        """A player's parameters and moments after one step of Adam."""
        dynamics = self.method.dynamics
        return adam_fused(
            player.parameters,
            clipped(gradient, dynamics.clip),
            player.moments,
            step=step,
            rate=rate,
            betas=dynamics.betas,
            apart=self.in_turn,
        )

    def _clock(self, lanes: Lanes) -> Clock:
        """Where all lanes stand before an update."""
        progress = (lanes.critic_updates / self.spec.updates).clamp(max=1).to(self.dtype)
        return Clock(progress=progress, critic_step=lanes.critic_updates + 1)

    def _kept_share(self, step: Tensor) -> Tensor:
        """The share of the averaged generator that survives one generator update."""
        dynamics = self.method.dynamics
        longest = dynamics.ramp * step if dynamics.ramp else torch.full_like(step, dynamics.half_life)
        half_life = longest.clamp(max=dynamics.half_life).clamp(min=SHORTEST_HALF_LIFE)
        return torch.pow(0.5, 1 / half_life).to(self.dtype)

    def _averaged(self, lanes: Lanes, live: dict[str, Tensor], keep: Tensor) -> dict[str, Tensor]:
        """The generator's floating buffers averaged like its weights; counters are copied."""
        return {
            name: value.lerp(lanes.average_buffers[name], keep) if value.is_floating_point() else value.clone()
            for name, value in live.items()
        }
