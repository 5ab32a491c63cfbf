"""The critic of one update as a function of what it is shown: constrained weights, view, noise and buffers in place.

`game.py` makes one for every update and hands its judgements and slopes to the parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from uncollapse.calling import Tensors, called
from uncollapse.parts.scene import Judgement

if TYPE_CHECKING:
    from uncollapse.game import Game

REAL, FAKE, BOTH = "real", "fake", "both"


class Judge:
    """The critic of one update; keeps the buffers of its last counted pass.

    Args:
        game: Brings critic, view, loss and constraint.
        parameters: The critic's flat parameters (P,), before its constraint.
        buffers: Its buffers.
        noise: What the view drew: a row for each real item, then one for each fake.
        packs: Items of each kind.
    """

    def __init__(self, game: Game, parameters: Tensor, buffers: Tensors, noise: Tensors, packs: int) -> None:
        """Applies the constraint once, so that every pass of the update uses the same weights."""
        tensors = game.critic_layout.unpack(parameters)
        self.game = game
        self.noise = {
            BOTH: noise,
            REAL: {name: value[:packs] for name, value in noise.items()},
            FAKE: {name: value[packs:] for name, value in noise.items()},
        }
        self.tensors, constrained = game.method.constraint.reparameterise(tensors, buffers)
        self.buffers: Tensors = dict(constrained)

    def __call__(self, inputs: Tensor, context: Tensor | None, kind: str, *, keep: bool = False) -> Judgement:
        """The judgement of (packs, ...) inputs of one kind; with `keep` the pass counts in the buffers."""
        held = {name: value.clone() for name, value in self.buffers.items()}
        method, critic = self.game.method, self.game.critic
        shown = method.view.alter(inputs, self.noise[kind])
        judgement: Judgement = called(critic, self.tensors, held, (shown, context), bfloat16_on=self.game.bfloat16_on)
        if keep:
            self.buffers = held
        return method.loss.judge(judgement)

    def both(
        self, real: Tensor | None, fake: Tensor, real_context: Tensor | None, fake_context: Tensor | None
    ) -> tuple[Judgement | None, Judgement]:
        """Judges real and fake, in one concatenated pass where the view allows it."""
        if real is None:
            return None, self(fake, fake_context, FAKE, keep=True)
        # Samples that see each other within a pass must not see those of the other kind.
        if not self.game.method.view.joint or getattr(self.game.critic, "mixes", False):
            return self(real, real_context, REAL, keep=True), self(fake, fake_context, FAKE, keep=True)
        context = None if real_context is None or fake_context is None else torch.cat([real_context, fake_context])
        return self(torch.cat([real, fake]), context, BOTH, keep=True).split(len(real))

    def slope(self, inputs: Tensor, context: Tensor | None, kind: str) -> Tensor:
        """Gradient of the summed score at the inputs, (packs, ...)."""
        gradient, _ = self.game.differentiate(lambda at: (self(at, context, kind).score.sum(), ()), inputs)
        return gradient
