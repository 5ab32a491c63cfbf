from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.report.synthetic import UPDATES, write_run

from uncollapse.report.load import load
from uncollapse.report.palette import styles
from uncollapse.report.planar import densities, spread, strips
from uncollapse.report.real import real_data


def test_spread_keeps_even_distances_and_the_last() -> None:
    assert spread(list(range(0, 1100, 100)), 11) == list(range(0, 1100, 100))
    thinned = spread(list(range(0, 2100, 100)), 8)
    assert thinned[-1] == 2000
    assert len(thinned) <= 8
    assert len(set(np.diff(thinned))) == 1


def test_rows_name_their_seed_and_say_what_they_cannot_show(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8), range(2)], hash_="ab", seeds=(4, 5))
    gone = write_run(tmp_path, "wgan", "ring-8", [None, None], hash_="cd", seeds=(4, 5))
    good, bad = load(run), load(gone)
    real = real_data(good, "ring-8")
    cells = (*good.cells, *bad.cells)
    rows = densities(cells, real, styles(["vanilla", "wgan"]), "averaged", 40)
    assert [picture.caption for picture in rows[0].pictures] == [
        "Real", "Generated", "Real, 2,500 points", "Generated, 2,500 points",
    ]  # fmt: skip
    assert rows[0].note.startswith("seed 5")
    assert rows[1].pictures == ()
    assert "no finite sample to show" in rows[1].note


def test_a_strip_shows_every_snapshot_with_the_true_centres(tmp_path: Path) -> None:
    record = load(write_run(tmp_path, "vanilla", "ring-8", [range(8)], hash_="ab", seeds=(4,)))
    (row,) = strips(record.cells, real_data(record, "ring-8"), styles(["vanilla"]), columns=11, pixels=40)
    assert [picture.caption for picture in row.pictures] == [f"{update:,}" for update in range(0, UPDATES + 1, 400)]
    assert all(picture.over for picture in row.pictures)
