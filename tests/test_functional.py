"""The parts as functions in a plain PyTorch loop, against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uncollapse.functional import gradient_penalty, zero_centred


@pytest.mark.parametrize("size", [1, 2, 33])
def test_gradient_penalty_of_a_linear_critic(size: int) -> None:
    critic = nn.Linear(3, 1).double()
    real, fake = torch.randn(size, 3, dtype=torch.float64), torch.randn(size, 3, dtype=torch.float64)
    expected = 4.0 * (critic.weight.norm().item() - 1) ** 2
    assert gradient_penalty(critic, real=real, fake=fake, weight=4.0).item() == pytest.approx(expected, rel=1e-9)


def test_zero_centred_of_a_linear_critic() -> None:
    critic = nn.Linear(3, 1).double()
    at = torch.randn(5, 3, dtype=torch.float64)
    expected = 0.5 * 2.0 * critic.weight.square().sum().item()
    assert zero_centred(critic, at, weight=2.0).item() == pytest.approx(expected, rel=1e-12)


def test_no_gradient_reaches_the_fakes_and_the_critic_gets_its_own() -> None:
    critic, fake = nn.Linear(2, 1), torch.randn(4, 2, requires_grad=True)
    gradient_penalty(critic, real=torch.randn(4, 2), fake=fake).backward()
    assert fake.grad is None
    weight = critic.weight.detach()
    expected = 10 * 2 * (weight.norm() - 1) * weight / weight.norm()
    torch.testing.assert_close(critic.weight.grad, expected, rtol=1e-4, atol=1e-5)


def test_works_under_no_grad_callers_and_refuses_unpaired_batches() -> None:
    with torch.no_grad():
        assert zero_centred(nn.Linear(2, 1), torch.randn(3, 2)).item() > 0
    with pytest.raises(ValueError, match=r"real \(3, 2\) and fake \(4, 2\) must have one shape to be paired"):
        gradient_penalty(nn.Linear(2, 1), real=torch.randn(3, 2), fake=torch.randn(4, 2))
