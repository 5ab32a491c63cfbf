"""Spectra of similarities against numpy, and their second-order variance against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from uncollapse.metrics.inputs import Features
from uncollapse.metrics.spectrum import Spectrum, decompose, one_direction, unit_rows


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (9, 9)])
@pytest.mark.parametrize("order", [0.5, 1.0, 2.0, math.inf])
def test_shares_are_numpys(shape: tuple[int, int], order: float) -> None:
    rows = np.random.default_rng(0).normal(size=shape)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.linalg.eigvalsh(unit @ unit.T / len(unit))[-min(shape) :]
    for spread in (True, False):
        found = Spectrum(unit_rows(Features(rows, name="fake")), order, spread=spread)
        np.testing.assert_allclose(np.sort(found.shares.numpy()), expected, rtol=1e-9)


def test_balanced_modes_vary_as_multinomial_counts_do() -> None:
    # The entropy of m balanced counts varies by (m - 1) / (2 n^2), half a chi-square of m - 1 over n.
    rows = np.repeat(np.eye(4), 50, 0)
    found = Spectrum(unit_rows(Features(rows, name="fake")), 1.0, spread=True)
    assert found.error**2 == pytest.approx(3 / (2 * 200**2), rel=0.15)


@pytest.mark.parametrize("order", [0.5, 2.0])
def test_error_matches_simulation(order: float) -> None:
    values, errors, draw = [], [], np.random.default_rng(0)
    for _ in range(120):
        rows = draw.normal(size=(150, 4)) * [2, 1, 1, 0.5] + 0.5
        found = Spectrum(unit_rows(Features(rows, name="fake")), order, spread=True)
        values.append(math.log(found.value))
        errors.append(found.error**2)
    assert math.sqrt(np.mean(errors)) == pytest.approx(np.std(values), rel=0.2)


def test_large_decomposition_is_as_exact_as_float64() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(900, 540, generator=draw, dtype=torch.float64) * torch.linspace(1, 0.01, 540) + 0.5
    moments = rows.T @ rows / 900
    values, basis = decompose(moments)
    expected = torch.linalg.eigvalsh(moments)
    entropies = [float(torch.special.entr(v / v.sum()).sum()) for v in (values, expected)]
    assert entropies[0] == pytest.approx(entropies[1], rel=1e-7)
    torch.testing.assert_close(basis.T @ basis, torch.eye(540, dtype=torch.float64), rtol=0, atol=1e-9)


def test_bound_of_one_direction() -> None:
    # At level 1 - 0.5^n half of the rows may point elsewhere; with n = 1 a single row scores 1 or 1.
    assert one_direction(1, 1.0, 0.5) == pytest.approx(1.0)
    assert one_direction(100, 0.0, 0.95) == pytest.approx(1 + 100 * (1 - 0.05**0.01), rel=1e-6)
    assert 1.0 < one_direction(1000, 1.0, 0.95) < one_direction(100, 1.0, 0.95) < 4
