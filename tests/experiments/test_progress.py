"""Progress: the plain line, the table, the time left; numbers by hand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from uncollapse.experiments.engines import Job, Outcome
from uncollapse.experiments.progress import LiveBoard, PlainBoard, SilentBoard, make_board
from uncollapse.run import Progress


def job(method: str, updates: int = 100) -> Job:
    """A job of two seeds."""
    return Job(spec={}, directory=Path(method), method=method, task="ring-8", seeds=(0, 1), updates=updates)


def at(
    update: int, speed: float, modes: list[int] | None = None, diverged: list[int] | None = None, **more: Any
) -> Progress:
    """Where a run of 100 updates stands."""
    known = {"method": "m", "task": "ring-8", "seeds": (0, 1), "updates": 100, "modes": 8}
    return Progress(
        **known,
        update=update,
        updates_per_second=speed,
        modes_solid=modes,
        diverged=diverged or [],  # type: ignore[arg-type]
        **more,
    )


def test_the_line_says_where_all_runs_stand() -> None:
    board = PlainBoard([job("a"), job("b"), job("c")], stream=io.StringIO())
    assert board.line() == "0 of 3 runs done"
    board.started("a")
    assert board.line() == "0 of 3 runs done | a on ring-8 is starting"
    board.progress("a", at(60, 20.0, [3, 7], [1]))
    # a: (100 - 60) x 2 seeds = 80, b and c: 200 each; 480 replica-updates at 20/s
    assert board.line() == (
        "0 of 3 runs done | a on ring-8 60 of 100 updates, 20 updates/s, 3-7 of 8 modes, 1 diverged | about 24 s left"
    )
    board.ended(Outcome(name="a", status="finished"))
    board.ended(Outcome(name="b", status="failed", error="a\x1b[31m reason"))
    assert board.line() == "2 of 3 runs done"


def test_the_slowest_run_sets_the_time_left() -> None:
    board = PlainBoard([job("a"), job("b")], stream=io.StringIO())
    for name, speed in (("a", 1.0), ("b", 199.0)):
        board.started(name)
        board.progress(name, at(0, speed))
    assert board.line().endswith("about 3 min 20 s left")


def test_ends_are_written_at_once_and_lines_when_it_is_time() -> None:
    stream = io.StringIO()
    board = PlainBoard([job("a"), job("b")], stream=stream, every=3600)
    board.tick()
    board.started("a")
    board.progress("a", at(100, 20.0, [8, 8]))
    board.ended(Outcome(name="a", status="finished"))
    board.ended(Outcome(name="b", status="failed", error="a\x1b[31m reason"))
    assert stream.getvalue().splitlines() == [
        "finished a on ring-8, seeds 0-1: 8 of 8 modes",
        "failed b on ring-8, seeds 0-1: a[31m reason",
    ]
    often = PlainBoard([job("a")], stream=stream, every=0)
    often.tick()
    assert stream.getvalue().splitlines()[-1] == "0 of 1 runs done"


def test_the_table_of_a_terminal() -> None:
    board = LiveBoard([job("a"), job("b")])
    board.started("a")
    board.progress("a", at(60, 20.0, [3, 7]))
    console = Console(file=io.StringIO(), width=100)
    console.print(board.table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "60/100" in text
    assert "3-7 of 8" in text
    assert "waiting" in text
    assert "0 of 2 runs done, about 14 s left" in text


def test_the_board_fits_the_stream(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(make_board([job("a")])) is PlainBoard
    assert type(make_board([job("a")], show=False)) is SilentBoard
    with make_board([job("a")], show=False) as silent:
        silent.ended(Outcome(name="a", status="finished"))
    assert capsys.readouterr().err == ""
    with monkeypatch.context() as patch:
        patch.setenv("FORCE_COLOR", "1")
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        assert type(make_board([job("a")])) is LiveBoard


def last_cell(table: Table) -> str:
    """What the first row says in the last column."""
    return str(next(iter(table.columns[-1].cells)))


def test_a_run_without_checkpoints_and_collapsed_seeds_are_shown() -> None:
    board = PlainBoard([job("a"), job("b")], stream=io.StringIO())
    board.started("a")
    board.progress("a", at(60, 20.0, [3, 7], [1], degraded="The disk is full.", collapsed=(0,)))
    said = "60 of 100 updates, 20 updates/s, 3-7 of 8 modes, 1 diverged, 1 collapsed, checkpoints cannot be saved |"
    assert said in board.line()
    live = LiveBoard([job("a"), job("b")])
    live.started("a")
    live.progress("a", at(60, 20.0, degraded="The disk is full."))
    table = live.table()
    assert last_cell(table) == "checkpoints cannot be saved"
    assert [row.style for row in table.rows] == ["yellow", "dim"]
    live.progress("a", at(61, 20.0))  # it can be saved again
    assert last_cell(live.table()) == ""


def test_a_run_that_ends_says_which_seeds_went_wrong_and_nothing_of_checkpoints() -> None:
    stream = io.StringIO()
    board = PlainBoard([job("a")], stream=stream, every=3600)
    board.started("a")
    board.progress("a", at(100, 20.0, [8, 8], degraded="The disk is full.", collapsed=(0, 1)))
    board.ended(Outcome(name="a", status="finished"))
    assert stream.getvalue() == "finished a on ring-8, seeds 0-1: 8 of 8 modes, 2 collapsed\n"
