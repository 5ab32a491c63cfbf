from __future__ import annotations

import numpy as np
import pytest
import torch

from uncollapse.errors import UserError
from uncollapse.metrics.moments import Moments

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
