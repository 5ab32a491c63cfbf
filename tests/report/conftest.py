"""One synthetic comparison and its page for all tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.synthetic import write_comparison

from uncollapse.report import build, sample_map


@pytest.fixture(scope="session")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the synthetic comparison, with its report."""
    directory = write_comparison(tmp_path_factory.mktemp("comparison"))
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(sample_map, "MAP_POINTS", 120)  # the map takes most of the time of a page
        build(directory)
    return directory


@pytest.fixture(scope="session")
def page(comparison: Path) -> str:
    """The HTML of its report."""
    return (comparison / "report.html").read_text(encoding="utf-8")
