"""The first update of a pair of the user's own networks, rehearsed on a small drawn batch; nothing is trained by it.

`own` rehearses after `fitting` has found that each network by itself does what it should.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from uncollapse.draws import stream
from uncollapse.errors import UserError
from uncollapse.game import Batch, Clock, Game, Layout, Player, State
from uncollapse.method import Method
from uncollapse.networks.adapters import OwnCritic
from uncollapse.networks.fitting import generator_inputs
from uncollapse.optimiser import Moments
from uncollapse.parts.constraints import initial_buffers, reparameterised
from uncollapse.parts.scene import Sizes
from uncollapse.source_code import failure


def rehearse(method: Method, sizes: Sizes, generator: nn.Module, critic: nn.Module) -> None:
    """Refuses a pair whose first objectives or their gradients fail or are not finite.

    Raises:
        UserError: With what torch says of it.
    """
    game = Game.of(method, generator, critic)
    batch = _batch(method, sizes)
    if isinstance(critic, OwnCritic) and critic.starts_from_data and batch.real is not None:
        with torch.no_grad(), reparameterised(critic, method.constraint):
            critic.start(batch.real, batch.labels)
    clock = Clock(torch.zeros(()), torch.ones((), dtype=torch.float64))
    constrained = initial_buffers(method.constraint, critic)
    state = State(_player(critic, constrained), _player(generator, {}), method.loss.init_state())
    seen = batch if method.generator_sees_real else batch._replace(real=None)
    for role, objective, player, shown in (
        ("critic", game.critic_objective, state.critic, batch),
        ("generator", game.generator_objective, state.generator, seen),
    ):
        leaf = player.parameters.detach().requires_grad_()
        try:
            value, _ = objective(leaf, state, shown, clock)
            # `grad` would pass over layers that cannot be differentiated twice without a word.
            value.backward()  # type: ignore[no-untyped-call]
        except Exception as error:
            said = failure(error)
            raise UserError(
                f"The first {role} update of {method.name} fails with your networks: {said}; {_advice(said)}."
            ) from error
        if leaf.grad is None or not bool(value.isfinite() & leaf.grad.isfinite().all()):
            raise UserError(
                f"The first {role} loss of {method.name} or its gradient is not finite with your networks (loss"
                f" {float(value.detach()):g}); check their weights, and return features in a Judgement if a part reads"
                " them."
            )


def _advice(said: str) -> str:
    """What to do about what torch says of a failed update."""
    if re.search(r"in-?place", said):
        return "a layer overwrites what its gradient needs, as add_(), x[...] = or inplace=True do; write a new tensor"
    return "their layers must be differentiable, and twice so under a penalty on slopes"


def _batch(method: Method, sizes: Sizes) -> Batch:
    """One drawn batch of a trial."""
    draw = stream(0, "trial update")
    laws = {"uniform": draw.uniform, "normal": draw.normal}
    latent, *labels = generator_inputs(method, sizes)
    many = sizes.generators > 1
    return Batch(
        latent=latent,
        real=2 * draw.uniform(sizes.batch, *sizes.shape) - 1,
        labels=one_hot(labels[0], sizes.classes).float() if labels else None,
        generator_index=one_hot(draw.integers(sizes.generators, sizes.batch), sizes.generators).float()
        if many
        else None,
        noise={name: laws[law](*shape) for name, (law, shape) in method.noise(sizes).items()},
    )


def _player(network: nn.Module, extra: Mapping[str, Tensor]) -> Player:
    named = {name: value.detach() for name, value in network.named_parameters()}
    flat = Layout(named).pack(named)
    buffers = {name: value.detach().clone() for name, value in network.named_buffers()}
    return Player(flat, Moments(torch.zeros_like(flat), torch.zeros_like(flat)), {**buffers, **extra})
