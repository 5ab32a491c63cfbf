"""Tables: what they say, and that no name in a file is read as markup."""

from __future__ import annotations

from typing import Any

import pytest

from uncollapse.console import checks_table, comparison_table, list_tasks, make_table, run_table, say, show, show_json
from uncollapse.doctor import Check


def printed(item: object, capsys: pytest.CaptureFixture[str]) -> str:
    """What `show` prints."""
    show(item)
    return capsys.readouterr().out


def document(**changes: Any) -> dict[str, Any]:
    """A comparison of one cell."""
    cell = {
        "method": "wgan-gp",
        "task": "ring-8",
        "seeds": [0, 1],
        "success_rate": {"value": 0.5, "low": 0.1, "high": 0.9},
        "measures": {"modes_solid": {"mean": 7.5, "low": 6.25, "high": 8.0}},
        "diverged": [1],
        "failed": [{"error": "OutOfMemoryError: [red]too large"}],
        "unfinished": [2, 3],
    }
    return {"plan": {"headline": "modes_solid"}, "cells": [cell | changes]}


def test_a_comparison_shows_intervals_seeds_and_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(comparison_table(document()), capsys)
    for part in ("0-1", "50% [10%, 90%]", "7.50 [6.25, 8.00]", "1 diverged", "[red]too large", "2 unfinished"):
        assert part in text


def test_a_cell_without_results_shows_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    empty = document(seeds=[], measures={}, success_rate={"value": None, "low": None, "high": None})
    assert printed(comparison_table(empty), capsys).splitlines()[1].split()[2:6] == ["none", "-", "-", "-"]


def test_a_run_shows_each_seed(capsys: pytest.CaptureFixture[str]) -> None:
    measures = {"averaged": {"modes_solid": 7.0, "modes_hit": 8.0, "high_quality_share": 0.91234}}
    lanes = [
        {"seed": 3, "diverged_at": None, "measures": measures},
        {"seed": 5, "diverged_at": 1200, "measures": {}},
    ]
    text = printed(run_table({"modes": {"names": list("abcdefgh")}, "lanes": lanes}), capsys)
    assert "7 of 8" in text
    assert "0.912" in text
    assert "diverged at 1,200" in text


def test_names_are_neither_markup_nor_control(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(make_table(["a"], [["[bold]x\x1b[2J"]]), capsys)
    assert "[bold]x[2J" in text
    assert "\x1b" not in text
    say("a\x1b[31m\nb")
    assert capsys.readouterr().err == "a[31mb\n"


def test_findings_come_with_their_status(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(checks_table([Check(name="torch", status="bad", detail="missing")]), capsys)
    assert text.splitlines()[1].split() == ["bad", "torch", "missing"]


def test_json_is_never_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        show_json({"value": float("nan")})


def test_a_family_without_a_number_is_explained() -> None:
    (family,) = list_tasks("blobs-K")
    assert family["example"] == "blobs-8"
    (task,) = list_tasks("digits")
    assert len(task["modes"]) == 10
