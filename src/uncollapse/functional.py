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

from typing import Any

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.functional_checks import (
    Critic,
    check_critic,
    check_floats,
    check_generator,
    check_pairs,
    check_rows,
    check_scores,
    check_switch,
    check_taken,
    check_types,
    check_weight,
    check_widths,
    no_slope,
    told,
)
from uncollapse.parts import generator_terms
from uncollapse.parts.generator_terms import DeterminantalPointProcess
from uncollapse.parts.losses import Loss
from uncollapse.parts.penalties import mean_excess, mean_square, neighbours
from uncollapse.parts.scene import Judgement, Sizes


def critic_loss(loss: Loss, *, real: Tensor, fake: Tensor) -> Tensor:
    """What the critic minimises in a loss that is made of scores, such as `Hinge` or `Relativistic`.

    Args:
        loss: A part of `uncollapse.parts.losses`; its docstring has the equation and the source.
        real: Scores of real samples (batch,) or (batch, 1); higher = more real.
        fake: Scores of generated samples, made from samples that carry no graph.

    Returns:
        Scalar.

    >>> from uncollapse.parts.losses import Hinge
    >>> real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 1.0])
    >>> critic_loss(Hinge(), real=real, fake=fake).item()  # (0 + 1 + 0 + 2) / 2
    1.5
    """
    _check_loss(loss)
    first, second = _judged(real, "real"), _judged(fake, "fake")
    if loss.generator_sees_real and not loss.separate:
        check_pairs(real, fake)
    return loss.critic(first, second, {}, _NoScene(loss))  # type: ignore[arg-type]


def generator_loss(loss: Loss, *, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """What the generator minimises in a loss that is made of scores.

    Args:
        loss: A part of `uncollapse.parts.losses`; its docstring has the equation and the source.
        fake: Scores of generated samples (batch,) or (batch, 1); higher = more real.
        real: Scores of real samples, for the losses whose generator sees them (`Relativistic`, `Minimax`).

    Returns:
        Scalar.

    >>> from uncollapse.parts.losses import LeastSquares
    >>> generator_loss(LeastSquares(), fake=torch.tensor([1.0, -1.0])).item()  # (0 + 4) / 2 / 2
    1.0
    """
    _check_loss(loss)
    if loss.generator_sees_real and real is None:
        raise UserError(f"The generator of {type(loss).__name__} sees real samples; give their scores as real=.")
    if loss.generator_sees_real and not loss.separate and real is not None:
        check_pairs(real, fake)
    seen = None if real is None else _judged(real, "real")
    return loss.generator(seen, _judged(fake, "fake"), _NoScene(loss))  # type: ignore[arg-type]


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
        critic: Samples (batch, ...) -> scores (batch,) or (batch, 1), each sample judged alone: no batch norm, no
            minibatch discrimination. A conditional critic must close over labels that real and fake samples share. Of
            an `nn.Packed` one give its `.critic`, and both sides as `nn.packed`.
        real: (batch, ...).
        fake: (batch, ...), as many as real; no gradient flows to them.
        weight: lambda; 10 in the paper, 0.1 in its authors' code for points in the plane.
        one_sided: Penalise only slopes above 1.
        generator: Source of the positions between real and fake.

    Returns:
        Scalar to be added to what the critic minimises.

    Reference: Gulrajani et al. 2017, arXiv:1704.00028.

    >>> real, fake = torch.zeros(4, 2), torch.ones(4, 2)
    >>> gradient_penalty(lambda x: 3 * x[:, 0], real=real, fake=fake).item()  # 10 (3 - 1)^2
    40.0
    """
    check_floats(real, "real")
    check_floats(fake, "fake")
    check_pairs(real, fake)
    check_types(real, fake)
    check_weight(weight)
    check_switch(one_sided, "one_sided")
    check_generator(generator, real)
    between = torch.rand(_column(real), generator=generator, device=real.device, dtype=real.dtype)
    return weight * mean_excess(_slope(critic, torch.lerp(fake.detach(), real.detach(), between)), one_sided)


def dragan_penalty(
    critic: Critic,
    *,
    real: Tensor,
    weight: float = 10.0,
    spread: float = 0.5,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``weight * E (||grad D(x + e s u)|| - 1)^2`` around real samples, ``s = spread * std(x)``, e and u uniform.

    Args:
        critic: Samples (batch, ...) -> scores (batch,) or (batch, 1), each sample judged alone: no batch norm, no
            minibatch discrimination.
        real: (batch, ...).
        weight: lambda.
        spread: Size of the neighbourhood in standard deviations of the batch.
        generator: Source of directions u and distances e.

    Returns:
        Scalar to be added to what the critic minimises.

    Reference: Kodali et al. 2017, arXiv:1705.07215.

    >>> dragan_penalty(lambda x: 3 * x[:, 0], real=torch.randn(4, 2)).item()  # 10 (3 - 1)^2
    40.0
    """
    check_floats(real, "real")
    check_weight(weight)
    check_weight(spread, "spread")
    check_generator(generator, real)
    like: dict[str, Any] = {"generator": generator, "device": real.device, "dtype": real.dtype}
    direction, distance = torch.rand(real.shape, **like), torch.rand(len(real), **like)
    around = neighbours(real.detach(), direction, distance, spread)
    return weight * mean_excess(_slope(critic, around), one_sided=False)


def zero_centred(critic: Critic, at: Tensor, *, weight: float = 1.0) -> Tensor:
    """``weight / 2 * E ||grad D(x)||^2``: R1 at real samples, R2 at fake samples.

    Args:
        critic: Samples (batch, ...) -> scores (batch,) or (batch, 1), each sample judged alone: no batch norm, no
            minibatch discrimination.
        at: (batch, ...), where the slope is pulled to zero.
        weight: gamma.

    Returns:
        Scalar to be added to what the critic minimises.

    Reference: Mescheder et al. 2018, arXiv:1801.04406.

    >>> zero_centred(lambda x: 3 * x[:, 0], torch.zeros(4, 2)).item()  # 3^2 / 2
    4.5
    """
    check_floats(at, "at")
    check_weight(weight)
    return weight * mean_square(_slope(critic, at))


def pulling_away(codes: Tensor) -> Tensor:
    """``1 / (N (N - 1)) sum_{i != j} cos(S_i, S_j)^2``: 0 for orthogonal codes, 1 for codes on one line.

    Args:
        codes: (N, d) codes of generated samples, N of 2 or more.

    Returns:
        Scalar in [0, 1] to be added to what the generator minimises, times 0.1 in the paper.

    Reference: Zhao et al. 2017, arXiv:1609.03126.

    >>> pulling_away(torch.tensor([[3.0, 0.0], [0.0, 2.0]])).item()
    0.0
    """
    check_rows(codes, "codes")
    if len(codes) < 2:
        raise UserError("One code has no other to be pulled away from; give two or more.")
    return generator_terms.pulling_away(codes)


def mode_seeking(*, first: Tensor, second: Tensor, first_latent: Tensor, second_latent: Tensor) -> Tensor:
    """``1 / (mean |G(z1) - G(z2)| / mean |z1 - z2| + 1e-5)``: large where different latents give alike samples.

    Args:
        first: G(z1), (batch, ...).
        second: G(z2), the same shape (and the same labels).
        first_latent: z1, (batch, latent).
        second_latent: z2, the same shape.

    Returns:
        Scalar to be added to what the generator minimises, times 1 in the paper.

    Reference: Mao et al. 2019, arXiv:1903.05628.

    >>> z1, z2 = torch.zeros(4, 2), torch.ones(4, 2)
    >>> round(mode_seeking(first=2 * z1, second=2 * z2, first_latent=z1, second_latent=z2).item(), 3)
    0.5
    """
    pairs = {"first": first, "second": second, "first_latent": first_latent, "second_latent": second_latent}
    for name, rows in pairs.items():
        check_floats(rows, name)
    check_pairs(first, second, "first", "second")
    check_pairs(first_latent, second_latent, "first_latent", "second_latent")
    if len(first) != len(first_latent):
        raise UserError(
            f"first has {len(first)} samples and first_latent {len(first_latent)} latents; give one latent a sample."
        )
    return generator_terms.mode_seeking(first, second, first_latent, second_latent)


def gdpp(
    *, real: Tensor, fake: Tensor, magnitude: float = 1e-4, top: int = 8, gap: float = 1e-3, weight: float = 1.0
) -> Tensor:
    """How differently real and fake features vary: eigenvalues and eigenvectors of F^T F with unit rows F.

    Args:
        real: Critic features of real samples (N, d).
        fake: Critic features of generated samples (N, d).
        magnitude: Weight of the eigenvalues.
        top: Directions compared.
        gap: Eigenvalues closer than this are not told apart.
        weight: Weight of the whole term.

    Returns:
        Scalar to be added to what the generator minimises; the equation is that of
        `uncollapse.parts.generator_terms.DeterminantalPointProcess`.

    Reference: Elfeki et al. 2019, arXiv:1812.00802.

    >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> round(gdpp(real=features, fake=features).item(), 5)
    0.0
    """
    check_widths(real, fake)
    part = DeterminantalPointProcess(weight=weight, magnitude=magnitude, top=top, gap=gap)
    return part.of(real, fake)


def bures_distance(*, real: Tensor, fake: Tensor) -> Tensor:
    """``tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2`` with A, B = F^T F of real and fake features F.

    F is centred and then scaled to unit rows. A and B are sums and no means, as in the code that goes with the paper:
    the value, and what a weight means, grows with N.

    Args:
        real: Critic features of real samples (N, d).
        fake: Critic features of generated samples (N, d).

    Returns:
        Scalar to be added to what the generator minimises.

    Reference: De Meulemeester et al. 2020, arXiv:2006.09096.

    >>> features = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> abs(bures_distance(real=features, fake=features).item()) < 1e-3
    True
    """
    check_widths(real, fake)
    common = torch.promote_types(real.dtype, fake.dtype)
    return generator_terms.bures_distance(real.to(common), fake.to(common))


def _slope(critic: Critic, at: Tensor) -> Tensor:
    """Gradient of the summed score, differentiable again."""
    check_critic(critic)
    point = at.detach().requires_grad_()
    with torch.enable_grad():
        try:
            score = critic(point)
        except RuntimeError as error:
            check_taken(critic, point, error)
            raise
        check_scores(score, point)
        (slope,) = torch.autograd.grad(score.sum(), point, create_graph=True, allow_unused=True)
    if slope is None:
        raise no_slope()
    return slope


def _column(samples: Tensor) -> tuple[int, ...]:
    """The shape of one number for each sample that multiplies all of it."""
    return (len(samples), *([1] * (samples.ndim - 1)))


def _judged(scores: Tensor, name: str) -> Judgement:
    """Scores (batch,) or (batch, 1) as a judgement."""
    if not isinstance(scores, Tensor) or scores.ndim == 0 or scores.numel() != len(scores):
        raise UserError(f"{name} must be scores (batch,) or (batch, 1), not {told(scores)}; give one a sample.")
    if not scores.is_floating_point() or not len(scores):
        raise UserError(f"{name} must be at least one score as the critic gives it, a float, not {told(scores)}.")
    flat = scores.reshape(-1)
    return Judgement(score=flat, features=flat.unsqueeze(-1))


def _check_loss(loss: Loss) -> None:
    """Refuses what is no loss, and a loss that cannot be computed from scores alone."""
    if not isinstance(loss, Loss):
        other = repr(loss) if isinstance(loss, str) else f"one of type {type(loss).__name__}"
        given = f"the class {loss.__name__}" if isinstance(loss, type) else other
        raise UserError(f"loss must be a loss with its settings, as uc.Hinge(), not {given}.")
    if loss.reads != "score" or loss.heads(Sizes(shape=(1,), latent=1, generators=2)) or loss.init_state():
        raise _more_than_scores(loss)


def _more_than_scores(loss: Loss) -> UserError:
    name = type(loss).__name__
    return UserError(
        f"{name} needs more than scores; train a method with loss={name}(), or call a loss such as Hinge()."
    )


class _NoScene:
    """Stands where a method would give a scene, for losses that do not look at it."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def __getattr__(self, name: str) -> Any:
        raise _more_than_scores(self._loss)
