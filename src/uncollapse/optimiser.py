"""One Adam rule, element-wise, so that it acts on one seed or on a stack of seeds: written out, and as torch's kernel.

An unrolled generator differentiates through `adam`; the loop, which differentiates nothing, takes the same step with
`adam_fused` in one pass over the memory. Both equal `torch.optim.Adam`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam as torch_adam

EPSILON = 1e-8

# Keeps the derivative of the square root finite where a second moment is exactly zero; it vanishes beside EPSILON.
ROOT_FLOOR = 1e-36


def clipped(gradient: Tensor, limit: float) -> Tensor:
    """(..., P): each row no longer than the limit; 0 means no limit."""
    if not limit:
        return gradient
    norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    scaled: Tensor = gradient * (limit / norm.clamp(min=limit))
    return scaled


class Moments(NamedTuple):
    """Adam's running means of the gradient and of its square, each shaped like the parameters."""

    first: Tensor
    second: Tensor


def adam(
    parameters: Tensor,
    gradient: Tensor,
    moments: Moments,
    *,
    step: Tensor,
    rate: Tensor | float,
    betas: tuple[float, float],
) -> tuple[Tensor, Moments]:
    """One Adam step, without side effects.

    ``m' = b1 m + (1 - b1) g``, ``v' = b2 v + (1 - b2) g^2``,
    ``p' = p - rate m' / (1 - b1^step) / (sqrt(v' / (1 - b2^step)) + 1e-8)``.

    Args:
        parameters: Any shape.
        gradient: The same shape.
        moments: The same shape each.
        step: Scalar, number of this step counted from 1; a float64 tensor, so that a CUDA graph can replay it.
        rate: Learning rate.
        betas: The two decay rates.

    Returns:
        The new parameters and moments.

    Reference: Kingma and Ba 2015, arXiv:1412.6980.
    """
    slow, fast = betas
    first = moments.first.lerp(gradient, 1 - slow)
    second = (moments.second * fast).addcmul(gradient, gradient, value=1 - fast)
    scale = (second / (1 - fast**step) + ROOT_FLOOR).sqrt() + EPSILON
    return parameters - first * (rate / (1 - slow**step)) / scale, Moments(first, second)


def adam_fused(
    parameters: Tensor,
    gradient: Tensor,
    moments: Moments,
    *,
    step: Tensor,
    rate: Tensor | float,
    betas: tuple[float, float],
    apart: bool = False,
) -> tuple[Tensor, Moments]:
    """The same step as `adam` by torch's fused kernel; nothing given is changed, and no gradient flows through it.

    Args:
        parameters: Any shape.
        gradient: The same shape.
        moments: The same shape each.
        step: Scalar, number of this step counted from 1.
        rate: Learning rate.
        betas: The two decay rates.
        apart: Whether the first axis counts players that are to move to the bit as each would alone; the kernel rounds
            the last few numbers of a tensor otherwise than those before.

    Returns:
        The new parameters and moments.
    """
    moved, first, second = parameters.clone(), moments.first.clone(), moments.second.clone()
    kinds = (moved, gradient, first, second)
    players, gradients, firsts, seconds = (list(whole.unbind()) if apart else [whole] for whole in kinds)
    torch_adam(
        players,
        gradients,
        firsts,
        seconds,
        [],
        [(step - 1).float() for _ in players],  # the kernel counts the step itself
        fused=True,
        amsgrad=False,
        beta1=betas[0],
        beta2=betas[1],
        lr=rate.float() if isinstance(rate, Tensor) and rate.is_cuda else rate,  # CUDA's kernel reads a float32
        weight_decay=0.0,
        eps=EPSILON,
        maximize=False,
    )
    return moved, Moments(first, second)
