"""How often intervals hold where they are hardest pressed: heavy tails, rare classes, outliers; facts cite it.

python benchmarks/heavy_tails.py --out results/intervals/heavy_tails.json
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from uncollapse.metrics import (
    chi_square,
    frechet_distance,
    frechet_infinity,
    kernel_distance,
    precision,
    recall,
    vendi_score,
)

Array = NDArray[np.float64]
Random = np.random.Generator
REPEATS, FRESH, ROWS = 500, 2_000, 500
# Name -> repeats and fresh values of what takes seconds.
FEWER = {"recall, 10,000 rows, fakes 4.5 deviations away": (150, 300)}


def log_normal(sigma: float) -> Callable[[Random], Array]:
    """Rows in the plane whose coordinates are log-normal."""
    return lambda random: np.exp(sigma * random.normal(size=(ROWS, 2)))


def normal(shift: float, rows: int = ROWS) -> Callable[[Random], Array]:
    """Normal rows in the plane, so far from the origin."""
    return lambda random: random.normal(size=(rows, 2)) + np.array([shift, 0])


def contaminated(random: Random) -> Array:
    """Normal rows in the plane, one in a hundred ten times as far out."""
    return random.normal(size=(ROWS, 2)) * np.where(random.random((ROWS, 1)) < 0.01, 10, 1)


def student(random: Random) -> Array:
    """100 rows of Student's t with two degrees of freedom in 64 dimensions."""
    return random.standard_t(2, size=(100, 64))


def cubic(first: float, second: float) -> float:
    """Squared MMD of two log-normal laws in the plane under (x.y / 2 + 1)^3, from their moments."""
    moments = [[math.exp((k * sigma) ** 2 / 2) for k in range(4)] for sigma in (first, second)]
    return sum(
        math.comb(3, j) / 2**j * math.comb(j, a) * (p[a] * p[j - a] - q[a] * q[j - a]) ** 2
        for p, q in [moments]
        for j in range(4)
        for a in range(j + 1)
    )


def rare_classes(random: Random, level: float | None) -> Any:
    """Chi-square of 50 real rows and 2,000 fakes in 100 classes whose shares fall as 1 / k^2."""
    shares = 1 / np.arange(1, 101.0) ** 2
    real, fake = (random.multinomial(n, shares / shares.sum()) for n in (50, 2_000))
    return chi_square(real_counts=real, fake_counts=fake, level=level)


def pair(metric: Callable[..., Any], real: Callable[[Random], Array], fake: Callable[[Random], Array]) -> Any:
    """A metric of two fresh samples."""
    return lambda random, level: metric(real=real(random), fake=fake(random), level=level)


# Name -> (one fresh estimate, its truth or None for the mean of fresh values).
CASES: dict[str, tuple[Callable[[Random, float | None], Any], float | None]] = {
    "frechet_distance, log-normal 1": (pair(frechet_distance, log_normal(1), log_normal(1)), None),
    "frechet_infinity, log-normal 1": (pair(frechet_infinity, log_normal(1), log_normal(1)), 0.0),
    "frechet_infinity, contaminated normal": (pair(frechet_infinity, contaminated, contaminated), 0.0),
    "kernel_distance, log-normal 0.8 and 1": (pair(kernel_distance, log_normal(0.8), log_normal(1)), cubic(0.8, 1)),
    "kernel_distance, log-normal 0.5 and 0.7": (
        pair(kernel_distance, log_normal(0.5), log_normal(0.7)),
        cubic(0.5, 0.7),
    ),
    "vendi_score, t with 2 degrees": (lambda random, level: vendi_score(fake=student(random), level=level), None),
    "chi_square, rare classes": (rare_classes, None),
    "precision, fakes 3.5 deviations away": (pair(precision, normal(0), normal(3.5)), None),
    "recall, fakes 3.5 deviations away": (pair(recall, normal(0), normal(3.5)), None),
    "recall, 10,000 rows, fakes 4.5 deviations away": (pair(recall, normal(0, 10_000), normal(4.5, 10_000)), None),
}


def main() -> None:
    """Draw all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for place, (name, (measure, truth)) in enumerate(CASES.items()):
        random = np.random.default_rng([20_261_127, place])
        repeats, fresh = FEWER.get(name, (REPEATS, FRESH))
        estimates = [measure(random, 0.95) for _ in range(repeats)]
        if truth is None:
            values = [float(one) for one in estimates]
            values += [float(measure(random, None)) for _ in range(fresh - repeats)]
            truth = float(np.mean(values))
        held = sum(one.low <= truth <= one.high for one in estimates)
        found[name] = {"held": round(100 * held / repeats, 1), "repeats": repeats, "truth": truth}
        print(name, found[name], flush=True)
    command = "python benchmarks/heavy_tails.py --out results/intervals/heavy_tails.json"
    options.out.write_text(json.dumps({"command": command, "level": 0.95, "cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
