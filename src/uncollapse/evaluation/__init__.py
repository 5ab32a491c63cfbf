"""Judging any generator: two sets of data in, a verdict, its evidence and what was lost out."""

from __future__ import annotations

from uncollapse.evaluation.evaluate import evaluate
from uncollapse.evaluation.evaluation import Evaluation

__all__ = ["Evaluation", "evaluate"]
