from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from tests.data.making import write_zip
from tests.report.synthetic import STEPS, write_run

from uncollapse.data.npz_files import NpzFile
from uncollapse.report.load import read_run
from uncollapse.report.records import Cell, Lane


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


@pytest.mark.parametrize("content", [b"no archive", b"", b"PK\x03\x04 a torn archive"])
def test_a_damaged_sample_file_is_an_empty_one_with_a_warning(run: Path, content: bytes) -> None:
    assert read_run(run).warnings == ()
    (run / "samples" / "final.npz").write_bytes(content)
    assert read_run(run).final == {}
    assert read_run(run).warnings == ("samples/final.npz is damaged, so its picture is left out.",)


def test_a_flipped_byte_in_a_sample_file_is_damage(run: Path) -> None:
    path = run / "samples" / "step-00000400.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    assert read_run(run).damaged == (path.name,)


def test_samples_that_claim_much_or_to_be_encrypted_are_damage(run: Path) -> None:
    path = run / "samples" / "final.npz"
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] ^= 1
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1, 10**11)})
    for spoiled in (bytes(content), None):
        if spoiled is None:
            write_zip(path, {"samples.npy": header.getvalue() + bytes(100)})
        else:
            path.write_bytes(spoiled)
        assert read_run(run).final == {}
        assert read_run(run).warnings == ("samples/final.npz is damaged, so its picture is left out.",)


def test_whether_files_are_damaged_is_looked_at_once_and_keeps_no_array(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "samples" / "step-00000400.npz").write_bytes(b"torn")
    np.savez(run / "samples" / "step-00000800.npz", others=np.zeros(3))
    opened: Counter[str] = Counter()

    class Counted(NpzFile):
        def __init__(self, file: Path, place: str) -> None:
            opened[file.name] += 1
            super().__init__(file, place)

        def read(self, name: str) -> NoReturn:
            raise AssertionError(name)

    monkeypatch.setattr("uncollapse.report.records.NpzFile", Counted)
    record = read_run(run)
    for _ in range(3):
        assert record.damaged == ("step-00000400.npz", "step-00000800.npz")
        assert len(record.warnings) == 2
    assert opened == Counter([*(f"step-{update:08d}.npz" for update in STEPS), "final.npz"])


def test_snapshots_give_the_weights_that_are_asked_for_when_all_have_them(run: Path) -> None:
    lane = Lane(run=read_run(run), index=0)
    assert lane.measured("modes_solid", "live")[1][-1] == 8
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    for line in lines:
        if line.get("snapshot"):
            line |= {"measures_live": {"modes_solid": [3, None]}, "shares_live": [[1.0] + [0.0] * 7, None]}
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = (Lane(run=read_run(run), index=i) for i in (0, 1))
    assert first.measured("modes_solid", "live")[1][-1] == 3
    assert first.measured("modes_solid", "averaged")[1][-1] == 8
    assert first.shares("live")[1][-1].tolist() == [1.0] + [0.0] * 7
    assert np.isnan(second.measured("modes_solid", "live")[1]).all()
    assert np.isnan(second.shares("live")[1]).all()


def test_pickled_samples_are_never_loaded(run: Path) -> None:
    np.savez(run / "samples" / "final.npz", samples=np.array([{}], dtype=object))
    assert read_run(run).final == {}


@pytest.mark.parametrize(("unfinished", "finished"), [((), True), ((4,), False)])
def test_a_cell_whose_runs_are_elsewhere_knows_its_modes_and_whether_it_is_finished(
    unfinished: tuple[int, ...], finished: bool
) -> None:
    entry = {"mean": 2.0, "per_seed": [2.0], "bounds": [0.0, 1000.0]}
    cell = Cell(method="a", task="t", seeds=(3,), runs=(), measures={"modes_solid": entry}, unfinished=unfinished)
    assert (cell.modes, cell.finished, cell.shown) == (1000, finished, False)
    assert not Cell(method="a", task="t", seeds=(), runs=()).finished, "nothing was begun"
