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
        {"shares": [[0.5, 0.5], [1.0]]}, {"shares_live": [1, 2]},
    ],
)  # fmt: skip
def test_a_line_of_any_other_form_is_left_out_and_counted(changes: dict[str, Any]) -> None:
    assert sound_lines([SOUND, {**SOUND, **changes}, SOUND], 2) == ((SOUND, SOUND), 1)


def test_measures_without_an_update_have_no_place() -> None:
    assert sound_lines([{name: value for name, value in SOUND.items() if name != "update"}], 2) == ((), 1)


def test_a_report_of_a_changed_history_is_drawn_and_says_what_it_lacks(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8), range(4)], hash_="ab", seeds=(0, 1))
    lines = (run / "history.jsonl").read_text().splitlines()
    changed = json.loads(lines[1]) | {"losses": {"critic": "high"}, "shares": 7}
    (run / "history.jsonl").write_text("\n".join([lines[0], json.dumps(changed), *lines[2:]]) + "\n")
    (found,) = load(run).cells[0].runs
    assert (len(found.history), found.odd) == (len(lines) - 1, 1)
    assert "1 line of history.jsonl has another form than this version writes" in "".join(found.warnings)
    assert "1 line of history.jsonl has another form" in build(run).read_text()
