from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from uncollapse.errors import UserError
from uncollapse.metrics import bures


def covariance(seed: int, d: int = 8, rank: int | None = None) -> torch.Tensor:
    a = torch.randn(d, rank or 2 * d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return a @ a.T / a.shape[1]


def test_overlap_is_the_trace_of_scipys_matrix_root() -> None:
    s, t = covariance(0), covariance(1)
    assert bures.overlap(s, t) == pytest.approx(np.trace(sqrtm(s.numpy() @ t.numpy())).real, rel=1e-10)


@pytest.mark.parametrize("ranks", [(None, 3), (3, None), (3, 2), (8, 8)])
def test_overlap_of_singular_covariances_is_real_and_symmetric(ranks: tuple[int | None, int | None]) -> None:
    s, t = covariance(2, rank=ranks[0]), covariance(3, rank=ranks[1])
    expected = np.sqrt(np.clip(np.linalg.eigvals(s.numpy() @ t.numpy()).real, 0, None)).sum()
    assert bures.overlap(s, t) == pytest.approx(expected, rel=1e-6)
    assert bures.overlap(s, t) == pytest.approx(bures.overlap(t, s), rel=1e-9)
    assert bures.overlap(s, s) == pytest.approx(float(s.trace()), rel=1e-9)


def test_nuclear_norm_needs_no_covariance() -> None:
    x, y = (torch.randn(5, 40, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in (0, 1))
    exact = bures.nuclear(bures.row_factor(x), bures.row_factor(y))
    assert exact == pytest.approx(bures.overlap(torch.cov(x.T), torch.cov(y.T)), rel=1e-7)
    assert bures.quick_nuclear(bures.row_factor(x), bures.row_factor(y)) == pytest.approx(exact, rel=1e-6)
    assert bures.nuclear(torch.zeros(0, 3), torch.zeros(2, 3)) == 0.0


def test_plan_carries_one_covariance_into_the_other() -> None:
    s, t = covariance(4), covariance(5)
    upper = bures.cholesky(s)
    assert upper is not None
    plan = bures.plan(upper, t)
    there, back = plan.forward @ plan.forward.T, plan.backward @ plan.backward.T
    torch.testing.assert_close(there @ s @ there, t)
    torch.testing.assert_close(back @ there, torch.eye(8, dtype=torch.float64))
    assert bures.overlap(s, t, known=plan) == pytest.approx(bures.overlap(s, t), rel=1e-12)


def test_no_cholesky_factor_of_what_is_not_safely_positive() -> None:
    assert bures.cholesky(covariance(6, rank=3)) is None
    assert bures.factor(covariance(6, rank=3)).shape == (3, 8)
    with pytest.raises(UserError, match="none may be negative"):
        bures.root_factor(torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64)))
