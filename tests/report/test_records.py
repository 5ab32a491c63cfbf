from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.report.synthetic import STEPS, write_run

from uncollapse.errors import UserError
from uncollapse.report.records import read_json, read_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path, "vanilla", "ring-8", [range(8), None], hash_="ab", seeds=(3, 4))


def test_a_run_gives_its_losses_snapshots_and_clock(run: Path) -> None:
    record = read_run(run)
    updates, losses = record.losses(1, "critic")
    assert record.seeds == (3, 4)
    assert list(record.sample_files()) == list(STEPS)
    assert [line["update"] for line in record.snapshots] == list(STEPS)
    # The second lane diverges after half of 4,000 updates; its losses are null from there.
    assert np.isfinite(losses[updates <= 2000]).all()
    assert np.isnan(losses[updates > 2000]).all()
    # The fixture's clock: 4,000 updates at 200 a second.
    assert record.seconds == pytest.approx(20)


def test_a_damaged_sample_file_is_an_empty_one(run: Path) -> None:
    (run / "samples" / "final.npz").write_bytes(b"no archive")
    assert read_run(run).final == {}


def test_pickled_samples_are_never_loaded(run: Path) -> None:
    np.savez(run / "samples" / "final.npz", samples=np.array([{}], dtype=object))
    assert read_run(run).final == {}


@pytest.mark.parametrize("content", ["{", "3"])
def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "spec.json").write_text(content)
    with pytest.raises(UserError, match=r"spec\.json"):
        read_json(tmp_path / "spec.json")
