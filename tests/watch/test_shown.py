"""What the page is told: rows and details as strict JSON, in the words of the files and never their markup."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from tests.watch.making import append, finish, loss_line, make_run, snapshot_line, trained

from uncollapse.watch.run import WatchedRun
from uncollapse.watch.shown import FEWEST_POINTS, detail, per_seed, row


def read(folder: Path) -> WatchedRun:
    run = WatchedRun(folder)
    while run.refresh():
        pass
    return run


def shown(run: WatchedRun) -> dict[str, Any]:
    found = row(run, wall=time.time(), steady=0.0)
    json.dumps(found, allow_nan=False)
    return found


def test_the_row_of_a_run_at_work(tmp_path: Path) -> None:
    found = shown(read(trained(tmp_path / "run", upto=500)))
    assert {key: found[key] for key in ("method", "task", "seeds", "n", "update", "updates", "status")} == {
        "method": "vanilla",
        "task": "ring-8",
        "seeds": [0, 1],
        "n": 2,
        "update": 500,
        "updates": 1_000,
        "status": "training",
    }
    # 500 updates in 10 s, two seeds: 100 a second, and 10 s for the other half.
    assert (found["speed"], found["left"]) == (100.0, 10)
    assert (found["modes"], found["solid"]) == (8, [7.0, 7.5, 8.0])
    assert (found["diverged"], found["alarms"], found["behind"], found["silent"]) == (0, 0, None, None)


def test_a_run_without_a_clock_yet_is_timed_by_its_files(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", lines=[loss_line(100, [1.0, 1.0])])
    now = time.time()
    os.utime(folder / "spec.json", (now - 20, now - 20))
    os.utime(folder / "history.jsonl", (now, now))
    found = shown(read(folder))
    assert found["left"] == pytest.approx(180, abs=1)
    assert found["speed"] == pytest.approx(10, abs=0.1)


def test_the_row_of_a_finished_run_tells_its_result(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run")
    finish(folder, diverged={0: 77})
    found = shown(read(folder))
    assert (found["status"], found["update"], found["left"], found["speed"]) == ("finished", 1_000, None, None)
    assert (found["solid"], found["diverged"]) == ([7.0, 7.0, 7.0], 1)


def test_all_that_is_drawn_of_a_run(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run")
    append(folder, {"update": 600, "alarm": {"status": "collapsed", "seed": 1, "sentence": "Seed 1 lost a mode."}})
    append(folder, {"update": 1_000, "from": 500, "seconds": 5.0, "warnings": ["Other torch."]}, name="timing.jsonl")
    found = detail(read(folder))
    json.dumps(found, allow_nan=False)
    assert found["curves"]["critic"]["x"] == list(range(100, 1_001, 100))
    assert found["curves"]["modes_solid"]["low"] == [[8.0] * 11, [8.0] * 5 + [7.0] * 6]
    assert found["map"]["lost"] == [[1, 2, 0, 500]]
    assert found["alarms"] == [{"update": 600, "seed": 1, "status": "collapsed", "sentence": "Seed 1 lost a mode."}]
    assert found["warnings"] == ["Other torch."]
    assert (found["names"], found["fair"], found["verdict"]) == (None, None, "")
    assert found["command"] == "uncollapse train vanilla ring-8 --seeds 0,1"


def test_the_seeds_of_a_run_before_and_after_its_end(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run")
    before = per_seed(read(folder))
    assert [entry["measures"]["modes_solid"] for entry in before] == [8.0, 7.0]
    assert before[1]["losses"] == {"critic": 1.2, "generator": 1.2}
    finish(folder, diverged={1: 321})
    after = per_seed(read(folder))
    assert [entry["diverged"] for entry in after] == [None, 321]
    assert after[0]["measures"] == {"modes_solid": 7.0, "modes_hit": 8.0, "high_quality_share": 0.91}


def test_a_verdict_in_the_result_is_told(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run")
    finish(folder)
    content = json.loads((folder / "result.json").read_text())
    content["verdict"] = {"status": "collapsed", "evidence": [{"sentence": "A mode is gone."}, "odd"]}
    (folder / "result.json").write_text(json.dumps(content))
    found = detail(read(folder))
    assert (found["verdict"], found["evidence"]) == ("collapsed", ["A mode is gone.", "None"])


def test_many_seeds_and_records_stay_a_few_hundred_kilobytes(tmp_path: Path) -> None:
    seeds = range(64)
    lines = [loss_line(update, [1 / (update + seed + 1) for seed in seeds]) for update in range(1, 2_000)]
    found = detail(read(make_run(tmp_path / "run", seeds=seeds, lines=lines)))
    assert FEWEST_POINTS <= len(found["curves"]["critic"]["x"]) <= 12_000 / 64
    assert len(json.dumps(found)) < 500_000


def test_lines_left_out_and_errors_are_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", lines=[loss_line(10, [1.0, 1.0])])
    with (folder / "history.jsonl").open("a") as stream:
        stream.write("broken\n")
    append(folder, {"nothing": 1})
    (folder / "error.log").write_text("Traceback\n  File\nValueError: bad \x1b[2Jthing\n")
    found = detail(read(folder))
    assert found["warnings"] == ["2 lines of history.jsonl could not be understood and are left out."]
    assert found["error"] == "ValueError: bad [2Jthing"


def test_texts_from_files_are_clean_and_short(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", method="\x1b[31mred\u202e" + "x" * 900, task="<img src=x onerror=alert(1)>")
    append(folder, snapshot_line(0, [[0.5, 0.5]] * 2))
    found = shown(read(folder))
    assert found["method"].startswith("[31mredxxx")
    assert len(found["method"]) == 400
    assert found["task"] == "<img src=x onerror=alert(1)>"  # a text, and shown as one
