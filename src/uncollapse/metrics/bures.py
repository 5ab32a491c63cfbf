"""The overlap tr (S1 S2)^1/2 of two covariances and the optimal map between their Gaussians, by symmetric routes only.

A general matrix square root of S1 S2 turns complex or not-a-number exactly when a generator collapses. Here every
covariance has a factor A with A'A = S, and the overlap is the nuclear norm of A1 A2': real and never negative.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from uncollapse.errors import UserError
from uncollapse.threads import threads

EPS = torch.finfo(torch.float64).eps
# Largest relative error of the overlap that the fast eigenvalue route may have before singular values are used.
ROUNDING = 1e-10
# Blocks of a triangular matrix whose empty half is left out of products.
BLOCKS, LEAST_BLOCK = 8, 128

Result = TypeVar("Result")


@contextlib.contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Where wanted, torch computes in one thread inside.

    Threads that share a decomposition or many small products wait for each other thousands of times, which costs more
    than it gains where the machine does something else too.
    """
    with threads(1) if wanted else contextlib.nullcontext():
        yield


def side_by_side(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Results of tasks, as many at a time as torch has threads, each in one thread."""
    several = torch.get_num_threads()
    with one_thread():
        if several == 1 or len(tasks) == 1:
            return [task() for task in tasks]
        # A new thread begins with the threads of the machine, not with those of its maker.
        with ThreadPoolExecutor(several, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(lambda task: task(), tasks))


def eigh(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues in ascending order and eigenvectors, from the upper triangle alone."""
    with one_thread():
        values, vectors = torch.linalg.eigh(symmetric, UPLO="U")
    return values, vectors


def eigvalsh(symmetric: Tensor) -> Tensor:
    """Eigenvalues in ascending order, from the upper triangle alone."""
    with one_thread():
        values: Tensor = torch.linalg.eigvalsh(symmetric, UPLO="U")
    return values


def row_factor(rows: Tensor) -> Tensor:
    """Factor of the covariance of few rows: centred rows / sqrt(n - 1), float64 (n, d), without any d x d matrix."""
    x = rows.double()
    return (x - x.mean(0)) / math.sqrt(len(x) - 1)


def cholesky(covariance: Tensor) -> Tensor | None:
    """Upper triangular factor, or None where the matrix is not safely positive definite."""
    with one_thread():
        upper, info = torch.linalg.cholesky_ex(covariance, upper=True)
    pivots = upper.diagonal().square()
    safe = int(info) == 0 and float(pivots.min()) > 100 * EPS * len(pivots) * float(covariance.diagonal().max())
    return upper if safe else None


def root_factor(covariance: Tensor) -> Tensor:
    """Factor of any covariance: its eigenvectors times the roots of its eigenvalues, the vanishing ones left out.

    Raises:
        UserError: An eigenvalue is clearly negative.
    """
    values, vectors = eigh(covariance)
    tiny = 10 * EPS * len(values) * float(values.abs().max())
    if float(values[0]) < -max(tiny, 1e-9 * float(values.abs().max())):
        raise UserError(
            f"A covariance has the eigenvalue {float(values[0]):.3g}, but none may be negative; compute it in float64 "
            "from the rows."
        )
    kept = values > tiny
    found: Tensor = (vectors[:, kept] * values[kept].sqrt()).T
    return found


def factor(covariance: Tensor) -> Tensor:
    """A factor of a covariance, (r, d) with r its rank."""
    upper = cholesky(covariance)
    return root_factor(covariance) if upper is None else upper


def nuclear(first: Tensor, second: Tensor) -> float:
    """Sum of the singular values of first second', factors (r1, d) and (r2, d)."""
    if not first.numel() or not second.numel():
        return 0.0
    cross = first @ second.T
    with one_thread():
        return float(torch.linalg.svdvals(cross).sum())


def quick_nuclear(first: Tensor, second: Tensor) -> float:
    """As `nuclear` to about seven digits and several times faster, through the eigenvalues of the smaller square."""
    cross = first @ second.T
    cross = cross if cross.shape[0] <= cross.shape[1] else cross.T
    return float(eigvalsh(cross @ cross.T).clamp(min=0).sqrt().sum()) if cross.numel() else 0.0


@dataclass(frozen=True, eq=False)
class Plan:
    """The optimal map between N(0, S1), positive definite, and N(0, S2).

    With S1 = U'U and U S2 U' = V diag(w) V', the overlap is sum sqrt(w), and the map T from side 1 to side 2 has
    x'Tx = sum_k sqrt(w_k) (V' U'^-1 x)_k^2. Reference: Olkin and Pukelsheim 1982, Linear Algebra Appl. 48.

    Attributes:
        upper: U, (d, d).
        roots: sqrt(w), (d,); at least 0.
        vectors: V, (d, d).
    """

    upper: Tensor
    roots: Tensor
    vectors: Tensor

    @property
    def forward(self) -> Tensor:
        """(d, d) matrix P with x'Tx = |P'x|^2, T the map from side 1 to side 2."""
        whitened: Tensor = torch.linalg.solve_triangular(self.upper, self.vectors, upper=True)
        return whitened * self.roots.sqrt()

    @property
    def backward(self) -> Tensor:
        """(d, d) matrix Q with y'T^-1 y = |Q'y|^2; directions that side 2 does not have are left out."""
        kept = self.roots > 1e-7 * self.roots.max().clamp_min(1e-300)
        return self.upper.T @ (self.vectors * torch.where(kept, self.roots.rsqrt(), 0.0))


def plan(upper: Tensor, covariance: Tensor) -> Plan:
    """The map from the side with Cholesky factor `upper` to the side with `covariance`."""
    values, vectors = eigh(_between(upper, covariance))
    return Plan(upper, values.clamp(min=0).sqrt(), vectors)


def overlap(first: Tensor, second: Tensor, *, known: Plan | None = None) -> float:
    """tr (S1 S2)^1/2 of two covariances (d, d).

    Args:
        first: S1.
        second: S2.
        known: Their plan, where it is already there.
    """
    upper = known.upper if known is not None else cholesky(first)
    if upper is None:
        upper = cholesky(second)
        if upper is None:
            return nuclear(root_factor(first), root_factor(second))
        first, second = second, first
    values = eigvalsh(_between(upper, second)) if known is None else known.roots.square()
    values = values.clamp(min=0)
    # An eigenvalue is wrong by about EPS times the largest; its root by that over twice the root.
    wrong = EPS * float(values.max()) * float((0.5 / values.clamp(min=EPS * float(values.max()) + 1e-300).sqrt()).sum())
    if wrong > ROUNDING * float(first.diagonal().sum() + second.diagonal().sum()):
        return nuclear(upper, factor(second))
    return float(values.sqrt().sum())


def _between(upper: Tensor, covariance: Tensor) -> Tensor:
    """U S U', of which only the upper triangle is meant."""
    width = len(upper)
    size = max(LEAST_BLOCK, -(-width // BLOCKS))
    blocks = [slice(start, min(start + size, width)) for start in range(0, width, size)]
    left, product = torch.empty_like(covariance), torch.zeros_like(covariance)
    for part in blocks:
        left[part] = upper[part, part.start :] @ covariance[part.start :]
    for part in blocks:
        product[: part.stop, part] = left[: part.stop, part.start :] @ upper[part, part.start :].T
    return product
