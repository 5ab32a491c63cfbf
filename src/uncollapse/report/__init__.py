"""One self-contained page about a comparison, a run or an evaluation, and its tables in other formats.

The last station of the data's way: it reads what `compare`, `train` and `evaluate` wrote and computes no result of its
own.
"""

from __future__ import annotations

from uncollapse.report.writing import build, write

__all__ = ["build", "write"]
