"""Tables: what they say, and that no name in a file is read as markup."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from uncollapse.console import (
    card_table,
    checks_table,
    comparison_table,
    list_methods,
    list_tasks,
    make_table,
    method_card,
    methods_table,
    run_table,
    say,
    show,
    show_json,
    unread,
)
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


def test_print_shows_a_table_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = str(comparison_table(document())).splitlines()
    assert len(lines) == 2
    assert lines[0].split()[:3] == ["method", "task", "seeds"]  # and no colour before it
    assert lines[1].split()[:6] == ["wgan-gp", "ring-8", "0-1", "50%", "[10%,", "90%]"]
    assert str(card_table({"name": "x", "all": ["a", "b"]})).split() == ["name", "x", "all", "a", "b"]


def test_a_cell_without_results_shows_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    empty = document(seeds=[], measures={}, success_rate={"value": None, "low": None, "high": None})
    assert printed(comparison_table(empty), capsys).splitlines()[1].split()[2:6] == ["none", "-", "-", "-"]


def test_a_headline_that_is_shown_anyway_is_shown_once() -> None:
    plan = {"headline": "high_quality_share"}
    heads = str(comparison_table(document() | {"plan": plan})).splitlines()[0]
    assert heads.split() == ["method", "task", "seeds", "all", "modes", "solid", "high_quality_share"]
    assert "modes_hit  high_quality_share" in str(comparison_table(document() | {"plan": {"headline": "modes_hit"}}))


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


def test_the_list_of_methods_fits_a_hundred_columns_under_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    cards = list_methods(None)
    text = printed(methods_table(cards), capsys)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    words = " ".join(text.split())
    assert all(f"{card['idea'].split()[0]} " in words for card in cards)
    assert words.index("Auto-encoding critics") < words.index("began") < words.index("Several generators")
    assert "Your own" not in text
    assert "(Gulrajani et al. 2017)" in words


def test_costs_have_a_column_as_soon_as_one_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    bare = [card | {"cost": None} for card in list_methods(None)]
    assert "times as long" not in printed(methods_table(bare), capsys)
    bare[0]["cost"] = 1.0
    text = printed(methods_table(bare), capsys)
    assert "1.0 x" in text.splitlines()[1]
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100


def test_a_methods_card_shows_equation_settings_and_deviations(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(method_card(list_methods("began")[0]), capsys)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 104
    for part in (
        "https://arxiv.org/abs/1703.10717",
        "generator  min E L(G(z))",
        "loss.gamma = 0.5",
        "- The learning rate stays at 1e-4",
        "Measured with averaged weights",
    ):
        assert part in text
    priced = printed(method_card(list_methods("began")[0] | {"cost": 1.75}), capsys)
    assert "1.8 times the time of a vanilla update (measured)" in priced


def test_json_is_never_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        show_json({"value": float("nan")})


def test_a_family_without_a_number_is_explained() -> None:
    (family,) = list_tasks("blobs-K")
    assert family["example"] == "blobs-8"
    (task,) = list_tasks("digits")
    assert len(task["modes"]) == 10


def test_output_that_nobody_reads_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with unread():
            show("before")
        with unread():
            raise BrokenPipeError
        print("to nobody", flush=True)
        with pytest.raises(ValueError, match="other"), unread():
            raise ValueError("other")
    assert (tmp_path / "out").read_text() == "before\n"
