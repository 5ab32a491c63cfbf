"""Small maps for every test of an evaluation, and features kept in no folder of the user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from uncollapse.evaluation import maps


@pytest.fixture(autouse=True, scope="module")
def _small_and_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "MOST", 40)
        patch.setattr(maps, "AFTER", 50)
        patch.setenv("UNCOLLAPSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what several tests of a module read."""
    return tmp_path_factory.mktemp("data")
