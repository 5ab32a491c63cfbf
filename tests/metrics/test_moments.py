from __future__ import annotations

import numpy as np
import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.metrics.inputs import Features
from uncollapse.metrics.moments import Moments, square
from uncollapse.metrics.pairs import EXACT_WORK

ROWS = np.random.default_rng(0).normal(size=(500, 7)) * 3 + 1000


def test_mean_and_covariance_are_those_of_numpy_far_from_the_origin() -> None:
    moments = Moments.of(ROWS)
    assert moments.n == 500
    np.testing.assert_allclose(moments.mean.numpy(), ROWS.mean(0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance.numpy(), np.cov(ROWS.T), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("size", [7, 100, 499])
def test_any_batches_in_any_order_give_the_same_moments(size: int) -> None:
    whole, streamed = Moments.of(ROWS), Moments()
    for start in reversed(range(0, 500, size)):
        streamed.update(torch.from_numpy(ROWS[start : start + size]))
    torch.testing.assert_close(streamed.mean, whole.mean, rtol=1e-13, atol=0)
    torch.testing.assert_close(streamed.scatter, whole.scatter, rtol=1e-11, atol=1e-9)


def test_merging_is_associative_and_leaves_its_parts_alone() -> None:
    a, b, c = (Moments.of(part) for part in np.split(ROWS, [20, 300]))
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    torch.testing.assert_close(left.scatter, right.scatter, rtol=1e-11, atol=1e-9)
    assert (a.n, b.n, c.n, left.n) == (20, 280, 200, 500)
    assert Moments().merge(a).n == a.merge(Moments()).n == 20


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(UserError, match="at least 2 rows, not 1"):
        _ = Moments.of(ROWS[:1]).covariance
    with pytest.raises(UserError, match="use one extractor"):
        Moments.of(ROWS).update(ROWS[:, :3])
    with pytest.raises(UserError, match="too large to be squared"):
        Moments.of(np.array([[1e200], [-1e200]]))
    with pytest.raises(UserError, match="not finite"):
        Moments.of(np.array([[1.0], [np.nan]]))


def test_the_given_rows_stay_as_they_are() -> None:
    rows = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = rows.clone()
    Moments.of(rows)
    assert torch.equal(rows, before)


def test_heavy_float32_products_are_right_to_six_digits_and_sums_of_squares_to_more() -> None:
    rows = 100 + torch.randn(600, 2_600, generator=torch.Generator().manual_seed(0))
    truth = np.cov(rows.double().numpy(), rowvar=False)
    found = Moments.of(rows).covariance.numpy()
    assert EXACT_WORK < 600 * 2_600**2
    assert 0 < np.abs(found - truth).max() < 1e-6
    np.testing.assert_allclose(found.diagonal(), truth.diagonal(), rtol=1e-12)


def test_a_product_with_itself_is_numpys() -> None:
    x = torch.randn(30, 11, generator=torch.Generator().manual_seed(1))
    expected = x.double().numpy().T @ x.double().numpy()
    np.testing.assert_allclose(square(x).numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(square(x.T).numpy(), (x.double() @ x.double().T).numpy(), rtol=1e-4, atol=1e-5)


def test_moments_of_some_rows_are_those_of_their_copy() -> None:
    rows = np.random.default_rng(3).normal(size=(5_000, 7)).astype(np.float32)
    side = Features(rows, name="real")
    some = torch.randperm(5_000, generator=torch.Generator().manual_seed(1))[:3_000]
    one, other = Moments.of_some(side, some), Moments.of(side.x[some])
    assert (one.n, torch.equal(one.mean, other.mean), torch.equal(one.scatter, other.scatter)) == (3_000, True, True)


@pytest.mark.parametrize("scale", [1e18, 1e-23])
def test_heavy_products_of_very_large_or_small_numbers_are_right(scale: float) -> None:
    x = np.random.default_rng(5).normal(size=(1_100, 2_048)).astype(np.float32)
    found = Moments.of(x * np.float32(scale)).covariance.numpy() / scale**2
    np.testing.assert_allclose(found[:40, :40], np.cov(x[:, :40].astype(float).T), rtol=0, atol=1e-5)
