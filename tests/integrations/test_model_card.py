"""The card says first what was lost, then what was measured with its interval, and shows names as nothing but names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from uncollapse.integrations.model_card import lost, measured, model_card, plain
from uncollapse.methods import METHODS
from uncollapse.metrics.intervals import wilson


def lane(seed: int, fine: list[int], solid: float, diverged: int | None = None) -> dict[str, Any]:
    measures = {"modes_solid": solid, "modes_hit": 3.0, "high_quality_share": 0.5}
    return {
        "seed": seed, "diverged_at": diverged, "measures": {"averaged": measures, "live": {}},
        "counts": {"averaged": {"all": fine, "high_quality": fine}},
    }  # fmt: skip


def result(*lanes: dict[str, Any], names: tuple[str, ...] = ("(1, 0)", "digit 3", "c")) -> dict[str, Any]:
    modes = {"names": list(names), "weights": [0.5, 0.25, 0.25]}
    return {"updates": 2_000, "n_samples": 1_000, "modes": modes, "lanes": list(lanes)}


def config(found: dict[str, Any], method: str = "vanilla") -> dict[str, Any]:
    spec = {"method": METHODS["vanilla"].spec() | {"name": method}, "task": {"name": "ring-8"}}
    return {"spec": spec, "result": found, "versions": {"uncollapse": "0.1.0"}}


def test_a_mode_with_less_than_a_fifth_of_its_share_is_lost() -> None:
    # A fifth of 1,000 w_k: 100, 50 and 50.
    (warning,) = lost(result(lane(3, [100, 50, 50], 3.0), lane(5, [99, 50, 49], 1.0), lane(7, [900, 0, 0], 1.0, 12)))
    assert warning.splitlines()[1:] == [
        r"> - Seed 5 lacks 2 of 3 modes: (1, 0), c.".replace("(1, 0)", r"\(1, 0\)"),
        "> - Seed 7 diverged at update 12 and stands as it was then.",
        "> - Seed 7 lacks 2 of 3 modes: digit 3, c.",
    ]
    assert "What was lost" in warning


def test_without_a_loss_it_says_so_with_its_rule() -> None:
    (line,) = lost(result(lane(3, [500, 250, 250], 3.0)))
    assert line.startswith("> **No mode is lacking**")
    assert "20 %" in line
    assert "1,000" in line


def test_numbers_have_intervals_and_a_diverged_seed_covers_nothing() -> None:
    lanes = (lane(0, [500, 250, 250], 3.0), lane(1, [500, 250, 0], 2.0), lane(2, [500, 250, 250], 3.0, diverged=9))
    sentence, table = measured(result(*lanes))
    low, high = wilson(1, 3)
    assert f"in 1 of 3 seeds (95 % interval of that share: {low:.2f} to {high:.2f})" in sentence
    rows = {cells[0]: cells[1:] for cells in re.findall(r"^\| `(\w+)` \| (\S+) \| (.*?) \| (\d) \|$", table, re.M)}
    assert rows["modes_solid"][0] == f"{5 / 3:.4g}"  # 3, 2 and 0
    assert rows["modes_solid"][2] == "3"
    ends = [float(end) for end in rows["modes_solid"][1].split(" to ")]
    assert 0 <= ends[0] < 5 / 3 < ends[1] <= 3
    assert rows["high_quality_share"][0] == f"{1 / 3:.4g}"
    assert "kl_high_quality" not in rows, "what nobody measured is not in the table"


def test_the_head_is_what_the_hub_reads_and_the_licence_is_said() -> None:
    card = model_card(config(result(lane(3, [500, 250, 250], 3.0))), repository="me/x", licence="mit", picture="a.png")
    assert card.startswith(
        '---\nlicense: "mit"\nlibrary_name: uncollapse\ntags:\n- gan\n- mode-collapse\n---\n\n# vanilla'
    )
    assert "The weights: mit." in card
    assert "![Samples of seed 3](a.png)" in card
    assert card.index("No mode is lacking") < card.index("## Measured") < card.index("## Use")
    assert METHODS["vanilla"].facts.idea in card
    assert "settings were changed" not in card
    unknown = model_card(config(result(lane(3, [500, 250, 250], 3.0))), repository="me/x")
    assert "was not stated" in unknown
    assert "![" not in unknown


def test_changed_settings_and_a_method_of_ones_own() -> None:
    changed = config(result(lane(3, [500, 250, 250], 3.0)))
    changed["spec"]["method"] |= {"view": {"part": "Packed", "samples": 2}}
    assert "Its settings were changed" in model_card(changed, repository="x")
    own = model_card(config(result(lane(3, [1, 1, 1], 0.0)), method="mine"), repository="x")
    assert "## The method" not in own


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("digit 3", "digit 3"),
        ("](https://evil) <script>", r"\]\(https\://evil\) \<script\>"),
        ("a\n# b\x1b[31m", r"a\# b\[31m"),
        ("x" * 100, "x" * 59 + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_a_name_is_shown_and_does_nothing(name: str, shown: str) -> None:
    assert plain(name) == shown
    (warning,) = lost(result(lane(3, [500, 250, 0], 2.0), names=("a", "b", name)))
    assert warning.splitlines()[1] == f"> - Seed 3 lacks 1 of 3 modes: {shown}."


def test_many_lost_modes_are_counted() -> None:
    many = {
        "n_samples": 1_000, "modes": {"names": [f"m{i}" for i in range(40)], "weights": [1 / 40] * 40},
        "lanes": [lane(0, [0] * 40, 0.0)],
    }  # fmt: skip
    (warning,) = lost(many)
    assert "lacks 40 of 40 modes: m0, " in warning
    assert warning.endswith("m11 and 28 more.")
