"""The judgement of a generator while it trains: `CollapseMonitor` in anyone's loop, and what it says and does."""

from __future__ import annotations

from uncollapse.monitor.actions import CollapseStop
from uncollapse.monitor.cost import Cost
from uncollapse.monitor.monitor import CollapseMonitor
from uncollapse.monitor.reference import Reference, make_reference
from uncollapse.monitor.verdict import MonitorVerdict, Sign

__all__ = ["CollapseMonitor", "CollapseStop", "Cost", "MonitorVerdict", "Reference", "Sign", "make_reference"]
