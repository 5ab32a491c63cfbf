"""From features of two sides to healthy, suspect, collapsed or inconclusive, with evidence and what was lost."""

from __future__ import annotations

from uncollapse.verdict.judge import judge
from uncollapse.verdict.verdict import Evidence, Lost, Verdict

__all__ = ["Evidence", "Lost", "Verdict", "judge"]
