from __future__ import annotations

import threading
from functools import partial

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


@pytest.mark.parametrize("d", [1, 127, 300])
def test_the_product_of_triangles_is_right_in_its_upper_half(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bures, "LEAST_BLOCK", 64)
    upper, s = torch.linalg.cholesky(covariance(4, d)).T, covariance(5, d)
    expected = torch.from_numpy(np.triu(upper.numpy() @ s.numpy() @ upper.numpy().T))
    torch.testing.assert_close(bures._between(upper, s).triu(), expected, rtol=1e-12, atol=1e-12)


def test_decompositions_look_at_the_upper_triangle_alone() -> None:
    s = covariance(6)
    expected = np.linalg.eigvalsh(s.numpy())
    spoilt = s.triu() + 9 * torch.ones_like(s).tril(-1)
    np.testing.assert_allclose(bures.eigvalsh(spoilt).numpy(), expected, rtol=1e-10)
    values, vectors = bures.eigh(spoilt)
    torch.testing.assert_close(vectors * values @ vectors.T, s)


def test_tasks_side_by_side_come_in_order_in_one_thread_each_and_leave_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        together = threading.Barrier(3, timeout=20)

        def task(number: int) -> tuple[int, int]:
            # Only three tasks at the same time get past the barrier.
            together.wait()
            return number, torch.get_num_threads()

        found = bures.side_by_side([partial(task, number) for number in range(3)])
        assert found == [(0, 1), (1, 1), (2, 1)]
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError):
            bures.side_by_side([lambda: 1 // 0, lambda: 1])
        assert torch.get_num_threads() == 3
        with bures.one_thread(False):
            assert torch.get_num_threads() == 3
        with bures.one_thread():
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
