from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from uncollapse.features import inception_weights
from uncollapse.features.inception_weights import HOW_TO_GET, WEIGHTS, cached_weights


def test_what_can_be_fetched_is_fully_described() -> None:
    # The file's name carries the first digits of its hash, as torch.hub checks them.
    assert WEIGHTS.sha256.startswith("6726825d")
    assert len(WEIGHTS.sha256) == 64
    assert all(url.startswith("https://github.com/") and url.endswith("-6726825d.pth") for url in WEIGHTS.urls)
    assert WEIGHTS.size == 95_628_359
    assert "`uncollapse data fetch inception`" in HOW_TO_GET
    assert "95.6 MB" in HOW_TO_GET


def test_data_folder_and_cache_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception_weights, "WEIGHTS", replace(WEIGHTS, size=5))
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNCOLLAPSE_DATA", str(tmp_path / "data"))
    assert cached_weights() is None
    for folder in ("cache", "data"):  # the data folder wins
        place = tmp_path / folder / WEIGHTS.path
        place.parent.mkdir(parents=True)
        place.write_bytes(b"half")
        assert cached_weights() != place
        place.write_bytes(b"whole")
        assert cached_weights() == place
    monkeypatch.delenv("UNCOLLAPSE_DATA")
    assert cached_weights() == tmp_path / "cache" / WEIGHTS.path


@pytest.mark.parametrize("entered", [True, False])
def test_a_cache_that_may_not_be_entered_counts_as_absent(
    entered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception_weights, "WEIGHTS", replace(WEIGHTS, size=5))
    monkeypatch.delenv("UNCOLLAPSE_DATA", raising=False)
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path))
    place = tmp_path / WEIGHTS.path
    place.parent.mkdir(parents=True)
    place.write_bytes(b"whole")
    if not entered:  # root may enter every folder, but no name may be this long; both fail at a look at the file
        monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / ("x" * 300)))
    assert cached_weights() == (place if entered else None)


def test_it_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'scipy', 'sklearn'}"
    code = f"import sys, uncollapse.features.inception_weights; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
