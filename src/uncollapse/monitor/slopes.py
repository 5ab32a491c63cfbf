"""The slopes of a critic on real rows and on fakes; where they part, the critic has left the generator behind."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.monitor.encoding import as_samples
from uncollapse.monitor.verdict import Sign

NAME = "critic_slope_gap"
Critic = Callable[[Tensor], object]


def slope_gap(critic: Critic, *, real: Tensor, fake: Tensor) -> Sign:
    """Mean slope on fakes minus that on real rows; the slope is the norm of the score's gradient with respect to x.

    No gradient reaches a parameter.

    Args:
        critic: A function of a batch, such as a network; of several outputs the first is the score.
        real: (r, ...) real rows in the critic's own scale.
        fake: (m, ...) finite fakes; as many are looked at as there are real rows.

    Raises:
        UserError: The critic gives no score that depends on its input.
    """
    if real[0].numel() != fake[0].numel():
        raise UserError(
            f"critic= needs real rows and fakes of one shape; the reference has rows of {tuple(real.shape[1:])} and "
            f"the fakes {tuple(fake.shape[1:])}."
        )
    real = real.to(fake.device, fake.dtype).reshape(len(real), *fake.shape[1:])
    slopes = [_mean_slope(critic, x) for x in (real, fake[: len(real)])]
    return Sign(
        name=NAME, value=slopes[1] - slopes[0],
        sentence=f"The critic's mean slope is {slopes[1]:.3g} on fakes and {slopes[0]:.3g} on real rows.",
    )  # fmt: skip


def _mean_slope(critic: Critic, x: Tensor) -> float:
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        found = critic(x)
        score = found[0] if isinstance(found, tuple | list) else getattr(found, "score", found)
        gradient: Tensor | None = None
        if isinstance(score, Tensor) and score.requires_grad:
            (gradient,) = torch.autograd.grad(score.sum(), x, allow_unused=True)
    if gradient is None:
        raise UserError(f"critic= must give scores (m,) that depend on its input, not {type(found).__name__}.")
    return float(as_samples(gradient, name="gradient").flatten(1).norm(dim=1).mean())
