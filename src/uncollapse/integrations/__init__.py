"""What connects the project to tools that people already use; each module needs its own optional extra.

Nothing here is imported before it is named: ``from uncollapse.integrations.lightning import CollapseCallback``.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["hub", "lightning", "tensorboard", "torchmetrics", "wandb"]


def __getattr__(name: str) -> ModuleType:
    """The module, loaded on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'uncollapse.integrations' has no attribute {name!r}")
    return importlib.import_module(f"uncollapse.integrations.{name}")
