"""A run directory while it grows, stops, crashes, continues and ends."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from tests.watch.making import append, finish, loss_line, make_run, snapshot_line, trained

from uncollapse.watch.run import WatchedRun


def read_all(run: WatchedRun) -> WatchedRun:
    while run.refresh():
        pass
    return run


def state(run: WatchedRun, later: float = 0.0) -> str:
    return run.status(wall=time.time() + later, steady=0.0)[0]


def test_a_planned_run_waits_and_then_begins(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = WatchedRun(folder, planned={"method": "vanilla (tuned)", "task": "ring-8", "seeds": [3, 4], "updates": 50})
    run.peek()
    assert (state(run), run.seeds, run.updates, run.name("method")) == ("waiting", [3, 4], 50, "vanilla (tuned)")
    make_run(folder, seeds=(3, 4), updates=50)
    assert run.refresh() is False
    assert state(run) == "training"
    assert run.name("method") == "vanilla (tuned)"  # as the comparison calls it


def test_every_change_is_a_new_version_and_nothing_else_is(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    run = WatchedRun(folder)
    run.peek()
    read_all(run)
    before = run.version
    read_all(run)
    assert run.version == before
    for step in (
        lambda: append(folder, loss_line(10, [1.0, 1.0])),
        lambda: append(folder, {"update": 10, "from": 0, "seconds": 1.0}, name="timing.jsonl"),
        lambda: finish(folder),
    ):
        step()
        read_all(run)
        assert run.version > before
        before = run.version


def test_a_long_history_is_known_at_its_end_at_once(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", lines=[loss_line(update, [1.0, 2.0]) for update in range(1, 900)])
    run = WatchedRun(folder)
    run.peek()
    assert run.update == 899
    assert run.history.update == 0
    read_all(run)
    assert run.history.update == 899


def test_a_run_that_continues_after_a_crash_shows_what_its_history_holds_then(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    for update in range(100, 600, 100):
        append(folder, loss_line(update, [1.0, None if update >= 400 else 2.0]))
    append(folder, snapshot_line(500, [[0.5, 0.5], None]), {"update": 500, "alarm": {"status": "collapsed"}})
    run = read_all(WatchedRun(folder))
    assert (run.update, run.diverged(), run.history.alarm_count) == (500, {1: 400}, 1)
    # The newest checkpoint was at 200: the trainer cuts the history back to it and goes on, on another machine
    # perhaps, where the seed does not diverge.
    lines = (folder / "history.jsonl").read_bytes().splitlines(keepends=True)
    os.truncate(folder / "history.jsonl", sum(map(len, lines[:2])))
    read_all(run)
    assert (run.update, run.diverged(), run.history.alarm_count) == (200, {}, 0)
    append(folder, loss_line(300, [1.5, 2.5]))
    read_all(run)
    assert run.history.curves["critic"].to_json(9) == {"x": [100, 200, 300], "low": [[1.0, 1.0, 1.5], [2.0, 2.0, 2.5]]}
    assert run.history.lives.updates == []


def test_a_run_of_other_seeds_in_the_same_folder_is_another_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", lines=[loss_line(10, [1.0, 2.0])])
    run = read_all(WatchedRun(folder))
    (folder / "history.jsonl").unlink()
    make_run(folder, seeds=(7,), lines=[loss_line(5, [4.0])])  # trained anew with --fresh
    read_all(run)
    assert run.seeds == [7]
    assert run.history.curves["critic"].to_json(9) == {"x": [5], "low": [[4.0]]}


def test_a_finished_run_is_finished_and_is_looked_at_no_more_than_needed(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run")
    finish(folder, diverged={1: 321})
    run = read_all(WatchedRun(folder))
    run.refresh()
    assert state(run, later=1e6) == "finished"
    assert run.diverged() == {1: 321}
    assert run.mode_names == [f"point {mode}" for mode in range(8)]
    assert run.mode_weights is not None
    assert run.mode_weights.tolist() == [0.125] * 8
    # More updates: the trainer removes the result and goes on.
    (folder / "result.json").unlink()
    append(folder, loss_line(1_100, [1.0, 1.0]))
    read_all(run)
    assert (state(run), run.update) == ("judging", 1_100)
    make_run(folder, updates=5_000)
    read_all(run)
    assert state(run) == "training"


def test_a_half_written_result_is_none(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    finish(folder, status="measuring")
    run = read_all(WatchedRun(folder))
    assert run.result is None
    (folder / "result.json").write_text('{"status": "fini')
    read_all(run)
    assert run.result is None


def test_a_silent_run_is_stalled_and_lives_again_when_it_writes(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", lines=[loss_line(10, [1.0, 1.0])])
    old = time.time() - 1_000
    for path in (folder, *folder.iterdir()):
        os.utime(path, (old, old))
    run = read_all(WatchedRun(folder))
    name, silent = run.status(wall=time.time(), steady=0.0)
    assert name == "stalled"
    assert silent == pytest.approx(1_000, abs=5)
    make_run(folder, lines=[loss_line(20, [1.0, 1.0])])  # a run that continues writes its specification again
    read_all(run)
    assert run.status(wall=time.time(), steady=1.0)[0] == "training"
    assert run.status(wall=time.time(), steady=100.0)[0] == "training"
    assert run.status(wall=time.time() + 300, steady=301.0)[0] == "stalled"


def test_a_failed_run_is_failed_until_it_is_started_again(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", lines=[loss_line(10, [1.0, 1.0])])
    (folder / "error.log").write_text("Traceback ...\nRuntimeError: out of memory\n")
    later = time.time() + 5
    os.utime(folder / "error.log", (later, later))
    run = read_all(WatchedRun(folder))
    assert state(run) == "failed"
    os.utime(folder / "spec.json", (later + 1, later + 1))
    assert state(run) == "training"


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"method": "x", "task": None, "seeds": "all", "updates": "many"},
        {"method": {"dynamics": [1]}, "seeds": [1.5, None, "x"], "updates": -3},
        {
            "method": {"name": {"a": 1}, "dynamics": {"critic_steps": "5"}},
            "seeds": [0],
            "modes": {"names": 3, "weights": "x"},
        },
    ],
)
def test_a_specification_that_makes_no_sense_is_borne(tmp_path: Path, spec: dict[str, object]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(spec))
    append(folder, loss_line(10, [1.0]), snapshot_line(10, [[0.5, 0.5]]))
    run = WatchedRun(folder)
    run.peek()
    read_all(run)
    assert state(run) in ("training", "waiting")
    assert run.updates == 0
    assert run.mode_names is None
    assert run.mode_weights is None


def test_weights_that_are_no_shares_are_not_believed(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run")
    finish(folder)
    run = read_all(WatchedRun(folder))
    for weights in ([0.5] * 7, [0.0] * 8, [-1.0] * 8, ["x"] * 8, [None] * 8, [2.0] * 8):
        content = json.loads((folder / "result.json").read_text())
        content["modes"]["weights"] = weights
        (folder / "result.json").write_text(json.dumps(content))
        run.refresh()
        assert run.mode_weights is None, weights


def test_identifiers_are_the_names_own_and_stay_the_same(tmp_path: Path) -> None:
    first, second = WatchedRun(tmp_path / "a"), WatchedRun(tmp_path / "b")
    assert first.id != second.id
    assert first.id == WatchedRun(tmp_path / "a").id
    assert first.id.isalnum()
