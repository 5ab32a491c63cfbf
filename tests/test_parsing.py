"""Documents are read, or refused by a `ValueError`, whatever their size, depth or kind of file."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from uncollapse.parsing import (
    MOST_BYTES,
    MOST_DEPTH,
    MOST_DOTS,
    MOST_PLAN_BYTES,
    Beyond,
    check_size,
    parse_json,
    parse_toml,
    read_json,
    regular_size,
)


def nested(depth: int, start: str = "[", end: str = "]") -> str:
    """Brackets within brackets."""
    return start * depth + end * depth


def test_json_is_what_it_says(tmp_path: Path) -> None:
    text = '{"a": [1, 2.5, null, "ü"], "b": {"c": [[]]}, "n": NaN}'
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    for found in (parse_json(text.encode()), read_json(tmp_path / "a.json")):
        assert math.isnan(found.pop("n"))
        assert found == {"a": [1, 2.5, None, "ü"], "b": {"c": [[]]}}
    assert read_json(tmp_path / "a.json", parse_constant=lambda name: name)["n"] == "NaN"
    assert parse_json(b"3") == 3


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1" + b"0" * 5000 + b"]", "[1]".encode("utf-16")])
def test_what_is_no_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_json(content)
    assert not isinstance(caught.value, Beyond)


@pytest.mark.parametrize(("start", "end", "levels"), [("[", "]", 1), ('{"a": [', "]}", 2), ('[{"a": ', "}]", 2)])
def test_the_depth_of_json_is_counted(start: str, end: str, levels: int) -> None:
    fits, inner = MOST_DEPTH // levels, "1" if levels == 2 else ""
    assert parse_json((start * fits + inner + end * fits).encode())
    with pytest.raises(Beyond, match=r"^is nested more than 100 levels deep$"):
        parse_json((start * (fits + 1) + inner + end * (fits + 1)).encode())


def test_the_depth_of_toml_is_counted() -> None:
    fits = MOST_DEPTH - 1  # the document is a level itself
    assert parse_toml(f"a = {nested(fits)}")
    for text in (f"a = {nested(fits + 1)}", "b = " + "{a = " * 100 + "1" + "}" * 100, "a" + ".a" * 100 + " = 1"):
        with pytest.raises(Beyond, match=r"^is nested more than 100 levels deep$"):
            parse_toml(text)


@pytest.mark.parametrize("depth", [900, 5_000, 200_000])
@pytest.mark.parametrize("end", ["", "]"])
def test_no_depth_overflows_the_stack(depth: int, end: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(nested(depth, end=end).encode())
    with pytest.raises(ValueError, match=r"."):
        parse_toml(f"a = {nested(depth, end=end)}")


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(parse_json(f"[{', '.join(['[{}]'] * 500)}]".encode())) == 500
    assert parse_json(b'["' + b"[" * 500 + b'"]') == ["[" * 500]


def test_what_is_no_toml_is_a_value_error() -> None:
    assert parse_toml(f"a = {2**63 - 1}\nb = [{-(2**63)}]") == {"a": 2**63 - 1, "b": [-(2**63)]}
    for text in ("a", f"a = {2**63}", f"a.b = [{{c = {-(2**63) - 1}}}]", "a = 0x" + "f" * 6000, "a = " + "1" * 5000):
        with pytest.raises(ValueError, match=r".") as caught:
            parse_toml(text)
        assert not isinstance(caught.value, Beyond)


def test_dotted_keys_and_long_texts_of_toml_take_no_time() -> None:
    started = time.process_time()
    assert parse_toml("\n".join(f"a{number} = 0.{number}" for number in range(1_000)))
    # Texts and lists of numbers have dots as well.
    assert parse_toml(f'text = "{"A sentence. " * 300}"')
    assert parse_toml(f"numbers = [{'0.1, ' * 300}]")
    with pytest.raises(Beyond, match="nested more than"):
        parse_toml("a" + ".a" * 900 + " = 1")
    for text in (
        "[a" + ".a" * (MOST_DOTS + 1) + "]\nb = 1",
        "a" + ".a" * 1_001 + " = 1",
        "\n".join(f"a{number}" + ".a" * 90 + " = 1" for number in range(124)),
    ):
        with pytest.raises(Beyond, match="has too many dotted keys"):
            parse_toml(text)
    with pytest.raises(Beyond, match=r"has 4\.0 MB, more than the 4\.0 MB that are read"):
        parse_toml("#" * (MOST_PLAN_BYTES + 1))
    assert time.process_time() - started < 10


def test_sizes_are_looked_at_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    assert read_json(path, most=6) == [1, 2]
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    with pytest.raises(Beyond, match=r"^has 6 B, more than the 5 B that are read$"):
        read_json(path, most=5)
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(Beyond, match=r"^has 256\.0 MB, more than the 256\.0 MB that are read$"):
        read_json(path)
    check_size(5, 5)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Beyond, match="is no regular file"):
        read_json(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        regular_size(tmp_path / "gone")
    with pytest.raises(IsADirectoryError):
        read_json(tmp_path)
