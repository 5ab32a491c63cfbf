"""A scene made by hand, for testing one part without a game."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from uncollapse.game import differentiate_alone
from uncollapse.parts.scene import Judgement, Scene


def staged(
    *, critic: Callable[[Tensor], Tensor] = lambda x: x.flatten(1).sum(-1), real: Tensor, fake: Tensor, **fields: Any
) -> Scene:
    """The scene of a critic given as a function of samples to scores; any field can be replaced."""

    def judge(inputs: Tensor) -> Judgement:
        return Judgement(score=critic(inputs), features=inputs.flatten(1))

    made: dict[str, Any] = {
        "real": real,
        "fake": fake,
        "real_samples": real,
        "fake_samples": fake,
        "latent": torch.zeros(len(fake), 1),
        "labels": None,
        "generator_index": None,
        "noise": {},
        "progress": torch.zeros((), dtype=fake.dtype),
        "real_judgement": judge(real),
        "fake_judgement": judge(fake),
        "critic": judge,
        "slope": lambda inputs: differentiate_alone(lambda at: (critic(at).sum(), ()), inputs)[0],
        "generate": lambda latent: fake,
        "encode": None,
    }
    return Scene(**{**made, **fields})
