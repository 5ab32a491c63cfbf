from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.report.synthetic import write_run

from uncollapse.report.lines import sound_lines
from uncollapse.report.load import load
from uncollapse.report.writing import build

SOUND = {
    "update": 10,
    "losses": {"critic": [0.5, None], "generator": [1, 2]},
    "snapshot": True,
    "measures": {"modes_solid": [8.0, None]},
    "shares": [[0.5, 0.5], None],
}


def test_lines_of_the_known_form_are_kept_in_order() -> None:
    lines = [SOUND, {"update": 20}, {"note": "of another program"}]
    assert sound_lines(lines, 2) == (tuple(lines), 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"update": "10"}, {"update": -1}, {"update": True}, {"update": 1.5},
        {"losses": [1, 2]}, {"losses": {"critic": 0.5}}, {"losses": {"critic": [0.5]}}, {"losses": {"critic": None}},
        {"losses": {"critic": ["0.5", 1]}}, {"losses": {"critic": [{}, 1]}}, {"measures": {"modes_solid": [8.0]}},
        {"measures": "none"}, {"shares": {"0": 1}}, {"shares": [[0.5, 0.5]]}, {"shares": [[0.5, "a"], None]},
        {"shares": [[0.5, 0.5], [1.0]]}, {"shares_live": [1, 2]}, {"shares": [[0.2, 0.3, 0.5], None]},
        {"update": 10**400}, {"losses": {"critic": [10**400, 1]}}, {"losses": {"critic": [True, 1]}},
    ],
)  # fmt: skip
def test_a_line_of_any_other_form_is_left_out_and_counted(changes: dict[str, Any]) -> None:
    assert sound_lines([SOUND, {**SOUND, **changes}, SOUND], 2) == ((SOUND, SOUND), 1)


def test_a_first_line_of_another_width_does_not_cost_the_others() -> None:
    wide = {**SOUND, "shares": [[0.2, 0.3, 0.5], None]}
    assert sound_lines([wide, SOUND, SOUND], 2) == ((SOUND, SOUND), 1)


def test_measures_without_an_update_have_no_place() -> None:
    assert sound_lines([{name: value for name, value in SOUND.items() if name != "update"}], 2) == ((), 1)


def test_a_measure_that_no_seed_has_and_empty_tables_are_no_fault() -> None:
    lines = [{**SOUND, "measures": {"modes_solid": None}}, {**SOUND, "losses": None, "measures": None, "shares": None}]
    assert sound_lines(lines, 2) == (tuple(lines), 0)


@pytest.mark.parametrize("until", [800, None], ids=["unfinished", "finished"])
@pytest.mark.parametrize(
    ("changes", "odd"),
    [
        ({"losses": {"critic": "high"}, "shares": 7}, 1), ({"losses": {"critic": [10**400, 1]}}, 1),
        ({"shares": [[0.5, 0.5], [0.5, 0.5]]}, 1), ({"losses": None}, 0), ({"shares": None}, 0),
        ({"measures": None}, 0), ({"measures": {"modes_solid": None}}, 0),
    ],
)  # fmt: skip
def test_a_report_of_a_changed_history_is_drawn_and_says_what_it_lacks(
    tmp_path: Path, changes: dict[str, Any], odd: int, until: int | None
) -> None:
    options = {} if until is None else {"until": until}
    run = write_run(tmp_path, "vanilla", "digits", [range(10), range(4)], hash_="ab", seeds=(0, 1), **options)
    lines = (run / "history.jsonl").read_text().splitlines()
    place = max(k for k, line in enumerate(lines) if json.loads(line).get("snapshot"))
    lines[place] = json.dumps(json.loads(lines[place]) | changes)
    (run / "history.jsonl").write_text("\n".join(lines) + "\n")
    (found,) = load(run).cells[0].runs
    assert (len(found.history), found.odd) == (len(lines) - odd, odd)
    text = build(run).read_text()
    assert ("1 line of history.jsonl has another form than this version writes" in text) is bool(odd)
