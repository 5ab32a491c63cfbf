"""Directory -> report: the page beside the results, or its tables as Markdown, CSV, JSON or LaTeX.

What a directory holds decides: `evaluation.json`, `comparison.json`, or the `spec.json` of a single run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from uncollapse.errors import UserError, unknown
from uncollapse.files import write_atomic
from uncollapse.report import evaluation, page
from uncollapse.report.evaluation_load import load_evaluation
from uncollapse.report.evaluation_sheets import evaluation_sheets
from uncollapse.report.formats import FORMATS
from uncollapse.report.load import load
from uncollapse.report.sheets_of import sheets_of

HTML = "html"
STANDARD_OUTPUT = "-"


def build(directory: Path) -> Path:
    """Writes `report.html` of a comparison, run or evaluation directory, atomically.

    Args:
        directory: What `uncollapse compare`, `train` or `evaluate` wrote, finished or not.

    Returns:
        The path of the page.

    Raises:
        UserError: The directory is none of them, or a file in it cannot be read.
    """
    target = Path(directory) / "report.html"
    write_atomic(target, _text(Path(directory), HTML))
    return target


def write(directory: Path, form: str = HTML, out: str | None = None) -> Path | None:
    """Writes a report in a format.

    Args:
        directory: What `uncollapse compare`, `train` or `evaluate` wrote.
        form: "html", "md", "csv", "json" or "latex".
        out: A file, or "-" for standard output; by default a page is written beside the results and everything else
            to standard output.

    Returns:
        The path of what was written, None for standard output.

    Raises:
        UserError: There is no such format, the file is a directory, or the directory holds no results.
    """
    if form not in (HTML, *FORMATS):
        raise unknown("report format", form, (HTML, *FORMATS))
    if out is None and form == HTML:
        return build(directory)
    target = None if out in (None, STANDARD_OUTPUT) else Path(str(out))
    if target is not None and target.is_dir():
        raise UserError(f"{str(target)!r} is a directory; give --out the name of a file, or - for standard output.")
    text = _text(Path(directory), form)
    if target is None:
        sys.stdout.write(text)
        return None
    write_atomic(target, text)
    return target


def _text(directory: Path, form: str) -> str:
    """The report as text."""
    if (directory / "evaluation.json").is_file():
        judged = load_evaluation(directory)
        if form == HTML:
            return evaluation.compose(judged)
        return FORMATS[form](judged.fake_name, evaluation_sheets(judged))
    record = load(directory)
    return page.compose(record) if form == HTML else FORMATS[form](page.title(record), sheets_of(record))
