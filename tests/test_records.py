"""Records: whole lines or none, also where the disk says no in the middle of one; leftovers of killed writers go."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from uncollapse.documents import read_spec
from uncollapse.errors import UserError
from uncollapse.records import append, cut, leftovers, settled_length, throw_away, tidy


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Lets the system refuse every byte of a file beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 25, 49])
def test_a_line_that_does_not_fit_leaves_no_part_of_itself(room: int, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(path, {"update": 1})
    before = path.read_bytes()
    line = {"text": "x" * 38}
    assert len(json.dumps(line)) + 1 == 51
    with files_up_to(len(before) + room), pytest.raises(OSError, match="File too large"):
        append(path, line)
    assert path.read_bytes() == before
    append(path, line)
    assert [json.loads(text) for text in path.read_text().splitlines()] == [{"update": 1}, line]


def test_a_line_that_just_fits_is_there(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(path, {"update": 1})
    with files_up_to(path.stat().st_size + 51):
        append(path, {"text": "x" * 38})
    assert len(path.read_text().splitlines()) == 2


def test_a_file_is_cut_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    cut(path, 0)
    assert not path.exists()
    path.write_text("one\ntwo\n")
    cut(path, 4)
    assert path.read_text() == "one\n"
    assert settled_length(path) == 4
    assert settled_length(tmp_path / "new") == 0


def test_a_length_that_is_not_on_the_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            settled_length(tmp_path / "history.jsonl")


def test_json_is_read_or_named_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text('{"method": {"name": "m"}, "task": {"name": "t"}, "a": [1, null]}')
    assert read_spec(path)["a"] == [1, None]
    path.write_bytes(b"\xff")
    with pytest.raises(
        UserError, match=rf"^{path} is not valid JSON \(.*\); restore it, or train again with --fresh\.$"
    ):
        read_spec(path)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_only_leftovers_go(tmp_path: Path) -> None:
    for folder in ("checkpoints/.tmp-step-000000010-4242/inner", "checkpoints/step-000000005", "samples"):
        (tmp_path / folder).mkdir(parents=True)
    gone = [".result.json.4242.tmp", ".spec.json.1.tmp", "samples/.step-00000001.npz.77.tmp"]
    stay = [".lock", "history.jsonl", "notes.tmp", "samples/final.npz", "samples/mine.tmp", ".hidden", ".mine.tmp"]
    for name in [*gone, *stay, "checkpoints/.tmp-step-000000010-4242/inner/x"]:
        (tmp_path / name).write_text("x")
    found = [str(path.relative_to(tmp_path)) for path in leftovers(tmp_path)]
    assert found == ["checkpoints/.tmp-step-000000010-4242", *gone]
    tidy(tmp_path)
    assert names(tmp_path) == sorted([*stay, "checkpoints", "checkpoints/step-000000005", "samples"])
    tidy(tmp_path)
    tidy(tmp_path / "nowhere")


def test_what_lies_behind_linked_folders_is_no_leftover(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / ".tmp-precious").mkdir(parents=True)
    (tmp_path / "elsewhere" / ".notes.2024.tmp").touch()
    (tmp_path / "run").mkdir()
    for name in ("checkpoints", "samples"):
        (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "run" / ".result.json.4242.tmp").touch()
    assert [path.name for path in leftovers(tmp_path / "run")] == [".result.json.4242.tmp"]
    tidy(tmp_path / "run")
    assert names(tmp_path / "elsewhere") == [".notes.2024.tmp", ".tmp-precious"]


def test_a_report_that_is_being_built_beside_the_training_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / ".report.html.4242.tmp"
    path.write_text("half")
    tidy(tmp_path)
    assert path.exists()
    old = path.stat().st_mtime - 3700
    os.utime(path, (old, old))
    tidy(tmp_path)
    assert not path.exists()


def test_a_link_is_thrown_away_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "x").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    throw_away(tmp_path / "link")
    throw_away(tmp_path / "nowhere")
    assert names(tmp_path) == ["kept", "kept/x"]
    throw_away(tmp_path / "kept")
    assert names(tmp_path) == []


def test_a_writer_that_is_killed_within_a_line_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(path, {"update": 1})
    code = (
        "import os, sys\n"
        "stream = open(sys.argv[1], 'ab', buffering=0)\n"
        'stream.write(b\'{"update": 2, "los\')\n'
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    append(path, {"update": 3})
    assert [json.loads(line)["update"] for line in path.read_text().splitlines()] == [1, 3]
