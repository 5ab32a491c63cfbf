"""One synthetic comparison and its page for all tests of the report, which only read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock
from tests.report.synthetic import write_comparison

from uncollapse.report import build, sample_map


@pytest.fixture(scope="session")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the synthetic comparison, with its report; processes that test side by side share it."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "comparison"
    built = directory.with_name("comparison-is-built")
    with FileLock(directory.with_name("comparison.lock")), pytest.MonkeyPatch.context() as changed:
        if not built.exists():
            changed.setattr(sample_map, "MAP_POINTS", 120)  # the map takes most of the time of a page
            build(write_comparison(directory))
            built.touch()
    return directory


@pytest.fixture(scope="session")
def page(comparison: Path) -> str:
    """The HTML of its report."""
    return (comparison / "report.html").read_text(encoding="utf-8")
