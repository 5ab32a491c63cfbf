"""Slopes of critics whose gradient is known by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uncollapse.errors import UserError
from uncollapse.monitor.slopes import NAME, slope_gap


def test_the_slopes_of_a_linear_and_of_a_square_critic() -> None:
    real, fake = torch.randn(20, 3), 2 * torch.randn(30, 3)
    weight = torch.tensor([3.0, 0.0, 4.0])
    linear = slope_gap(lambda x: x @ weight, real=real, fake=fake)
    assert linear.name == NAME
    assert linear.value == pytest.approx(0.0, abs=1e-6)
    assert "5 on fakes and 5 on real rows" in linear.sentence
    square = slope_gap(lambda x: x.square().sum(1), real=real, fake=fake)
    expected = 2 * (fake[:20].norm(dim=1).mean() - real.norm(dim=1).mean())
    assert square.value == pytest.approx(float(expected), rel=1e-5)


def test_it_works_without_gradients_and_reaches_no_parameter() -> None:
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    with torch.no_grad():
        found = slope_gap(critic, real=torch.randn(5, 4), fake=torch.randn(5, 2, 2))
    assert found.value == pytest.approx(0.0, abs=1e-6)
    assert all(value.grad is None for value in critic.parameters())


def test_the_first_of_several_outputs_is_the_score() -> None:
    found = slope_gap(lambda x: (2 * x[:, 0], x), real=torch.ones(3, 2), fake=torch.ones(3, 2))
    assert "2 on fakes" in found.sentence


def test_what_is_no_critic_of_these_rows_is_refused() -> None:
    rows = torch.ones(3, 2)
    for critic in (lambda x: torch.zeros(len(x)), lambda x: x.detach(), lambda x: 1.0):
        with pytest.raises(UserError, match=r"critic= must give scores \(m,\) that depend on its input"):
            slope_gap(critic, real=rows, fake=rows)
    with pytest.raises(UserError, match=r"rows of \(2,\) and the fakes \(5,\)"):
        slope_gap(lambda x: x.sum(1), real=rows, fake=torch.ones(3, 5))
