"""A watched directory: what it is, what is new in it, and that nothing in it is ever changed or locked."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from tests.watch.making import append, finish, loss_line, make_comparison, make_run, trained

from uncollapse.errors import UserError
from uncollapse.lease import only_writer
from uncollapse.watch.reading import WatchedDirectory, encode
from uncollapse.watch.samples import list_files


def rows(watched: WatchedDirectory, since: int = 0) -> dict[str, dict[str, object]]:
    return {row["folder"]: row for row in watched.overview(since)["rows"]}


def test_what_cannot_be_watched_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no directory .*absent to watch"):
        WatchedDirectory(tmp_path / "absent")
    with pytest.raises(UserError, match=r"holds no run to watch .*uncollapse train"):
        WatchedDirectory(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="There is no directory"):
        WatchedDirectory(tmp_path / "file")


def test_a_single_run(tmp_path: Path) -> None:
    watched = WatchedDirectory(trained(tmp_path / "run", upto=300))
    state = watched.overview()
    assert (state["kind"], state["title"], state["count"]) == ("run", "vanilla on ring-8", 1)
    assert state["rows"][0]["update"] == 300  # before anything but the end was read
    watched.refresh()
    assert json.loads(watched.detail(state["rows"][0]["id"]) or b"")["curves"]["critic"]["x"] == [100, 200, 300]


def test_a_folder_of_runs(tmp_path: Path) -> None:
    trained(tmp_path / "one", upto=300)
    make_run(tmp_path / "two", method="wgan")
    (tmp_path / "other").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "spec.json").write_text("{}")
    watched = WatchedDirectory(tmp_path)
    assert watched.overview()["kind"] == "folder"
    assert sorted(rows(watched)) == ["one", "two"]
    make_run(tmp_path / "three")  # begins while it is watched
    watched.refresh()
    assert sorted(rows(watched)) == ["one", "three", "two"]


def test_a_comparison_with_runs_that_wait_and_runs_that_nobody_planned(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "comparison")
    trained(folder / "runs" / "vanilla-ring-8", upto=500)
    make_run(folder / "runs" / "vanilla-ring-8-tuned")  # tuned runs are not in the lock
    watched = WatchedDirectory(folder)
    watched.refresh()
    state = watched.overview()
    assert (state["kind"], state["title"], state["description"]) == ("comparison", "small", "A small comparison.")
    assert {name: row["status"] for name, row in rows(watched).items()} == {
        "vanilla-ring-8": "training",
        "wgan-gp-ring-8": "waiting",
        "vanilla-ring-8-tuned": "training",
    }
    # 500 updates of two seeds are left here, 1,000 there and 1,000 in the third, at 100 a second.
    assert state["left"] == 50
    assert state["results"] is None


def test_results_come_when_the_comparison_writes_them_and_only_then(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "comparison")
    watched = WatchedDirectory(folder)
    seen = watched.overview()["version"]
    cell = {
        "method": "vanilla",
        "task": "ring-8",
        "seeds": [0, 1],
        "diverged": [1],
        "unfinished": [],
        "failed": [{"error": "Boom."}],
        "success_rate": {"value": 0.5, "low": 0.1, "high": 0.9, "successes": 1, "n": 2},
        "measures": {"modes_solid": {"mean": 7.5, "low": 6.0, "high": 8.0}},
    }
    document = {"status": "unfinished", "plan": {"headline": "modes_solid"}, "cells": [cell, "odd"]}
    (folder / "comparison.json").write_text(json.dumps(document))
    watched.refresh()
    state = watched.overview(seen)
    assert state["results"]["cells"] == [
        {
            "method": "vanilla",
            "task": "ring-8",
            "n": 2,
            "success": [0.5, 0.1, 0.9],
            "successes": 1,
            "headline": [7.5, 6.0, 8.0],
            "quality": None,
            "diverged": 1,
            "unfinished": 0,
            "failed": ["Boom."],
        }
    ]
    assert (state["results"]["status"], state["results"]["report"]) == ("unfinished", False)
    assert watched.overview(state["version"])["results"] is None


def test_only_rows_that_changed_are_told_again(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "comparison")
    run = make_run(folder / "runs" / "vanilla-ring-8")
    watched = WatchedDirectory(folder)
    watched.refresh()
    seen = watched.overview()["version"]
    watched.refresh()
    assert watched.version == seen
    append(run, loss_line(10, [1.0, 1.0]))
    watched.refresh()
    assert sorted(rows(watched, seen)) == ["vanilla-ring-8"]
    assert sorted(rows(watched)) == ["vanilla-ring-8", "wgan-gp-ring-8"]


def test_a_name_in_the_lock_leads_nowhere_else(tmp_path: Path) -> None:
    trained(tmp_path / "secret")
    folder = make_comparison(tmp_path / "comparison")
    lock = json.loads((folder / "plan.lock.json").read_text())
    names = ["../../secret", str(tmp_path / "secret"), "..", ".", "", "/", None, 7, {"a": 1}]
    lock["runs"] = [{"directory": name, "method": "x", "task": "y", "seeds": [0], "updates": 1} for name in names] + [
        "odd"
    ]
    (folder / "plan.lock.json").write_text(json.dumps(lock))
    watched = WatchedDirectory(folder)
    watched.refresh()
    for row in watched.overview()["rows"]:
        place = watched.run_directory(row["id"])
        assert place is not None
        assert place[0].parent == folder / "runs"
        assert row["status"] == "waiting"


def test_a_run_that_cannot_be_read_is_a_row_with_a_sentence_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "good", upto=200)
    make_run(tmp_path / "bad", lines=[loss_line(10, [1.0, 1.0])])
    watched = WatchedDirectory(tmp_path)
    bad = next(run for run in watched._runs.values() if run.directory.name == "bad")

    def break_down(*_: object) -> None:
        raise RuntimeError("an error \x1b[31mof ours")

    monkeypatch.setattr(bad.history, "take", break_down)
    watched.refresh()
    assert rows(watched)["bad"]["trouble"] == "This run cannot be read: RuntimeError: an error [31mof ours"
    assert rows(watched)["good"]["update"] == 200
    assert json.loads(watched.detail(bad.id) or b"")["warnings"][-1].startswith("This run cannot be read")


def test_a_backlog_is_read_a_little_at_a_time_and_every_run_has_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uncollapse.watch.tail.CHUNK", 60_000)
    for name in ("a", "b", "c"):
        lines = [loss_line(update, [0.123456789] * 2) for update in range(1, 3_000)]
        make_run(tmp_path / name, updates=40_000, lines=lines)
    ticks = iter(range(100_000))
    watched = WatchedDirectory(tmp_path, steady=lambda: next(ticks) * 0.1)
    looks = 1
    assert watched.refresh(budget=0.5)
    assert all(row["update"] == 2_999 for row in rows(watched).values())
    assert any(row["behind"] for row in rows(watched).values())
    while watched.refresh(budget=0.5):
        looks += 1
    assert looks >= 2
    while any(row["behind"] for row in rows(watched).values()):
        watched.refresh(budget=0.5)
    for run in watched._runs.values():
        assert run.history.update == 2_999


def test_details_are_made_once_a_version(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", upto=300)
    watched = WatchedDirectory(folder)
    watched.refresh()
    identifier = watched.overview()["rows"][0]["id"]
    first = watched.detail(identifier)
    assert watched.detail(identifier) is first
    append(folder, loss_line(400, [1.0, 1.0]))
    watched.refresh()
    assert watched.detail(identifier) != first
    assert watched.detail("nonsense") is None
    assert watched.run_directory("../run") is None


def test_nothing_is_changed_and_nothing_is_locked(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", upto=500)
    (folder / ".lock").touch()
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}
    watched = WatchedDirectory(folder)
    with only_writer(folder):  # the trainer holds its lock all the while
        watched.refresh()
        watched.overview()
        watched.detail(watched.overview()["rows"][0]["id"])
    with only_writer(folder):
        pass
    after = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}
    assert {path for path in after if path not in before} == set()
    assert {path for path in before if after[path] != before[path]} <= {folder / ".lock"}


@pytest.mark.parametrize("name", ["a\ud800", "\udc80", "a\x00b", "x" * 300, "\ud800\udc80", "\x1b[2J"])
def test_a_planned_name_that_no_directory_can_have_is_a_run_that_waits(tmp_path: Path, name: str) -> None:
    folder = make_comparison(tmp_path / "comparison")
    watched = WatchedDirectory(folder)
    lock = json.loads((folder / "plan.lock.json").read_text())
    lock["runs"].insert(0, {"directory": name, "method": "odd", "task": "y", "seeds": [0], "updates": 1})
    (folder / "plan.lock.json").write_text(json.dumps(lock))
    trained(folder / "runs" / "vanilla-ring-8", upto=100)
    watched.refresh()
    state = json.loads(encode(watched.overview()))
    statuses = {row["method"]: (row["status"], row["trouble"]) for row in state["rows"]}
    assert statuses == {"vanilla": ("training", ""), "wgan-gp": ("waiting", ""), "odd": ("waiting", "")}
    for row in state["rows"]:
        assert json.loads(watched.detail(row["id"]) or b"")["id"] == row["id"]
        place = watched.run_directory(row["id"])
        assert place is not None
        assert sorted(list_files(place[0])) == ([0, 100] if row["method"] == "vanilla" else [])


def test_what_ends_a_look_is_told_once_and_until_a_look_succeeds(tmp_path: Path) -> None:
    watched = WatchedDirectory(make_run(tmp_path / "run"))
    assert watched.overview()["trouble"] == ""
    assert not watched.report(None)
    seen = watched.version
    told = watched.report(ValueError("odd\x1b[2J"))
    assert told == "The directory cannot be read: ValueError: odd[2J"
    assert not watched.report(ValueError("odd\x1b[2J"))
    assert (watched.version, watched.overview(seen)["trouble"]) == (seen + 1, told)
    assert not watched.report(None)
    assert (watched.version, watched.overview(seen)["trouble"]) == (seen + 2, "")


def test_a_directory_that_nobody_may_write_to_can_be_watched(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", upto=200)
    finish(folder)
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        watched = WatchedDirectory(folder)
        watched.refresh()
        assert watched.overview()["rows"][0]["status"] == "finished"
    finally:
        folder.chmod(0o755)
        (folder / "samples").chmod(0o755)


def test_a_silent_run_becomes_stalled_while_it_is_watched(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", lines=[loss_line(10, [1.0, 1.0])])
    clock = [0.0]
    watched = WatchedDirectory(folder, wall=lambda: time.time() + clock[0], steady=lambda: clock[0])
    watched.refresh()
    assert rows(watched)["run"]["status"] == "training"
    clock[0] = 200.0
    watched.refresh()
    seen = watched.version
    assert (rows(watched)["run"]["status"], rows(watched)["run"]["silent"]) == ("stalled", 3)
    clock[0] = 210.0
    watched.refresh()
    assert watched.version == seen  # minutes are told, not seconds
    clock[0] = 260.0
    watched.refresh()
    assert rows(watched, seen)["run"]["silent"] == 4


def test_the_weights_of_the_plan_decide_what_is_shown(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "comparison")
    lock = json.loads((folder / "plan.lock.json").read_text())
    lock["plan"]["weights"] = "live"
    (folder / "plan.lock.json").write_text(json.dumps(lock))
    watched = WatchedDirectory(folder)
    assert json.loads(watched.detail(watched.overview()["rows"][0]["id"]) or b"")["weights"] == "live"


def test_names_that_are_no_text_are_still_json(tmp_path: Path) -> None:
    folder = make_run(Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xff\xfe")))
    watched = WatchedDirectory(folder)
    assert json.loads(encode(watched.overview()))["count"] == 1
