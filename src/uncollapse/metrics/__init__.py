"""What was lost and how sure that is: metrics of features, labels and generators, each an `Estimate` with its interval.

All functions take keywords only, NumPy or torch; names load on first use. `uncollapse metrics` lists them.
"""

from __future__ import annotations

import importlib
from typing import Any

# Module -> what it offers.
_PLACES = {
    "frechet": ("frechet_distance", "frechet_infinity"),
    "kernels": ("kernel_distance", "mmd_rbf"),
    "sliced": ("sliced_wasserstein",),
    "manifold": ("precision", "recall", "density", "coverage"),
    "two_sample": ("c2st",),
    "bins": ("ndb",),
    "mean_distance": ("diversity",),
    "vendi": ("vendi_score",),
    "repeats": ("duplicates", "birthday"),
    "memorisation": ("authenticity",),
    "classes": ("inception_score", "mode_coverage", "class_entropy", "class_kl", "chi_square"),
    "paths": ("path_length",),
    "lpips": ("Lpips",),
    "moments": ("Moments",),
    "together": ("feature_metrics",),
    "versus": ("difference",),
    "contests": ("differences",),
    "power": ("required_n",),
    "estimate": ("Estimate",),
    "metric": ("Metric",),
}
_HOMES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """The public name, loaded on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'uncollapse.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(f"uncollapse.metrics.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
