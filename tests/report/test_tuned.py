from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from uncollapse.report.amounts import Amount
from uncollapse.report.formats import comma_separated
from uncollapse.report.records import Cell, Record
from uncollapse.report.sheets_of import sheets_of
from uncollapse.report.tuned import tuned

TUNING: dict[str, Any] = {
    "seeds": [100, 101],
    "updates": 2000,
    "trials": 3,
    "measure": "modes_solid",
    "cells": [
        {
            "method": "vanilla",
            "task": "a",
            "tuned": "vanilla (tuned)",
            "chosen": 2,
            "settings": {"dynamics.lr_critic": 0.001},
        }
        | {"best": 4.0, "median": 2.0, "worst": 0.0}
        | {
            "trials": [
                {"trial": 1, "settings": {}, "score": 2.0, "per_seed": [2.0, None], "failed": []},
                {"trial": 2, "settings": {"dynamics.lr_critic": 0.001, "dynamics.lr_generator": 0.001}, "score": 4.0}
                | {"per_seed": [4.0, 4.0], "failed": []},
                {"trial": 3, "settings": {"a": 1}, "score": None, "per_seed": [], "failed": ["RuntimeError: no"]},
            ]
        },
        {"method": "lsgan", "task": "a", "tuned": "lsgan (tuned)", "chosen": 1, "settings": {}}
        | {"best": 3.0, "median": 3.0, "worst": 1.0},
        {"method": "wgan", "task": "a", "tuned": None, "chosen": None, "settings": None}
        | {"best": None, "median": None, "worst": None},
    ],
    "methods": [{"method": "vanilla", "tasks": 1, "best": 1.0, "median": 0.5, "worst": 0.0}],
    "differences": [
        {"task": "a", "method": "vanilla (tuned)", "baseline": "vanilla", "measure": "modes_solid", "difference": 2.0}
        | {"low": 1.0, "high": 3.0, "p_adjusted": 0.03, "n": 8}
    ],
}


def cell(method: str, mean: float, successes: int) -> Cell:
    entry = {"mean": mean, "low": mean - 1, "high": mean + 1, "n": 8}
    success = {"successes": successes, "n": 8, "low": 0.1, "high": 0.5}
    return Cell(method=method, task="a", seeds=(0,), runs=(), measures={"modes_solid": entry}, success=success)


def record(tuning: dict[str, Any]) -> Record:
    cells = (cell("vanilla", 2, 1), cell("vanilla (tuned)", 4, 8), cell("lsgan", 3, 2), cell("lsgan (tuned)", 3, 2))
    return Record(directory=Path(), kind="comparison", plan={}, cells=cells, versions={}, command="", tuning=tuning)


def texts(amounts: tuple[Amount, ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple(amount.texts for amount in amounts)


def test_each_method_stands_beside_its_tuned_self() -> None:
    found = tuned(record(TUNING))
    assert found is not None
    vanilla, lsgan, wgan = found.tasks["a"]
    assert texts(vanilla.plain) == (("1 of 8", "10 to 50 %", "8 seeds"), ("2.0", "1.0 to 3.0", "8 seeds"))
    assert texts(vanilla.tuned) == (("8 of 8", "10 to 50 %", "8 seeds"), ("4.0", "3.0 to 5.0", "8 seeds"))
    assert vanilla.chosen == "dynamics.lr_critic = 0.001"
    assert vanilla.difference.texts == ("+2.0", "1.0 to 3.0", "8 seeds, p 0.030")
    assert (vanilla.p.value, vanilla.p.kind) == (0.03, "p")
    assert [amount.text for amount in vanilla.spread] == ["4.0", "2.0", "0.0"]
    assert (lsgan.chosen, lsgan.difference.texts) == ("its default", ("same runs", "", ""))
    assert lsgan.tuned == lsgan.plain
    assert (wgan.chosen, texts(wgan.tuned)) == ("trials not finished", (("", "", ""), ("", "", "")))
    assert [(name, *(amount.text for amount in trials)) for name, *trials in found.methods] == [
        ("vanilla", "100 %", "50 %", "0 %")
    ]


def test_every_trial_says_its_setting_and_how_its_seeds_lie() -> None:
    found = tuned(record(TUNING))
    assert found is not None
    vanilla, lsgan, _ = found.tasks["a"]
    assert [(setting, score.text, score.basis) for setting, score in vanilla.trials] == [
        ("its default", "2.0", "1 seed, 2.0 to 2.0"),
        ("learning rates = 0.001", "4.0", "2 seeds, 4.0 to 4.0"),
        ("a = 1", "failed", ""),
    ]
    assert lsgan.trials == []
    (sheet,) = [sheet for sheet in sheets_of(record(TUNING)) if sheet.name == "trials"]
    assert [row[:4] for row in sheet.rows] == [
        ("a", "vanilla", "1", "its default"),
        ("a", "vanilla", "2", "learning rates = 0.001"),
        ("a", "vanilla", "3", "a = 1"),
    ]


def test_the_note_says_what_was_tried() -> None:
    found = tuned(record(TUNING))
    assert found is not None
    assert found.note.startswith(
        "Every method had the same 3 trials of 2,000 updates on seeds 100-101, its own default"
    )
    assert "best solid modes" in found.note


def test_a_comparison_without_tuning_has_no_such_section() -> None:
    assert tuned(record({})) is None


def test_the_adjusted_p_of_a_gain_is_a_number_in_every_export() -> None:
    sheet = next(sheet for sheet in sheets_of(record(TUNING)) if sheet.name == "tuning")
    rows = list(csv.reader(comma_separated("t", [sheet]).splitlines()))
    (found,) = [row for row in rows if "p_adjusted" in row and "vanilla" in row]
    assert "0.03" in found
