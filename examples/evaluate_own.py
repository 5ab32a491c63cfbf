"""One's own generator judged: ``python examples/evaluate_own.py``.

Anything that makes samples will do: here a function of n that has forgotten the digit 3 and draws one picture of a 7
again and again. The same on folders: ``uncollapse evaluate my-data/ my-samples/``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits

import uncollapse as uc


def forgetful(images: np.ndarray, labels: np.ndarray) -> Callable[[int], np.ndarray]:
    """A generator f(n) of images (n, 8, 8): ever new ones but never a 3, and in one of eight draws the same 7."""
    draws = np.random.default_rng(1)
    seven, others = images[np.flatnonzero(labels == 7)[0]], iter(draws.permutation(images[labels != 3]))

    def sample(n: int) -> np.ndarray:
        return np.stack([seven if draws.random() < 1 / 8 else next(others) for _ in range(n)])

    return sample


def main() -> None:
    """Judge it, say what was lost, and write the report."""
    data = load_digits()
    images = np.rint(data.images * 255 / 16).astype(np.uint8)
    mixed = np.random.default_rng(0).permutation(len(images))
    real, others = mixed[:500], mixed[500:]
    sample = forgetful(images[others], data.target[others])
    found = uc.evaluate(images[real], sample, metrics=("frechet_distance", "precision", "recall", "coverage"))
    print(found)
    for lost in found.verdict.lost:
        print(f"lost: {lost.mode}, {lost.share_real:.1%} of the real rows and {lost.share_fake:.1%} of the fakes")
    for estimate in found.metrics.values():
        print(estimate)
    print(f"pictures of what is missing and of what repeats: {found.report('report.html')}")


if __name__ == "__main__":
    main()
