"""SECURITY.md names a test for every rule, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

RULES = 19
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows(text: str) -> dict[int, str]:
    """Number of a rule -> its row."""
    found = re.findall(r"^\| (\d+) \|(.*)\|$", text, re.MULTILINE)
    assert len({number for number, _ in found}) == len(found), "a rule stands twice"
    return {int(number): row for number, row in found}


def missing(root: Path, row: str) -> list[str]:
    """Tests that a row names and that are not there."""
    lost = []
    for file, name in NAMED.findall(row):
        path = root / file
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
        if name not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            lost.append(f"{file}::{name}")
    return lost


def test_every_rule_names_tests_that_exist(root: Path) -> None:
    table = rows((root / "SECURITY.md").read_text(encoding="utf-8"))
    assert sorted(table) == list(range(1, RULES + 1))
    for number, row in table.items():
        assert NAMED.search(row) or "not enforced" in row, f"rule {number} names no test"
        assert not missing(root, row), number


def test_the_check_sees_a_test_that_is_gone(root: Path) -> None:
    table = rows("| 1 | a | b | `tests/laws/test_security_table.py::test_no_such_test` |\n| 2 | a | b | c |")
    assert missing(root, table[1]) == ["tests/laws/test_security_table.py::test_no_such_test"]
    assert missing(root, "`tests/laws/test_gone.py::test_x`") == ["tests/laws/test_gone.py::test_x"]
    assert not NAMED.search(table[2])
