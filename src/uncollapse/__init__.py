"""uncollapse: a laboratory for GAN mode collapse.

Train with published anti-collapse methods, judge with intervals, compare over many seeds. Names load on first use, so
that importing the package imports no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

# The parts of a method, by the module of `uncollapse.parts` that holds them.
_PARTS = {
    "losses": (
        "NonSaturating", "Saturating", "Minimax", "LeastSquares", "Wasserstein", "EnergyMargin", "BoundaryEquilibrium",
        "Hinge", "LogRatio", "TwoCritics", "WhoMadeIt", "Relativistic", "TopK",
    ),
    "penalties": ("GradientPenalty", "ZeroCentred", "Dragan", "LabelClassifier", "GeneratorClassifier"),
    "generator_terms": (
        "PullingAway", "ClassLogits", "Reconstruction", "Identity", "ModeSeeking", "DeterminantalPointProcess",
        "BuresMetric",
    ),
    "constraints": ("Free", "WeightClip", "SpectralNorm"),
    "views": ("Plain", "MinibatchDiscrimination", "Packed", "MinibatchStddev", "DiffAugment"),
    "conditioning": ("Unconditional", "Concat", "JointPairs", "AuxiliaryClassifier", "Projection"),
    "dynamics": ("Dynamics", "Constant", "Cosine", "PerPlayer", "ThroughSteps", "LookAhead"),
    "population": ("OneGenerator", "Mixture", "Ensemble"),
}  # fmt: skip
# Name -> where it lives; a bare module name stands for the module itself.
_PLACES = {
    "METHODS": "uncollapse.methods",
    "VANILLA": "uncollapse.methods",
    "Method": "uncollapse.method",
    "train": "uncollapse.run",
    "load": "uncollapse.run",
    "Run": "uncollapse.run",
    "evaluate": "uncollapse.evaluation.evaluate",
    "Evaluation": "uncollapse.evaluation.evaluation",
    "compare": "uncollapse.experiments.compare",
    "Comparison": "uncollapse.experiments.compare",
    "CollapseMonitor": "uncollapse.monitor",
    "MLP": "uncollapse.networks.mlp",
    "Judgement": "uncollapse.parts.scene",
    "UserError": "uncollapse.errors",
    "tasks": "",
    "metrics": "",
    "monitor": "",
    "functional": "",
    "nn": "",
    "hub": "uncollapse.integrations",
    "parts": "",
    **{part: f"uncollapse.parts.{module}" for module, parts in _PARTS.items() for part in parts},
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    """The public name, loaded on first use."""
    if name == "__version__":
        from uncollapse.version import __version__

        return __version__
    if name not in _PLACES:
        raise AttributeError(f"module 'uncollapse' has no attribute {name!r}")
    place = _PLACES[name]
    return getattr(importlib.import_module(place), name) if place else importlib.import_module(f"uncollapse.{name}")


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
