"""The result of an evaluation: metrics, verdict, and the document and pictures that its report is made of."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.files import only_writer, write_atomic, write_json
from uncollapse.metrics.estimate import Estimate
from uncollapse.verdict.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Group

DOCUMENT, PICTURES = "evaluation.json", "pictures.npz"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was found about one set of fakes.

    Attributes:
        metrics: Name -> estimate.
        verdict: Status, evidence and what was lost.
        document: All of it as JSON values, as in ``evaluation.json``.
        pictures: Thumbnails and coordinates of the maps, as in ``pictures.npz``.
    """

    metrics: Mapping[str, Estimate]
    verdict: Verdict
    document: Mapping[str, Any]
    pictures: Mapping[str, NDArray[Any]]

    def __str__(self) -> str:
        """The verdict, for people."""
        return str(self.verdict)

    def save(self, directory: str | Path) -> Path:
        """Writes ``evaluation.json``, ``pictures.npz`` and ``report.html``; returns the report's path.

        Raises:
            UserError: Another process is writing there.
        """
        from uncollapse.report import build

        target = Path(directory)
        with only_writer(target):
            content = io.BytesIO()
            np.savez_compressed(content, **self.pictures)  # type: ignore[arg-type]
            write_atomic(target / PICTURES, content.getvalue())
            write_json(target / DOCUMENT, dict(self.document))
            return build(target)

    def report(self, path: str | Path = "report.html") -> Path:
        """Writes the report alone, as one HTML file; returns its path."""
        wanted = Path(path)
        with tempfile.TemporaryDirectory() as folder:
            built = self.save(folder)
            wanted.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(built, wanted)
        return wanted

    def table(self) -> Group:
        """Verdict, evidence, what was lost and metrics, for a terminal."""
        from uncollapse.evaluation.tables import evaluation_table

        return evaluation_table(self.document)
