"""Dynamics: how the two players move, in steps, rates, averaging and unrolling.

Contract first (a schedule is a factor on both learning rates), then the schedules, then `Dynamics` itself.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.parts.scene import Part


class Schedule(Part):
    """Contract: a factor on the learning rates as a function of the share of the budget that is spent.

    The budget is counted in critic updates. A generator update follows the critic updates of its round and counts them
    as spent: the critic's first factor is that of 0, the generator's last one that of 1.
    """

    @abstractmethod
    def __call__(self, progress: Tensor) -> Tensor:
        """Scalar in [0, 1] -> scalar factor."""

    def for_critic(self, progress: Tensor) -> Tensor:
        """The factor on the critic's learning rate."""
        return self(progress)

    def for_generator(self, progress: Tensor) -> Tensor:
        """The factor on the generator's learning rate."""
        return self(progress)


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """No change."""

    def __call__(self, progress: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(progress)


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Falls from 1 to `final` along half a cosine; with `final` = 0 the last generator update changes nothing.

    Attributes:
        final: The factor at the end, in [0, 1].
    """

    follows_budget: ClassVar[bool] = True

    final: float = 0.0

    def __post_init__(self) -> None:
        """Refuses an end that is no factor."""
        if not 0 <= self.final <= 1:
            raise UserError(f"Cosine(final={self.final}) is not a factor from 0 to 1; choose one, as 0.1.")

    def __call__(self, progress: Tensor) -> Tensor:
        """``final + (1 - final) (1 + cos(pi p)) / 2``."""
        return self.final + (1 - self.final) * (1 + torch.cos(math.pi * progress)) / 2


@dataclass(frozen=True, kw_only=True)
class PerPlayer(Schedule):
    """A schedule for each player: a critic that still learns fast follows a generator that comes to rest.

    With one schedule that falls to 0 both freeze where they are, modes a little beside their place and too narrow.
    Two time-scales: Heusel et al. 2017, arXiv:1706.08500, there as two constant rates.

    Attributes:
        critic: Of the critic's learning rate; of a penalty's weight, where it is that of a penalty.
        generator: Of the generator's learning rate.
    """

    critic: Schedule = Constant()
    generator: Schedule = Cosine()

    def __call__(self, progress: Tensor) -> Tensor:
        """The critic's factor."""
        return self.for_critic(progress)

    def for_critic(self, progress: Tensor) -> Tensor:
        """That of the critic's schedule."""
        return self.critic.for_critic(progress)

    def for_generator(self, progress: Tensor) -> Tensor:
        """That of the generator's schedule."""
        return self.generator.for_generator(progress)


class Foresight(Part):
    """Contract: how much of an unrolled critic step the generator's gradient knows of."""

    def known(self, value: Tensor) -> Tensor:
        """A tensor of a foreseen step as the generator's gradient sees it."""
        return value


@dataclass(frozen=True, kw_only=True)
class ThroughSteps(Foresight):
    """The gradient flows through every foreseen critic step, as in the paper.

    Reference: Metz et al. 2017, arXiv:1611.02163.
    """


@dataclass(frozen=True, kw_only=True)
class LookAhead(Foresight):
    """The foreseen critic is taken as it is: only the direct part of the gradient, as in most copies of unrolling."""

    def known(self, value: Tensor) -> Tensor:
        """The value alone."""
        return value.detach()


@dataclass(frozen=True, kw_only=True)
class Dynamics(Part):
    """How the players move.

    Attributes:
        critic_steps: Critic updates in a round.
        generator_steps: Generator updates in a round.
        lr_critic: Adam's learning rate of the critic.
        lr_generator: Adam's learning rate of the generator.
        betas: Adam's two decay rates, each in [0, 1).
        schedule: Factor on both learning rates over the run, or one for each (`PerPlayer`).
        half_life: Half-life of the averaged generator in generator updates; 0 means no averaging.
        ramp: The half-life is at most this share of the generator updates so far, so that early weights are forgotten.
        unroll: Critic steps that the generator foresees (Metz et al. 2017, arXiv:1611.02163); 0 for none.
        foresight: What the generator's gradient knows of the foreseen steps.
        clip: Largest norm of a player's gradient, for each seed on its own; 0 for no limit.
    """

    critic_steps: int = 1
    generator_steps: int = 1
    lr_critic: float = 2e-4
    lr_generator: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Schedule = Constant()
    half_life: float = 500.0
    ramp: float = 0.05
    unroll: int = 0
    foresight: Foresight = ThroughSteps()
    clip: float = 0.0

    def __post_init__(self) -> None:
        """Refuses numbers that cannot train, each with its sentence."""
        if all(isinstance(beta, int | float) for beta in self.betas):
            object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        for name in ("critic_steps", "generator_steps"):
            if getattr(self, name) < 1:
                raise UserError(f"dynamics.{name} = {getattr(self, name)} is not a whole number of 1 or more.")
        for name in ("lr_critic", "lr_generator"):
            if getattr(self, name) <= 0:
                raise UserError(f"dynamics.{name} = {getattr(self, name)} is not above 0; 2e-4 is a usual value.")
        for name in ("half_life", "ramp", "unroll", "clip"):
            if getattr(self, name) < 0:
                raise UserError(f"dynamics.{name} = {getattr(self, name)} is negative; 0 switches it off.")
        if len(self.betas) != 2 or not all(isinstance(beta, float) and 0 <= beta < 1 for beta in self.betas):
            raise UserError(
                f"dynamics.betas = {list(self.betas)} must be two numbers in [0, 1), for example [0.5, 0.999]."
            )

    def critic_rate(self, progress: Tensor) -> Tensor:
        """The critic's learning rate at a share of the budget."""
        return self.lr_critic * self.schedule.for_critic(progress)

    def generator_rate(self, progress: Tensor) -> Tensor:
        """The generator's learning rate at a share of the budget."""
        return self.lr_generator * self.schedule.for_generator(progress)

    def whole_rounds(self, updates: float) -> int:
        """Critic updates after the first whole number of rounds that holds `updates` of them.

        >>> Dynamics(critic_steps=5).whole_rounds(12), Dynamics(critic_steps=5).whole_rounds(15)
        (15, 15)
        """
        return math.ceil(math.ceil(updates) / self.critic_steps) * self.critic_steps


PARTS: tuple[type[Part], ...] = (Constant, Cosine, PerPlayer, ThroughSteps, LookAhead, Dynamics)
