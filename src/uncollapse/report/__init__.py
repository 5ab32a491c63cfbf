"""One self-contained page about a comparison or a run: an answer in words, then the evidence in tables and pictures.

The last station of the data's way: it reads what `compare` and `train` wrote and computes no result of its own.
"""

from __future__ import annotations

from uncollapse.report.page import build

__all__ = ["build"]
