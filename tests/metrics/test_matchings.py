"""Random rounds of pairs: every row once a round, no pair twice, and the right standard error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.metrics.matchings import matchings, sampled_distance


def _distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).flatten(1).norm(dim=1)


@pytest.mark.parametrize("n", [2, 7, 8])
def test_rounds_are_a_tournament(n: int) -> None:
    even = n - n % 2
    found = matchings(n, even - 1, torch.Generator().manual_seed(0))
    assert found.shape == (even - 1, even // 2, 2)
    for turn in found:
        assert len(set(turn.flatten().tolist())) == even
    pairs = {tuple(sorted(pair)) for pair in found.flatten(0, 1).tolist()}
    assert len(pairs) == even * (even - 1) // 2


@pytest.mark.parametrize("rounds", [1, 4])
def test_standard_error_matches_simulation(rounds: int) -> None:
    values, variances = [], []
    for seed in range(200):
        rows = np.random.default_rng(seed).normal(size=(40, 2))
        draws = torch.Generator().manual_seed(seed)
        found = sampled_distance(rows, "fake", _distance, 20 * rounds, draws)
        values.append(found.value)
        variances.append(found.variance)
    assert np.mean(variances) == pytest.approx(np.var(values), rel=0.35)
    assert np.mean(values) == pytest.approx(math.sqrt(math.pi), abs=0.05)


def test_refusals() -> None:
    draws, rows = torch.Generator().manual_seed(0), np.zeros((6, 2))
    with pytest.raises(UserError, match="pairs must be from 1 to 15 for 6 images of fake, not 16"):
        sampled_distance(rows, "fake", _distance, 16, draws)
    with pytest.raises(UserError, match="pairs must be a whole number of at least 1, not 0"):
        sampled_distance(rows, "fake", _distance, 0, draws)
    with pytest.raises(UserError, match=r"one number for each pair, shape \(3,\)"):
        sampled_distance(rows, "fake", lambda a, b: a, None, draws)
    with pytest.raises(UserError, match="below 0 or not finite"):
        sampled_distance(rows, "fake", lambda a, b: a[:, 0] - 1, None, draws)
    with pytest.raises(UserError, match="one image or row for each index"):
        sampled_distance(np.zeros(3), "fake", _distance, None, draws)
