"""Kernel distances against scikit-learn's kernels and closed forms of Gaussians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from uncollapse.errors import UserError
from uncollapse.metrics.kernels import kernel_distance, mmd_rbf

Array = np.ndarray


def _cubic(x: Array, y: Array) -> Array:
    return np.asarray(polynomial_kernel(x, y, degree=3, coef0=1))


def _gauss(x: Array, y: Array) -> Array:
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))
    return 1000 * np.asarray(rbf_kernel(x, y, gamma=1 / 200))


def _unbiased(x: Array, y: Array, kernel: Any) -> float:
    inner = [k.sum() - np.trace(k) for k in (kernel(x, x), kernel(y, y))]
    n, m = len(x), len(y)
    return float(inner[0] / n / (n - 1) + inner[1] / m / (m - 1) - 2 * kernel(x, y).mean())


def _sides(n: int = 130, m: int = 90, d: int = 12, *, offset: float = 0.5, shift: float = 0.4) -> tuple[Array, Array]:
    draw = np.random.default_rng(0)
    return draw.normal(size=(n, d)) + offset, draw.normal(size=(m, d)) * 0.8 + offset + shift


@pytest.mark.parametrize(("function", "kernel"), [(kernel_distance, _cubic), (mmd_rbf, _gauss)])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_value_is_that_of_scikit_learn(function: Any, kernel: Any, offset: float) -> None:
    real, fake = _sides(offset=offset)
    expected = _unbiased(real, fake, kernel)
    assert float(function(real=real, fake=fake)) == pytest.approx(expected, rel=1e-8)
    single = function(real=torch.tensor(real).float(), fake=torch.tensor(fake).float())
    assert float(single) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("function", "kernel"), [(kernel_distance, _cubic), (mmd_rbf, _gauss)])
def test_float32_agrees_with_float64(function: Any, kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = (rows.astype(np.float32) for rows in _sides(700, 500, 64, offset=2.0))
    monkeypatch.setattr("uncollapse.metrics.pairs.EXACT_WORK", 0.0)
    expected = _unbiased(real.astype(float), fake.astype(float), kernel)
    assert float(function(real=real, fake=fake)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("function", [kernel_distance, mmd_rbf])
def test_order_of_rows_and_roles_do_not_matter(function: Any) -> None:
    real, fake = _sides()
    one, other = function(real=real, fake=fake), function(real=real[::-1].copy(), fake=fake[::-1].copy())
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), rel=1e-9)
    assert float(function(real=fake, fake=real)) == pytest.approx(float(one), rel=1e-9)


def _expected_cube(one: Array, other: Array, first: Array, second: Array) -> float:
    """E (x'y / d + 1)^3 of independent Gaussians: moments of t = x'y from the reference."""
    d, mean = len(one), one @ other
    both = np.outer(one, one) + first, np.outer(other, other) + second
    square = np.trace(both[0] @ both[1])
    cross = other @ first @ other + one @ second @ one
    cube = mean**3 + 3 * mean * cross + 3 * mean * np.trace(first @ second) + 6 * other @ first @ second @ one
    return float(cube / d**3 + 3 * square / d**2 + 3 * mean / d + 1)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.4, 1.0), (0.0, 0.6)])
def test_interval_covers_the_closed_form(shift: float, scale: float) -> None:
    draw, d, covered, values = np.random.default_rng(3), 8, 0, []
    means, covariances = (np.full(d, 0.5), np.full(d, 0.5 + shift)), (np.eye(d), scale**2 * np.eye(d))
    terms = [_expected_cube(means[i], means[j], covariances[i], covariances[j]) for i, j in ((0, 0), (1, 1), (0, 1))]
    truth = terms[0] + terms[1] - 2 * terms[2]
    for _ in range(150):
        real = draw.normal(size=(120, d)) + means[0]
        found = kernel_distance(real=real, fake=draw.normal(size=(200, d)) * scale + means[1])
        covered += found.holds(truth)
        values.append(float(found))
    assert 0.9 <= covered / 150 <= 1.0
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / math.sqrt(150))


def test_subsets_are_the_classic_protocol() -> None:
    real, fake = _sides(100, 90)
    every = kernel_distance(real=real[:90], fake=fake, subsets=3, subset_size=90)
    assert float(every) == pytest.approx(float(every.details["all_pairs"]), rel=1e-9)
    some = kernel_distance(real=real, fake=fake, subsets=200, subset_size=40)
    spread = some.details["subset_deviation"]
    full = kernel_distance(real=real, fake=fake)
    assert float(some) == pytest.approx(float(full), abs=4 * spread / math.sqrt(200))
    assert some.details["standard_error"] > full.details["standard_error"]
    again = kernel_distance(real=real, fake=fake, subsets=200, subset_size=40)
    assert float(again) == float(some)


def test_gaussian_kernel_is_nearly_the_difference_of_means() -> None:
    real, fake = _sides()
    found = mmd_rbf(real=real, fake=fake)
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (real, fake)]
    expected = 10 * ((units[0].mean(0) - units[1].mean(0)) ** 2).sum()
    assert found.details["mean_difference"] == pytest.approx(expected, rel=1e-9)
    assert found.details["mean_difference_share"] == pytest.approx(1, abs=0.02)
    kernels = [_gauss(real, real).mean(), _gauss(fake, fake).mean(), _gauss(real, fake).mean()]
    assert found.details["v_statistic"] == pytest.approx(kernels[0] + kernels[1] - 2 * kernels[2], rel=1e-6)


@pytest.mark.parametrize("function", [kernel_distance, mmd_rbf])
def test_identical_constants_have_no_interval_and_few_rows_none(function: Any) -> None:
    same = function(real=np.ones((9, 3)), fake=np.ones((7, 3)))
    assert abs(float(same)) < 1e-12
    assert same.low is None
    assert "identical" in str(same.reason)
    few = function(real=np.eye(3), fake=2 + np.eye(3))
    assert few.low is None
    assert "fewer than 4 rows" in str(few.reason)
    assert function(real=np.eye(3), fake=2 + np.eye(3), level=None).reason is None


def test_large_features_keep_their_digits_or_are_refused() -> None:
    real, fake = (1e3 * rows for rows in _sides())
    expected = _unbiased(real, fake, _cubic)
    found = kernel_distance(real=real, fake=fake)
    assert float(found) == pytest.approx(expected, rel=1e-8)
    assert found.low is not None
    assert found.high is not None
    assert found.low < expected < found.high
    with pytest.raises(UserError, match="divide all features of both sides"):
        kernel_distance(real=1e60 * real, fake=1e60 * fake)


def test_refusals() -> None:
    real, fake = _sides(20, 20, 3)
    with pytest.raises(UserError, match="subset_size must be from 2 to the rows of the smaller side"):
        kernel_distance(real=real, fake=fake, subsets=10)
    with pytest.raises(UserError, match="subsets must be a whole number of at least 1, for example 100, or None"):
        kernel_distance(real=real, fake=fake, subsets=0, subset_size=5)
    with pytest.raises(UserError, match=r"subset_size must be a whole number of at least 2, not 5\.5"):
        kernel_distance(real=real, fake=fake, subsets=2, subset_size=5.5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="sigma must be a number above 0"):
        mmd_rbf(real=real, fake=fake, sigma=0.0)
    fake[3] = 0
    with pytest.raises(UserError, match="fake has 1 row of zeros only"):
        mmd_rbf(real=real, fake=fake)


@pytest.mark.parametrize("function", [kernel_distance, mmd_rbf])
@pytest.mark.parametrize("jitter", [0.0, 1e-3])
def test_copies_of_the_real_rows_get_an_interval_about_0(function: Any, jitter: float) -> None:
    real = np.random.default_rng(0).normal(size=(800, 2))
    fresh, copied = np.random.default_rng(1).normal(size=(2, 800, 2))
    found = function(real=real, fake=real + jitter * copied)
    usual = function(real=real, fake=fresh)
    assert found.low <= 0 <= found.high
    assert found.high < 3 * usual.high
