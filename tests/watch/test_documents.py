"""Small files that others write: only regular ones, only objects, no number or text that a browser cannot take."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from uncollapse.watch import documents
from uncollapse.watch.documents import Document, at, items, modified, number, open_regular, parse, text, whole


def test_a_document_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    document = Document(path)
    assert not document.refresh()
    assert document.content is None
    path.write_text('{"status": "finished"}')
    assert document.refresh()
    assert document.content == {"status": "finished"}
    assert not document.refresh()
    (tmp_path / "new").write_text('{"status": "finished", "more": 1}')
    (tmp_path / "new").replace(path)  # as `write_atomic` does
    assert document.refresh()
    assert document.content == {"status": "finished", "more": 1}
    path.unlink()
    assert document.refresh()
    assert document.content is None


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"a": 1} x', "\x00", "[" * 100_000])
def test_what_is_no_json_object_is_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(content)
    document = Document(path)
    assert document.refresh()
    assert document.content is None


def test_a_document_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"a": "b" * 100}))
    monkeypatch.setattr(documents, "MOST_BYTES", 50)
    document = Document(path)
    document.refresh()
    assert document.content is None


def test_links_folders_and_pipes_are_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"secret": 1}')
    (tmp_path / "link.json").symlink_to(secret)
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    assert [open_regular(tmp_path / name) for name in ("link.json", "folder.json", "pipe.json", "absent.json")] == [
        None
    ] * 4
    with open_regular(secret) or pytest.fail("the file itself is not opened") as stream:
        assert stream.read() == b'{"secret": 1}'


def test_numbers_that_json_does_not_know_become_none() -> None:
    assert parse(b'{"a": NaN, "b": -Infinity, "c": 1.5}') == {"a": None, "b": None, "c": 1.5}
    assert parse(b'{"a": "\xff"}') is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (3, 3),
        (3.0, 3),
        (0, 0),
        (-1, None),
        (2.5, None),
        (True, None),
        ("3", None),
        (None, None),
        (10**400, None),
        (1e300, None),
    ],
)
def test_counts_are_whole_and_fit_into_javascript(given: object, expected: int | None) -> None:
    assert whole(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1.23456, 1.235),
        (-2, -2.0),
        (0, 0.0),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        (True, None),
        ("1", None),
    ],
)
def test_numbers_are_finite_or_none(given: object, expected: float | None) -> None:
    assert number(given) == expected


def test_texts_are_one_short_clean_line() -> None:
    assert text("a\x1b[31mb\n\tc\u202e") == "a[31mb c"
    assert text("x" * 500) == "x" * 397 + "..."
    assert text(7) == "7"


def test_places_in_a_document_that_is_not_as_expected() -> None:
    document = {"a": {"b": [1, 2]}, "c": "text"}
    assert at(document, "a", "b") == [1, 2]
    assert at(document, "c", "b", "d") is None
    assert at(None, "a") is None
    assert items(document, "a", "b") == [1, 2]
    assert items(document, "c") == []


def test_dates_of_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.utime(path, (100, 200))
    assert modified(path) == 200
    assert modified(tmp_path / "absent") is None
