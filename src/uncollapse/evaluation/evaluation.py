"""The result of an evaluation: metrics, verdict, and the document and pictures that its report is made of."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.errors import UserError
from uncollapse.files import write_atomic, write_json
from uncollapse.lease import only_writer
from uncollapse.metrics.estimate import Estimate
from uncollapse.verdict.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Group

DOCUMENT, PICTURES, REPORT = "evaluation.json", "pictures.npz", "report.html"


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

        They are made beside the directory and moved into it at the end: an interruption leaves what was there.

        Raises:
            UserError: Another process is writing there.
        """
        target = Path(directory)
        with self._made(target.absolute().parent) as folder, only_writer(target):
            for name in (PICTURES, DOCUMENT, REPORT):
                (folder / name).replace(target / name)
        return target / REPORT

    def report(self, path: str | Path = REPORT) -> Path:
        """Writes the report alone, as one HTML file (into a folder as ``report.html``); returns its path.

        Raises:
            UserError: The name has another ending.
        """
        wanted = Path(path)
        if wanted.is_dir():
            wanted /= REPORT
        if wanted.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"The report is an HTML file, so {wanted} would be a wrong name for it; end it in .html.")
        with self._made() as folder:
            write_atomic(wanted, (folder / REPORT).read_bytes())
        return wanted

    def table(self) -> Group:
        """Verdict, evidence, what was lost and metrics, for a terminal."""
        from uncollapse.evaluation.tables import evaluation_table

        return evaluation_table(self.document)

    @contextmanager
    def _made(self, beside: Path | None = None) -> Iterator[Path]:
        """All files in a folder that is gone afterwards."""
        from uncollapse.report import build

        if beside is not None:
            beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".evaluation-", dir=beside) as folder:
            content = io.BytesIO()
            np.savez_compressed(content, **self.pictures)  # type: ignore[arg-type]
            write_atomic(Path(folder) / PICTURES, content.getvalue())
            write_json(Path(folder) / DOCUMENT, dict(self.document))
            build(Path(folder))
            yield Path(folder)
