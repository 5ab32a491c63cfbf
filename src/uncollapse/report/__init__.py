"""One self-contained page about a comparison, a run or an evaluation: an answer in words, then tables and pictures.

The last station of the data's way: it reads what `compare`, `train` and `evaluate` wrote and computes no result of its
own.
"""

from __future__ import annotations

from pathlib import Path

from uncollapse.report import evaluation, page

__all__ = ["build"]


def build(directory: Path) -> Path:
    """Writes `report.html` of a comparison, run or evaluation directory, atomically.

    Args:
        directory: What `uncollapse compare`, `train` or `evaluate` wrote.

    Returns:
        The path of the page.

    Raises:
        UserError: The directory is none of them, or a file in it cannot be read.
    """
    judged = (Path(directory) / "evaluation.json").is_file()
    return evaluation.build(directory) if judged else page.build(directory)
