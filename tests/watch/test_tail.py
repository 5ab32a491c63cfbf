"""A growing file read line by line: torn ends wait, cut and replaced files are read anew, nothing is read twice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from uncollapse.files import append_line
from uncollapse.watch import tail
from uncollapse.watch.tail import Tail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def write(path: Path, *numbers: int, mode: str = "a") -> None:
    with path.open(mode) as stream:
        stream.writelines(json.dumps({"update": number, "pad": "x" * 40}) + "\n" for number in numbers)


def updates(lines: list[dict[str, Any]]) -> list[int]:
    return [line["update"] for line in lines]


def test_each_line_is_read_once_as_the_file_grows(path: Path) -> None:
    follower = Tail(path)
    assert follower.read().lines == []
    write(path, 1, 2)
    assert updates(follower.read().lines) == [1, 2]
    assert follower.read().lines == []
    write(path, 3)
    news = follower.read()
    assert (updates(news.lines), news.restarted, news.more) == ([3], False, False)
    assert follower.offset == path.stat().st_size
    assert follower.behind == 0


def test_a_torn_last_line_waits_for_its_end(path: Path) -> None:
    follower = Tail(path)
    write(path, 1)
    with path.open("a") as stream:
        stream.write('{"update": 2, "lo')
    assert updates(follower.read().lines) == [1]
    assert follower.behind == 17
    assert follower.read().lines == []
    with path.open("a") as stream:
        stream.write('sses": {}}\n')
    assert updates(follower.read().lines) == [2]


def test_a_torn_line_that_the_writer_removes_is_never_seen(path: Path) -> None:
    follower = Tail(path)
    write(path, 1)
    with path.open("a") as stream:
        stream.write('{"update": 2, "torn by a power cut')
    assert updates(follower.read().lines) == [1]
    append_line(path, {"update": 3})  # the project's own writer cuts the torn line off
    news = follower.read()
    assert (updates(news.lines), news.restarted, follower.damaged) == ([3], False, 0)


def test_a_history_that_is_cut_back_is_read_anew(path: Path) -> None:
    follower = Tail(path)
    write(path, 1, 2, 3, 4)
    follower.read()
    size = path.stat().st_size
    os.truncate(path, size // 2)
    news = follower.read()
    assert (updates(news.lines), news.restarted) == ([1, 2], True)


def test_a_history_that_was_cut_back_and_has_grown_again_meanwhile_is_read_anew(path: Path) -> None:
    follower = Tail(path)
    write(path, 1, 2, 3, 4)
    follower.read()
    os.truncate(path, path.stat().st_size // 2)
    write(path, 8, 9, 5, 6, 7)  # longer than it was when it was read
    news = follower.read()
    assert (updates(news.lines), news.restarted) == ([1, 2, 8, 9, 5, 6, 7], True)


def test_the_same_lines_written_again_need_no_new_reading(path: Path) -> None:
    follower = Tail(path)
    write(path, 1, 2, 3, 4)
    follower.read()
    os.truncate(path, path.stat().st_size // 2)
    write(path, 3, 4, 5)  # a continued run repeats itself to the last bit
    news = follower.read()
    assert (updates(news.lines), news.restarted) == ([5], False)


def test_a_file_that_goes_and_comes_back_is_another_one(path: Path) -> None:
    follower = Tail(path)
    write(path, 1, 2)
    follower.read()
    path.unlink()
    assert follower.read().restarted
    assert not follower.read().restarted
    write(path, 7)
    assert updates(follower.read().lines) == [7]


def test_a_file_that_is_replaced_by_another_is_read_anew(path: Path, tmp_path: Path) -> None:
    follower = Tail(path)
    write(path, 1, 2)
    follower.read()
    write(tmp_path / "other", 5, 6, 7)
    (tmp_path / "other").replace(path)
    news = follower.read()
    assert (updates(news.lines), news.restarted) == ([5, 6, 7], True)


def test_a_long_file_is_read_in_pieces_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "CHUNK", 200)
    follower = Tail(path)
    write(path, *range(10))
    found, looks, more = [], 0, True
    while more:
        news = follower.read()
        found += updates(news.lines)
        more, looks = news.more, looks + 1
    assert found == list(range(10))
    assert looks > 2


def test_a_line_longer_than_a_piece_is_still_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "CHUNK", 20)
    follower = Tail(path)
    write(path, 1, 2)
    assert updates(follower.read().lines) == [1]
    assert updates(follower.read().lines) == [2]


def test_an_endless_line_is_passed_over_without_taking_the_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "CHUNK", 20)
    monkeypatch.setattr(tail, "LONGEST_LINE", 100)
    follower = Tail(path)
    path.write_text("x" * 250 + "\n")
    write(path, 1)
    found = [line for _ in range(10) for line in follower.read().lines]
    assert updates(found) == [1]
    assert follower.damaged >= 1


def test_lines_that_are_no_objects_are_counted_and_left_out(path: Path) -> None:
    follower = Tail(path)
    path.write_text('{"update": 1}\nnot json\n[1, 2]\n\n{"update": 2}\n')
    assert updates(follower.read().lines) == [1, 2]
    assert follower.damaged == 3


def test_the_newest_update_is_known_at_once(path: Path) -> None:
    write(path, *range(3_000))
    follower = Tail(path)
    assert follower.newest_update() == 2_999
    assert follower.offset == 0
    with path.open("a") as stream:
        stream.write('{"update": 5000, "torn')
    assert follower.newest_update() == 2_999
    assert Tail(path.with_name("absent")).newest_update() == 0
