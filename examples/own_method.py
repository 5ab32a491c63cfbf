"""A loss of one's own, trained beside a built-in method: ``python examples/own_method.py``.

The same file is a plugin of the command line:
``PYTHONPATH=examples uncollapse train robust-lsgan ring-8 --plugin own_method:ROBUST_LSGAN``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

import uncollapse as uc
from uncollapse.parts.losses import Loss, State
from uncollapse.parts.scene import Judgement, Scene


def log_cosh(x: Tensor) -> Tensor:
    """x^2 / 2 near 0 and |x| far away; written so that large scores do not overflow."""
    return x + softplus(-2 * x) - torch.log(torch.tensor(2.0, dtype=x.dtype))


@dataclass(frozen=True, kw_only=True)
class RobustLeastSquares(Loss):
    """Least squares whose pull stops growing: ``L_D = E log cosh(D(x) - 1) + E log cosh(D(G(z)))``."""

    def critic(self, real: Judgement, fake: Judgement, state: State, scene: Scene) -> Tensor:
        """Distance of the scores to 1 (real) and 0 (fake)."""
        return log_cosh(real.score - 1).mean() + log_cosh(fake.score).mean()

    def generator(self, real: Judgement | None, fake: Judgement, scene: Scene) -> Tensor:
        """Distance of the fakes' scores to 1."""
        return log_cosh(fake.score - 1).mean()


ROBUST_LSGAN = uc.METHODS["lsgan"].but(name="robust-lsgan", loss=RobustLeastSquares())


def main() -> None:
    """Train both for a moment and compare what they cover."""
    for method in (uc.METHODS["lsgan"], ROBUST_LSGAN):
        run = uc.train(method, "ring-8", seeds=range(2), updates=200, batch=64)
        hit = [lane["measures"]["averaged"]["modes_hit"] for lane in run.metrics]
        print(f"{method.name}: modes hit by each seed {hit}")


if __name__ == "__main__":
    main()
