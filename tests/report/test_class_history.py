from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.report.synthetic import write_run

from uncollapse.report.class_history import class_history
from uncollapse.report.load import load
from uncollapse.report.palette import styles
from uncollapse.report.real import real_data
from uncollapse.report.records import Record


def rewritten(directory: Path, shares: list[list[float] | None]) -> Record:
    """The record with the last shares of every seed set by hand."""
    path = directory / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1]["shares"] = shares
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load(directory)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Two seeds: in the last snapshot one makes the first two digits only, the other all."""
    run = write_run(tmp_path, "a", "digits", [range(10)] * 2, hash_="ab", seeds=(0, 7))
    return rewritten(run, [[0.5, 0.5] + [0.0] * 8, [0.1] * 10])


def ink(uri: str) -> np.ndarray:
    """Opacity of each pixel, 0 .. 255."""
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(picture.convert("RGBA"))[..., 3]


def test_a_lost_class_fades_and_is_counted(record: Record) -> None:
    (row,) = class_history(record.cells, real_data(record, "digits"), styles(["a"]))
    first, second = row.pictures
    table = ink(first.uri)
    # Ten classes down, eleven snapshots across; half of the data is five times the fair share: full ink.
    assert table.shape == (10, 11)
    assert table[:, -1].tolist() == [255] * 2 + [0] * 8
    assert (table[:, -2] > 0).all()
    assert first.caption == "seed 0, 8 hardly made"
    assert first.alt.endswith("hardly made: digit 2, digit 3, digit 4, digit 5, digit 6, digit 7, digit 8, digit 9")
    # The fair share is half the scale.
    assert np.allclose(ink(second.uri)[:, -1], 127, atol=10)
    assert (second.caption, second.alt.rpartition("; ")[2]) == ("seed 7", "at the end every class is made")
    assert row.note == "update 0 at the left, 4,000 at the right"


def test_a_diverged_seed_says_so(record: Record) -> None:
    gone = rewritten(record.directory, [None, [0.1] * 10])
    (row,) = class_history(gone.cells, real_data(gone, "digits"), styles(["a"]))
    assert row.pictures[0].caption == "seed 0, diverged"
    assert ink(row.pictures[0].uri)[:, -1].max() == 0


def test_many_seeds_are_cut_and_it_is_said(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncollapse.report.class_history.MOST_SEEDS", 1)
    (row,) = class_history(record.cells, real_data(record, "digits"), styles(["a"]))
    assert len(row.pictures) == 1
    assert row.note.endswith("; 1 of 2 seeds")


def test_a_run_without_snapshots_has_no_history(tmp_path: Path) -> None:
    run = write_run(tmp_path, "a", "digits", [range(10)], hash_="ab", seeds=(0,))
    (run / "history.jsonl").write_text("")
    record = load(run)
    assert class_history(record.cells, real_data(record, "digits"), styles(["a"])) == []
