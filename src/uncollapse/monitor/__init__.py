"""The judgement of a generator while it trains: `CollapseMonitor` in anyone's loop, and what it says and does.

Names load on first use, because the specification of every run knows a `MonitorChoice` and few runs have a monitor.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uncollapse.monitor.actions import CollapseStop
    from uncollapse.monitor.choices import MonitorChoice
    from uncollapse.monitor.cost import Cost
    from uncollapse.monitor.monitor import CollapseMonitor
    from uncollapse.monitor.reference import Reference, make_reference
    from uncollapse.monitor.verdict import MonitorVerdict, Sign

__all__ = [
    "CollapseMonitor",
    "CollapseStop",
    "Cost",
    "MonitorChoice",
    "MonitorVerdict",
    "Reference",
    "Sign",
    "make_reference",
]
_PLACES = {
    "CollapseMonitor": "monitor",
    "CollapseStop": "actions",
    "Cost": "cost",
    "MonitorChoice": "choices",
    "MonitorVerdict": "verdict",
    "Reference": "reference",
    "Sign": "verdict",
    "make_reference": "reference",
}


def __getattr__(name: str) -> Any:
    """The public name, loaded on first use."""
    if name not in _PLACES:
        raise AttributeError(f"module 'uncollapse.monitor' has no attribute {name!r}")
    return getattr(importlib.import_module(f"uncollapse.monitor.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
