"""Files that survive: whole or old, torn tails left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import uncollapse
from uncollapse.errors import UserError
from uncollapse.files import append_line, read_lines, readable, to_json, write_atomic, write_json

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(uncollapse.__file__).parents[1])}

FULL_DISK = """
import resource, sys
from collections.abc import Iterator
from pathlib import Path
from uncollapse.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(Path(sys.argv[1]), b"x" * 5000)
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_json_is_strict() -> None:
    assert to_json({"a": [1, None, "ü"]}) == '{"a": [1, null, "ü"]}'
    for value in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            to_json({"a": value})


def test_write_atomic_writes_bytes_and_text_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    write_atomic(path, "ü")
    assert path.read_bytes() == b"\xc3\xbc"
    assert names(path.parent) == ["file"]


def test_write_json_is_readable_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"k": [1, 2.5, None, "ü"]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"k": [1, 2.5, None, "ü"]}
    assert text.endswith("}\n")
    assert "ü" in text
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == text


def test_names_that_are_no_valid_text_survive_json(tmp_path: Path) -> None:
    """Half characters, as Python has them for a file named in Latin-1; UTF-8 cannot hold them."""
    value = {"file": os.fsdecode(b"caf\xe9.npz"), "other": "café"}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    append_line(tmp_path / "lines.jsonl", value)
    assert read_lines(tmp_path / "lines.jsonl") == [value]
    write_atomic(tmp_path / "page.html", value["file"])
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == r"caf\udce9.npz"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["OSError", "27"]  # EFBIG
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_step_leaves_the_old_file_and_nothing_else(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_lines_are_appended_whole_and_their_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    assert append_line(path, {"a": 1}) == len('{"a": 1}\n') == 9
    assert append_line(path, {"b": "ü"}) == 9 + len('{"b": "ü"}\n'.encode()) == 21
    assert path.read_text(encoding="utf-8") == '{"a": 1}\n{"b": "ü"}\n'
    assert read_lines(path) == [{"a": 1}, {"b": "ü"}]
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_line(path, {"c": float("nan")})
    assert path.stat().st_size == 21


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "lines") == []
    (tmp_path / "lines").touch()
    assert read_lines(tmp_path / "lines") == []


@pytest.mark.parametrize("torn", ["{", '{"b": 2', '{"b": 2}', "\0\0\0"])
def test_a_torn_last_line_is_left_out(torn: str, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text('{"a": 1}\n' + torn, encoding="utf-8")
    assert read_lines(path) == [{"a": 1}]


def test_appending_after_a_torn_line_leaves_readable_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text('{"a": 1}\n{"b', encoding="utf-8")
    append_line(path, {"c": 3})
    assert read_lines(path) == [{"a": 1}, {"c": 3}]


@pytest.mark.parametrize("damaged", [b'{"b": ', b"\xff\xfe\xfd", b"\0\0\0\0\0", b"", b"[1]", b"[" * 200_000])
def test_a_damaged_inner_line_is_named(damaged: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b'{"a": 1}\n' + damaged + b'\n{"c": 3}\n')
    with pytest.raises(UserError, match=rf"^Line 2 of {path} is damaged; run `uncollapse doctor {tmp_path}`\.$"):
        read_lines(path)


def test_a_line_is_capped_and_a_file_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, line = tmp_path / "lines", b'{"a": [1, 2]}\n'
    monkeypatch.setattr("uncollapse.files.MOST_LINE_BYTES", len(line) - 1)
    path.write_bytes(line * 1_000)
    assert read_lines(path) == [{"a": [1, 2]}] * 1_000
    for last in (b'{"aa": [1, 2]}\n', b"\0" * 100):  # a torn one, too
        path.write_bytes(line + last)
        with pytest.raises(UserError, match=rf"^Line 2 of {path} is damaged"):
            read_lines(path)


def test_a_pipe_holds_no_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lines")
    with pytest.raises(UserError, match="is damaged"):
        read_lines(tmp_path / "lines")


def test_blocks_are_written_as_one_file_and_a_failure_among_them_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, (bytes([number]) * 3 for number in range(3)))
    assert path.read_bytes() == b"\0\0\0\1\1\1\2\2\2"

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        write_atomic(path, broken())
    assert path.read_bytes() == b"\0\0\0\1\1\1\2\2\2"
    assert list(tmp_path.iterdir()) == [path]


def test_what_may_not_be_looked_at_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    long = tmp_path / ("x" * 300) / "a"  # as a folder that may not be entered, it fails at a look, for root too
    with pytest.raises(OSError, match="too long"):
        long.stat()
    assert [readable(path) for path in (tmp_path / "a", long, tmp_path / "b", tmp_path)] == [True, False, False, False]
