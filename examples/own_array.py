"""One's own vectors as a task: ``python examples/own_array.py``.

Labels name the modes, so that what a generator lost can be counted; without labels it can still be trained and sampled.
The same data on the command line: ``uncollapse train wgan-gp array:points.npz``.
"""

from __future__ import annotations

import numpy as np

import uncollapse as uc


def three_spirals(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n points on three arms, and the arm of each."""
    arm = rng.integers(3, size=n)
    along = rng.uniform(0.2, 1.0, size=n)
    angle = 2 * np.pi * arm / 3 + 2 * along
    points = np.stack([along * np.cos(angle), along * np.sin(angle)], axis=1)
    return points + 0.02 * rng.standard_normal((n, 2)), arm


def main() -> None:
    """Train one conditional method on the arms and say which of them each seed reaches."""
    x, labels = three_spirals(3_000, np.random.default_rng(0))
    task = uc.tasks.Arrays(x.astype("float32"), labels)
    run = uc.train("cgan", task, seeds=range(2), updates=200, batch=64)
    for lane in run.metrics:
        print(f"seed {lane['seed']}: samples near each arm {lane['counts']['averaged']['all']}")


if __name__ == "__main__":
    main()
