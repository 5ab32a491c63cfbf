"""Spectra of similarities against numpy, and their second-order variance against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from uncollapse.metrics import spectrum
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


def test_large_decomposition_has_float64s_eigenvalues_and_serves_the_same_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(900, 540)) * np.linspace(1, 0.01, 540) + 0.5
    moments = torch.from_numpy(rows.T @ rows / 900)
    values, basis = decompose(moments)
    np.testing.assert_allclose(values.numpy(), np.linalg.eigvalsh(moments.numpy()), rtol=1e-8)
    torch.testing.assert_close(basis.T @ basis, torch.eye(540), rtol=0, atol=1e-4)
    unit = unit_rows(Features(rows, name="fake"))
    large = Spectrum(unit, 1.0, spread=True)
    monkeypatch.setattr(spectrum, "LARGE", 540)
    exact = Spectrum(unit, 1.0, spread=True)
    assert large.value == pytest.approx(exact.value, rel=1e-12)
    assert large.error == pytest.approx(exact.error, rel=1e-3)


@pytest.mark.parametrize("order", [0.5, 1.0])
def test_some_of_many_rows_tell_the_error(order: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(1).normal(size=(2000, 5)) * [3, 2, 1, 1, 0.5] + 0.5
    unit = unit_rows(Features(rows, name="fake"))
    whole = Spectrum(unit, order, spread=True)
    monkeypatch.setattr(spectrum, "ENOUGH_ROWS", 600)
    some = Spectrum(unit, order, spread=True)
    assert some.value == whole.value
    # Six hundred rows tell a variance to about 6 %.
    assert some.error == pytest.approx(whole.error, rel=0.12)
    assert some.error != whole.error


def test_bound_of_one_direction() -> None:
    # At level 1 - 0.5^n half of the rows may point elsewhere; with n = 1 a single row scores 1 or 1.
    assert one_direction(1, 1.0, 0.5) == pytest.approx(1.0)
    assert one_direction(100, 0.0, 0.95) == pytest.approx(1 + 100 * (1 - 0.05**0.01), rel=1e-6)
    assert 1.0 < one_direction(1000, 1.0, 0.95) < one_direction(100, 1.0, 0.95) < 4
