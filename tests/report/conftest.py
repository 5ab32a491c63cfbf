"""One synthetic comparison and its page for all tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.synthetic import write_comparison

from uncollapse.report import build


@pytest.fixture(scope="session")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the synthetic comparison, with its report."""
    directory = write_comparison(tmp_path_factory.mktemp("comparison"))
    build(directory)
    return directory


@pytest.fixture(scope="session")
def page(comparison: Path) -> str:
    """The HTML of its report."""
    return (comparison / "report.html").read_text(encoding="utf-8")
