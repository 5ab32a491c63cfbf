from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from uncollapse.errors import UserError
from uncollapse.metrics.frechet import frechet_distance, frechet_infinity, from_moments
from uncollapse.metrics.inputs import Features
from uncollapse.metrics.moments import Moments


def rows(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * scale + shift


def by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    s, t = np.cov(x.T), np.cov(y.T)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real))


def test_exact_moments_meet_closed_forms() -> None:
    eye = np.eye(64)
    assert from_moments(np.zeros(64), eye, np.ones(64), eye) == pytest.approx(64, rel=1e-12)
    a, b = np.linspace(0.1, 3, 64), np.linspace(2, 0.5, 64)
    q = np.linalg.qr(rows(64, 64, 0))[0]
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    s, t = q * a @ q.T, q * b @ q.T
    assert from_moments(np.zeros(64), (s + s.T) / 2, np.zeros(64), (t + t.T) / 2) == pytest.approx(expected, rel=1e-8)
    assert from_moments(np.zeros(1), [[4.0]], np.ones(1) * 3, [[1.0]]) == pytest.approx(9 + 1, rel=1e-12)


def test_plug_in_is_that_of_scipys_matrix_root() -> None:
    x, y = rows(300, 12, 1), rows(200, 12, 2, 0.7, 0.3)
    assert frechet_distance(real=x, fake=y).value == pytest.approx(by_scipy(x, y), rel=1e-8)


@pytest.mark.parametrize("sizes", [(10, 10), (10, 100), (100, 10), (24, 20)])
def test_few_rows_agree_with_the_full_covariances(sizes: tuple[int, int]) -> None:
    x, y = rows(sizes[0], 20, 3), rows(sizes[1], 20, 4, 0.5)
    expected = from_moments(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    found = frechet_distance(real=x, fake=y)
    assert found.value == pytest.approx(expected, rel=1e-7)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


@pytest.mark.parametrize(("n", "d"), [(5, 40), (40, 40), (500, 16), (300, 100)])
def test_a_set_against_itself_is_zero_and_the_sides_exchange(n: int, d: int) -> None:
    x, y = rows(n, d, 5), rows(n, d, 6, 1.5)
    assert frechet_distance(real=x, fake=x, level=None).value == pytest.approx(0, abs=1e-8 * d)
    there, back = frechet_distance(real=x, fake=y), frechet_distance(real=y, fake=x)
    assert there.value == pytest.approx(back.value, rel=1e-9)


def test_order_type_and_batches_of_rows_do_not_matter() -> None:
    x, y = rows(200, 5, 7), rows(150, 5, 8)
    first = frechet_distance(real=x, fake=y)
    other = frechet_distance(real=torch.from_numpy(x[::-1].copy()), fake=torch.from_numpy(y))
    assert (first.value, first.low, first.high) == pytest.approx((other.value, other.low, other.high), rel=1e-9)
    a = frechet_infinity(real=x, fake=y)
    b = frechet_infinity(real=x[::-1].copy(), fake=y)
    assert (a.value, a.high) == pytest.approx((b.value, b.high), rel=1e-9)
    streamed = Moments.of(x[:60]).merge(Moments.of(x[60:]))
    found = frechet_distance(real=streamed, fake=y)
    assert found.value == pytest.approx(first.value, rel=1e-10)
    assert found.low is None
    assert "keep no rows" in str(found.reason)


@pytest.mark.parametrize("fault", ["constant both", "constant fake", "copied column", "collapsed"])
def test_singular_covariances_give_a_number_and_an_interval(fault: str) -> None:
    x, y = rows(300, 6, 9), rows(300, 6, 10)
    if fault == "constant both":
        x[:, 0] = y[:, 0] = 1
    elif fault == "constant fake":
        y[:, 0] = 1
    elif fault == "copied column":
        x[:, 0], y[:, 0] = x[:, 1], y[:, 1]
    else:
        y[:] = y[0]
    found = frechet_distance(real=x, fake=y)
    expected = from_moments(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    assert found.value == pytest.approx(expected, rel=1e-7, abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_bias_of_the_plug_in_is_gone_at_infinity() -> None:
    plain, free = [], []
    for seed in range(8):
        x, y = rows(500, 16, 100 + seed), rows(500, 16, 200 + seed)
        plain.append(frechet_distance(real=x, fake=y, level=None).value)
        free.append(frechet_infinity(real=x, fake=y, level=None).value)
    # Mean at equality of two sides: 2 d / n + d (d + 1) / (2 n) = 0.336; standard error of 8 means about 0.016.
    assert np.mean(plain) == pytest.approx(0.336, abs=0.05)
    assert np.mean(free) == pytest.approx(0, abs=0.05)


def test_intervals_hold_the_mean_of_the_plug_in_and_the_population_value() -> None:
    truth, plain, hits = 4 * 0.25 + 4 * 0.04, [], 0
    for seed in range(40):
        x, y = rows(200, 4, 300 + seed), rows(200, 4, 400 + seed, 0.8, 0.5)
        plain.append(frechet_distance(real=x, fake=y))
        hits += seed < 20 and frechet_infinity(real=x, fake=y).holds(truth)
    mean = float(np.mean([found.value for found in plain]))
    assert 16 <= hits <= 20
    assert 34 <= sum(found.holds(mean) for found in plain) <= 40


def test_what_cannot_be_used_is_refused() -> None:
    x = rows(50, 5, 11)
    with pytest.raises(UserError, match="at least 2"):
        frechet_distance(real=x[:1], fake=x)
    with pytest.raises(UserError, match="same"):
        frechet_distance(real=x, fake=x[:, :3])
    with pytest.raises(UserError, match="same extractor"):
        frechet_distance(real=Moments.of(x), fake=x[:, :3])
    with pytest.raises(UserError, match="kernel_distance"):
        frechet_infinity(real=x[:20], fake=x)
    with pytest.raises(UserError, match="level"):
        frechet_distance(real=x, fake=x, level=2)
    with pytest.raises(UserError, match="not symmetric"):
        from_moments(np.zeros(2), [[1, 1], [0, 1]], np.zeros(2), np.eye(2))
    with pytest.raises(UserError, match="share one d"):
        from_moments(np.zeros(2), np.eye(3), np.zeros(2), np.eye(2))
    with pytest.raises(UserError, match="not finite"):
        from_moments(np.zeros(2), np.eye(2) * np.nan, np.zeros(2), np.eye(2))
    found = frechet_distance(real=x[:3], fake=x)
    assert found.low is None
    assert "at least 4 rows" in str(found.reason)


def test_at_infinity_singular_covariances_get_a_value_and_a_reason_for_no_interval() -> None:
    draws = np.random.default_rng(5)
    real, fake = (np.repeat(draws.normal(size=(200, 2)), 2, axis=1) for _ in range(2))
    found = frechet_infinity(real=real, fake=fake)
    assert found.value == pytest.approx(0, abs=0.2)
    assert (found.low, found.high) == (None, None)
    assert "neither side's covariance is positive definite" in found.reason


def test_the_two_distances_share_one_decomposition_when_they_see_the_same_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from uncollapse.metrics import frechet

    calls = []
    solve = frechet._solve
    monkeypatch.setattr(frechet, "_solve", lambda *given, **named: calls.append(1) or solve(*given, **named))
    draws = np.random.default_rng(6)
    rows = draws.normal(size=(60, 3)), draws.normal(size=(60, 3))
    sides = Features(rows[0], name="real"), Features(rows[1], name="fake")
    shared = [metric(real=sides[0], fake=sides[1]) for metric in (frechet_distance, frechet_infinity)]
    assert len(calls) == 1
    assert shared == [metric(real=rows[0], fake=rows[1]) for metric in (frechet_distance, frechet_infinity)]
    assert len(calls) == 3


def test_halves_of_few_rows_are_conservative_and_say_so() -> None:
    """With few rows a feature the spread falls faster than halves tell."""
    few = frechet_distance(real=rows(60, 24, 30), fake=rows(60, 24, 31))
    many = frechet_distance(real=rows(80, 24, 30), fake=rows(80, 24, 31))
    assert (few.conservative, many.conservative) == (True, False)
    assert not frechet_distance(real=rows(60, 24, 30), fake=rows(60, 24, 31), level=None).conservative
    drawn = [float(frechet_distance(real=rows(60, 24, s), fake=rows(60, 24, s + 500), level=None)) for s in range(40)]
    assert few.high is not None
    assert few.low is not None
    assert few.high - few.low > 2 * 1.96 * np.std(drawn)


def test_no_interval_claims_certainty() -> None:
    x = rows(500, 2, 40)
    copies = frechet_infinity(real=x, fake=x)
    assert copies.value is not None
    assert copies.value < 0
    assert copies.high is not None
    assert copies.high > 0.001
    constant = frechet_distance(real=np.ones((50, 3)), fake=np.zeros((50, 3)))
    assert from_moments(np.ones(3), np.zeros((3, 3)), np.zeros(3), np.zeros((3, 3))) == 3
    assert (constant.value, constant.low, constant.high, constant.conservative) == (3, None, None, False)
    assert constant.reason == "all rows of each side are identical, so that no spread was seen"


def test_moments_that_require_a_gradient_are_numbers(recwarn: pytest.WarningsRecorder) -> None:
    mean, eye = torch.ones(2, requires_grad=True), torch.eye(2, requires_grad=True)
    assert from_moments(mean, eye, torch.zeros(2), eye) == pytest.approx(2)
    assert not recwarn.list
