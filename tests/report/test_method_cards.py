"""Cards of the methods: facts of the list, and what was set otherwise in the runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.report.synthetic import write_comparison, write_run

from uncollapse.methods import METHODS
from uncollapse.report.load import load
from uncollapse.report.method_cards import method_cards


def respec(run: Path, method: dict[str, Any]) -> None:
    """Gives a run another method in its spec."""
    spec = json.loads((run / "spec.json").read_text())
    (run / "spec.json").write_text(json.dumps(spec | {"method": method}))


def test_one_card_a_method_and_of_a_stranger_only_its_results(tmp_path: Path) -> None:
    cards = method_cards(load(write_comparison(tmp_path, hostile="of-mine", small=True)))
    assert [card.name for card in cards] == ["vanilla", "wgan-gp", "of-mine"]
    # (4 + 4 + 4 + 4) / 4 with the interval of the synthetic cell.
    assert cards[2].results == (("ring-8", "solid modes 4.0 [3.1, 4.9], 4 seeds; all modes solid in 0 of 4"),)
    assert (cards[2].idea, cards[2].paper) == ("", "")
    penalty = cards[1]
    assert penalty.address == "https://arxiv.org/abs/1704.00028"
    assert penalty.idea == METHODS["wgan-gp"].facts.idea
    assert penalty.differs == METHODS["wgan-gp"].facts.differs
    assert penalty.watch == "penalties.0.weight = 10.0"
    assert penalty.changed == ()


def test_settings_of_the_runs_are_told_beside_those_of_the_list(tmp_path: Path) -> None:
    run = write_run(tmp_path, "wgan-gp", "ring-8", [range(8)] * 2, hash_="ab", seeds=(0, 1))
    changed = METHODS["wgan-gp"].with_setting("penalties.0.weight", 0.1).with_setting("dynamics.critic_steps", 1)
    respec(run, changed.spec())
    (card,) = method_cards(load(run))
    assert card.watch == "penalties.0.weight = 0.1"
    assert card.changed == (
        "penalties.0.weight = 0.1 (the list: 10.0)",
        "dynamics.critic_steps = 1 (the list: 5)",
    )


def test_a_spec_that_needs_a_plugin_leaves_the_settings_out(tmp_path: Path) -> None:
    run = write_run(tmp_path, "vanilla", "ring-8", [range(8)] * 2, hash_="ab", seeds=(0, 1))
    spec = METHODS["vanilla"].spec()
    respec(run, spec | {"loss": {"part": "OfMine", "plugin": "mine:OfMine"}})
    (card,) = method_cards(load(run))
    assert card.changed == ()
    assert card.watch == "dynamics.lr_critic = 0.0002"
