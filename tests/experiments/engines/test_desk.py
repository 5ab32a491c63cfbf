"""The desk: orders, progress, outcomes and marks between processes that share nothing but a folder."""

from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from uncollapse.errors import UserError
from uncollapse.experiments.engines import Outcome
from uncollapse.experiments.engines import desk as module
from uncollapse.experiments.engines.desk import Desk, Reader, Reporter
from uncollapse.run import Progress


def progress(update: int) -> Progress:
    known = {"method": "m", "task": "t", "seeds": (0, 1), "updates": 9, "updates_per_second": 1.0}
    return Progress(**known, update=update, modes_solid=[1, 2], modes=4, diverged=[])  # type: ignore[arg-type]


def test_workers_go_until_they_are_told_to_stop_or_have_no_head(tmp_path: Path) -> None:
    with Desk.opened(tmp_path / "runs") as desk:
        assert not desk.asked()
        desk.ask_to_stop()
        assert desk.asked()
    assert desk.asked()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_new_head_clears_the_desk_of_a_killed_one_away(tmp_path: Path) -> None:
    left = tmp_path / ".engine-0123456789ab"
    left.mkdir()
    (left / "orders").write_text("go  ")
    orphan = Desk(left)
    assert not orphan.asked()
    with Desk.opened(tmp_path) as desk:
        assert orphan.asked()
        assert not desk.asked()
        orphan.tell("run", progress(1))
        orphan.close_book("run", Outcome(name="run", status="stopped"))
    assert list(tmp_path.iterdir()) == [], "an orphan's last words make no new desk"


def test_a_file_server_that_hesitates_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Desk.opened(tmp_path) as desk, monkeypatch.context() as patch:
        for number, asked in ((errno.EIO, False), (errno.ESTALE, True)):

            def fail(*_: object, number: int = number, **__: object) -> str:
                raise OSError(number, "")

            patch.setattr(Path, "read_text", fail)
            assert desk.asked() is asked


def test_progress_arrives_once_whatever_a_worker_of_another_version_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TELL_SECONDS", 0.0)
    with Desk.opened(tmp_path) as desk:
        reader = Reader(desk)
        assert not desk.begun("run")
        desk.tell("run", None)
        assert desk.begun("run")
        assert list(reader.news(["run", "other"])) == []
        before = (desk.folder / "run.progress").stat().st_mtime_ns
        desk.tell("run", progress(3))
        os.utime(desk.folder / "run.progress", ns=(before, before))  # as where clocks of files tick every few ms
        assert list(reader.news(["run", "other"])) == [("run", progress(3))]
        assert list(reader.news(["run", "other"])) == []
        time.sleep(0.01)
        (desk.folder / "run.progress").write_text(json.dumps({**asdict(progress(4)), "mood": "good"}))
        assert list(reader.news(["run"])) == [("run", progress(4))]
        time.sleep(0.01)
        for damage in ("{", "[" * 200_000):
            (desk.folder / "run.progress").write_text(damage)
            assert list(reader.news(["run"])) == []
            time.sleep(0.01)


def test_an_outcome_is_taken_once(tmp_path: Path) -> None:
    with Desk.opened(tmp_path) as desk:
        assert desk.outcome("run") is None
        word = Outcome(name="run", status="failed", error="Why.", cause="busy")
        desk.close_book("run", word)
        assert desk.outcome("run") == word
        assert desk.outcome("run") is None
        desk.close_book("run", word)
        desk.tell("run", progress(1))
        desk.clear("run")
        assert desk.outcome("run") is None
        assert not desk.begun("run")
        (desk.folder / "run.outcome").write_text("[" * 200_000)
        assert desk.outcome("run") is None


def test_a_mark_that_does_not_appear_is_one_sentence(tmp_path: Path) -> None:
    with Desk.opened(tmp_path / "runs") as desk:
        desk.leave_mark("here")
        desk.expect_mark("here", "machine 1", "ray")
        began = time.monotonic()
        with pytest.raises(UserError) as caught:
            desk.expect_mark("there", "machine\x1b 2", "ray", seconds=0.3)
        assert 0.25 < time.monotonic() - began < 5
    assert str(caught.value) == (
        f"{tmp_path / 'runs'} is not shared with machine 2: a file that was written on one side does not appear on the "
        "other; the engine ray needs an --out that all its machines see at the same path."
    )


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(UserError, match=r"cannot be written.*No space left"), Desk.opened(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_reporter_bothers_the_file_server_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    with Desk.opened(tmp_path) as desk:
        monkeypatch.setattr(Desk, "asked", lambda self: bool(looks.append(1)) or len(looks) > 1)
        reporter = Reporter(desk, "run")
        assert [reporter.stop() for _ in range(50)] == [False] * 50
        assert len(looks) == 1
        reporter._looked = 0.0
        assert [reporter.stop() for _ in range(50)] == [True] * 50
        assert len(looks) == 2
        reporter.progress(progress(1))
        reporter.progress(progress(2))
        assert json.loads((desk.folder / "run.progress").read_text())["update"] == 1
