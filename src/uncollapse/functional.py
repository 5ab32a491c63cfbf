"""The formulas of the parts as functions for anyone's own loop; the same code, without method, scene or lanes.

>>> import torch
>>> from torch import nn
>>> from uncollapse.functional import gradient_penalty
>>> critic = nn.Linear(2, 1, bias=False)
>>> _ = nn.init.constant_(critic.weight, 3.0)
>>> real, fake = torch.randn(8, 2), torch.randn(8, 2)
>>> round(gradient_penalty(critic, real=real, fake=fake, weight=1.0).item(), 3)  # (sqrt(18) - 1)^2
10.515
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from uncollapse.parts.penalties import mean_excess, mean_square

Critic = Callable[[Tensor], Tensor]


def gradient_penalty(
    critic: Critic,
    *,
    real: Tensor,
    fake: Tensor,
    weight: float = 10.0,
    one_sided: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``weight * E (||grad D(x_hat)|| - 1)^2`` on random points between real and fake samples.

    Args:
        critic: Samples (batch, ...) -> scores (batch,) or (batch, 1). A conditional critic must close over labels that
            real and fake samples share.
        real: (batch, ...).
        fake: (batch, ...), as many as real; no gradient flows to them.
        weight: lambda; 10 in the paper, 0.1 in its 2-D experiments.
        one_sided: Penalise only slopes above 1.
        generator: Source of the positions between real and fake.

    Returns:
        Scalar to be added to what the critic minimises.

    Reference: Gulrajani et al. 2017, arXiv:1704.00028.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real {tuple(real.shape)} and fake {tuple(fake.shape)} must have one shape to be paired.")
    shape = (len(real), *([1] * (real.ndim - 1)))
    between = torch.rand(shape, generator=generator, device=real.device, dtype=real.dtype)
    return weight * mean_excess(_slope(critic, torch.lerp(fake.detach(), real.detach(), between)), one_sided)


def zero_centred(critic: Critic, at: Tensor, *, weight: float = 1.0) -> Tensor:
    """``weight / 2 * E ||grad D(x)||^2``: R1 at real samples, R2 at fake samples.

    Args:
        critic: Samples (batch, ...) -> scores (batch,) or (batch, 1).
        at: (batch, ...), where the slope is pulled to zero.
        weight: gamma.

    Returns:
        Scalar to be added to what the critic minimises.

    Reference: Mescheder et al. 2018, arXiv:1801.04406.
    """
    return weight * mean_square(_slope(critic, at))


def _slope(critic: Critic, at: Tensor) -> Tensor:
    """Gradient of the summed score, differentiable again."""
    point = at.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(critic(point).sum(), point, create_graph=True)
    return slope
