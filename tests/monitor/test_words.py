"""The sentence of a look in every status."""

from __future__ import annotations

import pytest

from uncollapse.monitor.sequential import Outcome
from uncollapse.monitor.verdict import Status
from uncollapse.monitor.words import missing_sentence, sentence
from uncollapse.verdict.verdict import Lost


def lost(mode: str) -> Lost:
    """A class without fakes."""
    return Lost(mode=mode, kind="class", share_real=0.1, share_fake=0.0, low=0.0, high=0.01, p_adjusted=1e-9)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("warming-up", "the fakes reach the classes that hold 51 % of the real data; health is not "
         "established yet. 3 fakes are not finite. Missing: 7 (10 % of the real rows, 0 % of the fakes)."),
        ("healthy", "data, surely at least 44 %. 3 fakes"),
        ("never-healthy", "data; in 40 looks and more it was never surely healthy. 3 fakes"),
        ("collapsed", "data, after 98 % at best: more than the margin of 15 % is lost. 3 fakes"),
    ],
)  # fmt: skip
def test_each_status_has_its_sentence(status: Status, expected: str) -> None:
    outcome = Outcome(coverage=0.51, low=0.44, best=0.98, evidence=90.0, needed=83.0, alarm=True)
    assert expected in sentence(status, "classes", outcome, (lost("7"),), 3, 0.15, 40)
    assert "finite" not in sentence(status, "classes", outcome, (), 0, 0.15, 40)


def test_missing_cells_in_words() -> None:
    assert missing_sentence(()) == ""
    assert missing_sentence((lost("7"),)) == "Missing: 7 (10 % of the real rows, 0 % of the fakes)."
    alone = Lost(mode="7", kind="class", share_real=1.0, share_fake=2e-6, low=0.0, high=0.01, p_adjusted=1e-9)
    assert missing_sentence((alone,)) == "Missing: 7 (100 % of the real rows, under 0.01 % of the fakes)."
    many = missing_sentence(tuple(lost(str(number)) for number in range(6)))
    assert many.endswith("3 (10 % of the real rows, 0 % of the fakes) and 2 more.")
