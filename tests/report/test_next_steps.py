from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.report.synthetic import write_run

from uncollapse.report.load import load
from uncollapse.report.next_steps import healthy_sentence, next_steps
from uncollapse.report.records import Cell, Record
from uncollapse.symptoms import SYMPTOMS


def cell(method: str = "vanilla", **values: list[float | None]) -> Cell:
    """A cell on a task of eight modes."""
    count = max(map(len, values.values()), default=0)
    measures: dict[str, Any] = {}
    for key, per_seed in values.items():
        known = [value for value in per_seed if value is not None]
        measures[key] = {"mean": sum(known) / len(known), "per_seed": per_seed}
    run: Any = type("Run", (), {"result": {"modes": {"names": list(range(8))}}})
    return Cell(method=method, task="ring-8", seeds=tuple(range(count)), runs=(run,), measures=measures)


def record(*cells: Cell) -> Record:
    return Record(directory=Path(), kind="comparison", plan={}, cells=cells, versions={}, command="")


GOOD: dict[str, list[float | None]] = {
    "modes_solid": [8, 8],
    "high_quality_share": [0.9, 0.9],
    "core_sigma_ratio": [0.9, 0.9],
}


def test_nothing_is_wrong_at_the_thresholds() -> None:
    page = record(cell(**GOOD))
    assert next_steps(page) == []
    assert healthy_sentence(page).startswith(
        "Nothing is wrong by these thresholds: no method on this page shows that in"
    )
    assert all(symptom.rule in healthy_sentence(page) for symptom in SYMPTOMS.values())


@pytest.mark.parametrize(
    ("change", "title", "shown"),
    [
        ({"modes_solid": [8, 7]}, "Missing modes", "ring-8: vanilla (1 of 2 seeds)"),
        ({"high_quality_share": [0.9, 0.88]}, "Low precision", "ring-8: vanilla (89 %)"),
        ({"core_sigma_ratio": [0.9, 0.86]}, "Shrunken variance", "ring-8: vanilla (0.88)"),
    ],
)
def test_one_symptom_is_shown_with_the_number_that_says_so(change: dict[str, Any], title: str, shown: str) -> None:
    (step,) = next_steps(record(cell(**{**GOOD, **change})))
    assert (step.title, step.shown) == (title, (shown,))
    assert step.advice.sentence


def test_a_diverged_seed_is_divergence_and_not_a_missing_mode() -> None:
    lost = cell(**{**GOOD, "modes_solid": [8, 0]})
    (step,) = next_steps(record(Cell(**{**vars(lost), "diverged": (1,)})))
    assert (step.title, step.shown) == ("Divergence", ("ring-8: vanilla (1 of 2 seeds)",))


def test_methods_of_one_task_share_a_line_and_known_ones_are_marked() -> None:
    (step,) = next_steps(
        record(cell(**{**GOOD, "modes_solid": [8, 7]}), cell("wgan-gp", **{**GOOD, "modes_solid": [0, 0]}))
    )
    assert step.shown == ("ring-8: vanilla (1 of 2 seeds), wgan-gp (2 of 2 seeds)",)
    assert set(step.here) <= {"wgan-gp"}


def test_without_a_result_there_is_nothing_to_advise(tmp_path: Path) -> None:
    assert "nothing to advise" in healthy_sentence(record(cell()))
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8), range(6)], hash_="ab", seeds=(0, 1))
    assert "ring-8: vanilla (1 of 2 seeds)" in [line for step in next_steps(load(run)) for line in step.shown]
