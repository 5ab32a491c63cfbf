"""Turns a method into two pure objectives of one run, the critic's and the generator's; names no concrete part.

`loop.py` lifts both over seeds. Parameters are one flat vector a player, so that a stack of seeds is one matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from uncollapse.calling import Encoder, Tensors, called, under
from uncollapse.judge import FAKE, REAL, Judge
from uncollapse.method import Method
from uncollapse.optimiser import Moments, adam, clipped
from uncollapse.parts.scene import Judgement, Scene


class Player(NamedTuple):
    """One network of one run: flat parameters (P,), Adam's moments (P,) and named buffers."""

    parameters: Tensor
    moments: Moments
    buffers: Tensors


class State(NamedTuple):
    """All that one run carries from update to update, except the averaged generator."""

    critic: Player
    generator: Player
    loss: Tensors


class Batch(NamedTuple):
    """What one update is given: everything that is drawn; fields that a method does not need are None.

    Attributes:
        latent: (batch, latent).
        real: (batch, *shape).
        labels: (batch, classes) one-hot.
        generator_index: (batch, generators) one-hot.
        noise: Numbers that parts asked for, by name.
    """

    latent: Tensor
    real: Tensor | None
    labels: Tensor | None
    generator_index: Tensor | None
    noise: Tensors


class Clock(NamedTuple):
    """Where a run stands, shared by all seeds: progress in [0, 1] and the number of the critic's next Adam step."""

    progress: Tensor
    critic_step: Tensor


class Outcome(NamedTuple):
    """What an objective leaves behind besides its value."""

    critic_buffers: Tensors
    generator_buffers: Tensors
    loss: Tensors


Differentiate = Callable[[Callable[[Tensor], tuple[Tensor, Any]], Tensor], tuple[Tensor, Any]]


def differentiate_alone(function: Callable[[Tensor], tuple[Tensor, Any]], at: Tensor) -> tuple[Tensor, Any]:
    """Gradient of (value, aux) = function(at) by plain autograd, differentiable again; for a run that is not lifted."""
    point = at if at.requires_grad else at.detach().requires_grad_()
    with torch.enable_grad():
        value, aux = function(point)
        (gradient,) = torch.autograd.grad(value, point, create_graph=True)
    return gradient, aux


def differentiate_lifted(function: Callable[[Tensor], tuple[Tensor, Any]], at: Tensor) -> tuple[Tensor, Any]:
    """The same by `torch.func`, which composes with vmap."""
    gradient, aux = torch.func.grad(function, has_aux=True)(at)
    return gradient, aux


class Layout:
    """Where each named tensor of a network stands in its flat vector.

    Args:
        tensors: The named tensors of one network, in order.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Notes names, shapes and sizes."""
        self.shapes = {name: tuple(value.shape) for name, value in tensors.items()}
        self.sizes = [math.prod(shape) for shape in self.shapes.values()]

    @property
    def size(self) -> int:
        """Numbers in the flat vector."""
        return sum(self.sizes)

    def unpack(self, flat: Tensor) -> Tensors:
        """(..., P) -> named views (..., *shape)."""
        pieces = torch.split(flat, self.sizes, -1)
        return {
            name: piece.view(*piece.shape[:-1], *shape)
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def pack(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Named tensors (..., *shape) -> (..., P), with any number of leading axes."""
        pieces = []
        for name, shape in self.shapes.items():
            value = tensors[name]
            lead = value.shape[: value.ndim - len(shape)]
            pieces.append(value.reshape(*lead, -1))
        return torch.cat(pieces, -1)


@dataclass(frozen=True)
class Game:
    """The two objectives of a method on a pair of networks.

    Attributes:
        method: What is played.
        generator: Skeleton of the generator; its own parameters are not used.
        critic: Skeleton of the critic; its own parameters are not used.
        differentiate: How gradients inside an objective are taken: alone or lifted.
        bfloat16_on: Type of the device on which the networks' layers compute in bfloat16; empty for full precision.
    """

    method: Method
    generator: nn.Module
    critic: nn.Module
    generator_layout: Layout
    critic_layout: Layout
    differentiate: Differentiate = differentiate_alone
    bfloat16_on: str = ""

    @classmethod
    def of(
        cls,
        method: Method,
        generator: nn.Module,
        critic: nn.Module,
        differentiate: Differentiate = differentiate_alone,
        *,
        bfloat16_on: str = "",
    ) -> Game:
        """The game of a method on two networks."""
        layouts = Layout(dict(generator.named_parameters())), Layout(dict(critic.named_parameters()))
        return cls(method, generator, critic, *layouts, differentiate, bfloat16_on)

    @cached_property
    def encoder(self) -> Encoder:
        """Skeleton of the generator's way back, made once because its structure is asked for in every call."""
        return Encoder(self.generator)

    def generate(self, parameters: Tensor, buffers: Tensors, batch: Batch) -> tuple[Tensor, Tensors]:
        """Samples (batch, *shape) of a generator, and its buffers afterwards."""
        held = {name: value.clone() for name, value in buffers.items()}
        given = (batch.latent, batch.labels, batch.generator_index)
        tensors = self.generator_layout.unpack(parameters)
        samples: Tensor = called(self.generator, tensors, held, given, bfloat16_on=self.bfloat16_on)
        return samples, held

    def critic_objective(self, parameters: Tensor, state: State, batch: Batch, clock: Clock) -> tuple[Tensor, Outcome]:
        """What the critic minimises at `parameters`; scalar."""
        scene, buffers = self._stage(parameters, state.generator.parameters, state, batch, clock)
        real, fake, told = _given(scene.real_judgement), scene.fake_judgement, _heard(scene, "loss.")
        value = self.method.loss.critic(real, fake, state.loss, told)
        for position, penalty in enumerate(self.method.penalties):
            value = value + penalty(_heard(scene, f"penalties.{position}."))
        return value, Outcome(*buffers, state.loss)

    def generator_objective(
        self, parameters: Tensor, state: State, batch: Batch, clock: Clock
    ) -> tuple[Tensor, Outcome]:
        """What the generator minimises at `parameters`; scalar. With unrolling, the critic is the one it foresees."""
        critic = self._foreseen_critic(parameters, state, batch, clock)
        scene, buffers = self._stage(critic, parameters, state, batch, clock)
        real, fake, told = scene.real_judgement, scene.fake_judgement, _heard(scene, "loss.")
        value = self.method.loss.generator(real, fake, told)
        for position, term in enumerate(self.method.generator_terms):
            value = value + term(_heard(scene, f"generator_terms.{position}."))
        following = self.method.loss.next_state(state.loss, real, fake, told)
        return value, Outcome(*buffers, dict(following))

    def _foreseen_critic(self, generator: Tensor, state: State, batch: Batch, clock: Clock) -> Tensor:
        """The critic after `unroll` steps of its own Adam, as a function of the generator."""
        dynamics = self.method.dynamics
        parameters, moments = state.critic.parameters, state.critic.moments
        known = dynamics.foresight.known
        ahead = state._replace(generator=state.generator._replace(parameters=known(generator)))
        for step in range(dynamics.unroll):
            gradient, _ = self.differentiate(lambda at: self.critic_objective(at, ahead, batch, clock), parameters)
            gradient = clipped(gradient, dynamics.clip)
            rate = dynamics.critic_rate(clock.progress)
            parameters, moments = adam(
                parameters, gradient, moments, step=clock.critic_step + step, rate=rate, betas=dynamics.betas
            )
            parameters, moments = known(self.project(parameters)), Moments(*map(known, moments))
        return parameters

    def project(self, critic: Tensor) -> Tensor:
        """The critic's flat parameters after a step, put back where the constraint allows them."""
        if not self.method.constraint.projects:
            return critic
        return self.critic_layout.pack(self.method.constraint.project(self.critic_layout.unpack(critic)))

    def _stage(
        self, critic: Tensor, generator: Tensor, state: State, batch: Batch, clock: Clock
    ) -> tuple[Scene, tuple[Tensors, Tensors]]:
        """The scene of one update, and both players' buffers afterwards."""
        pack, condition = self.method.view.pack, self.method.conditioning
        generator_tensors = self.generator_layout.unpack(generator)
        fake_samples, generator_buffers = self.generate(generator, state.generator.buffers, batch)

        def encode(samples: Tensor) -> Tensor:
            tensors = under("network", generator_tensors)
            # Weights that the user froze are buffers, and each seed has its own.
            held = under("network", {name: value.clone() for name, value in state.generator.buffers.items()})
            encoded: Tensor = called(self.encoder, tensors, held, (samples,), bfloat16_on=self.bfloat16_on)
            return encoded

        def generate(latent: Tensor) -> Tensor:
            return self.generate(generator, state.generator.buffers, batch._replace(latent=latent))[0]

        real_samples = batch.real
        fake, fake_context = pack(fake_samples), condition.context(batch.labels, lambda: batch.latent)
        fake_context = None if fake_context is None else pack(fake_context)
        real = None if real_samples is None else pack(real_samples)
        real_context = None
        if real_samples is not None:
            real_context = condition.context(batch.labels, lambda: encode(real_samples))
            real_context = None if real_context is None else pack(real_context)
        judge = Judge(self, critic, state.critic.buffers, _own(batch.noise, "view."), len(fake))
        real_judgement, fake_judgement = judge.both(real, fake, real_context, fake_context)
        scene = Scene(
            real=real,
            fake=fake,
            real_samples=real_samples,
            fake_samples=fake_samples,
            latent=batch.latent,
            labels=batch.labels,
            generator_index=batch.generator_index,
            noise=batch.noise,
            progress=clock.progress,
            real_judgement=real_judgement,
            fake_judgement=fake_judgement,
            critic=lambda inputs: judge(inputs, fake_context, FAKE),
            # An encoding conditioning tells the critic something else of real samples than of fakes.
            slope=lambda inputs: (
                judge.slope(inputs, real_context, REAL) if inputs is real else judge.slope(inputs, fake_context, FAKE)
            ),
            generate=generate,
            encode=encode if condition.encodes else None,
        )
        return scene, (judge.buffers, generator_buffers)


def _heard(scene: Scene, owner: str) -> Scene:
    """The scene with the numbers that were drawn for one part, under the names that the part gave them."""
    return replace(scene, noise=_own(scene.noise, owner)) if scene.noise else scene


def _own(noise: Mapping[str, Tensor], owner: str) -> Tensors:
    """The numbers of one part, under the names that it gave them."""
    return {name.removeprefix(owner): value for name, value in noise.items() if name.startswith(owner)}


def _given(judgement: Judgement | None) -> Judgement:
    if judgement is None:
        raise RuntimeError("a critic step has no real batch")
    return judgement
