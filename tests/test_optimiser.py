"""The Adam rule against `torch.optim.Adam`, and its derivative where torch's would be NaN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from uncollapse.optimiser import Moments, adam, adam_fused, clipped


def moments_like(parameters: torch.Tensor) -> Moments:
    return Moments(torch.zeros_like(parameters), torch.zeros_like(parameters))


@pytest.mark.parametrize("rule", [adam, adam_fused])
@pytest.mark.parametrize("betas", [(0.5, 0.999), (0.0, 0.9), (0.9, 0.99)])
def test_equals_torch_over_200_updates(betas: tuple[float, float], rule: Callable[..., tuple[Tensor, Moments]]) -> None:
    reference = torch.randn(3, 7, dtype=torch.float64)
    ours, moments = reference.clone(), moments_like(reference)
    reference.requires_grad_()
    optimiser = torch.optim.Adam([reference], lr=3e-3, betas=betas)
    target = torch.randn(3, 7, dtype=torch.float64)
    for step in range(1, 201):
        optimiser.zero_grad()
        ((reference - target) ** 4).sum().backward()
        gradient = 4 * (ours - target) ** 3
        kept = ours.clone()
        moved, moments = rule(
            ours, gradient, moments, step=torch.tensor(float(step), dtype=torch.float64), rate=3e-3, betas=betas
        )
        assert torch.equal(ours, kept)  # nothing given is changed
        ours = moved
        optimiser.step()
    torch.testing.assert_close(ours, reference.detach(), rtol=1e-11, atol=1e-12)


def test_float32_parameters_stay_float32() -> None:
    parameters = torch.randn(4)
    moved, moments = adam(
        parameters,
        torch.ones(4),
        moments_like(parameters),
        step=torch.ones((), dtype=torch.float64),
        rate=1e-3,
        betas=(0.5, 0.9),
    )
    assert moved.dtype == moments.second.dtype == torch.float32
    torch.testing.assert_close(moved, parameters - 1e-3)  # the first step is the rate in the gradient's direction


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivative_is_finite_at_zero_gradient_and_zero_moment(dtype: torch.dtype) -> None:
    parameters, gradient = torch.randn(5, dtype=dtype), torch.zeros(5, dtype=dtype, requires_grad=True)
    moved, _ = adam(
        parameters,
        gradient,
        moments_like(parameters),
        step=torch.ones((), dtype=torch.float64),
        rate=0.1,
        betas=(0.5, 0.9),
    )
    (slope,) = torch.autograd.grad(moved.sum(), gradient)
    torch.testing.assert_close(moved.detach(), parameters)
    assert slope.isfinite().all()


def test_derivative_equals_finite_differences() -> None:
    moments = Moments(torch.randn(4, dtype=torch.float64), torch.rand(4, dtype=torch.float64) + 0.1)
    step = torch.tensor(3.0, dtype=torch.float64)

    def moved(gradient: torch.Tensor) -> torch.Tensor:
        return adam(torch.zeros(4, dtype=torch.float64), gradient, moments, step=step, rate=0.1, betas=(0.5, 0.9))[0]

    assert torch.autograd.gradcheck(moved, torch.randn(4, dtype=torch.float64, requires_grad=True), rtol=1e-6)


def test_clipping_shortens_each_row_that_is_too_long() -> None:
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(clipped(gradient, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0, 0]]).double())
    assert clipped(gradient, 0.0) is gradient
    point = gradient.clone().requires_grad_()
    assert torch.autograd.grad(clipped(point, 1.0).sum(), point)[0].isfinite().all()
