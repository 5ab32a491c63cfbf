"""Which modes live and which died when, against shares written by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from uncollapse.watch import lives
from uncollapse.watch.lives import FAIR, FEW, MANY, NONE, THIN, UNKNOWN, Lives


def test_the_levels_of_a_mode_are_those_of_its_share_relative_to_its_fair_one() -> None:
    found = Lives(1)
    found.add(0, [[0.0, 0.04, 0.06, 0.15, 0.75]])  # fair: 0.2 each
    assert found.levels(None)[0, 0].tolist() == [NONE, THIN, FEW, FAIR, MANY]
    # With other fair shares the same samples are judged otherwise.
    fair = np.array([0.2, 0.05, 0.05, 0.1, 0.6])
    assert found.levels(fair)[0, 0].tolist() == [NONE, FAIR, FAIR, FAIR, FAIR]


def test_exactly_a_fifth_of_the_fair_share_is_alive() -> None:
    found = Lives(1)
    found.add(0, [[0.1, 0.9]])
    assert found.levels(None)[0, 0].tolist() == [FEW, FAIR]
    assert found.levels(np.array([0.50001, 0.49999]))[0, 0].tolist() == [THIN, FAIR]


def test_a_lost_mode_is_reported_with_when_it_lived_and_died() -> None:
    found = Lives(2)
    both, first, second = [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]
    for update, shares in (
        (0, [first, both]),
        (100, [both, both]),
        (200, [both, first]),
        (300, [first, both]),
        (400, [first, second]),
    ):
        assert found.add(update, shares)
    losses = {(loss.lane, loss.mode): (loss.since, loss.lost) for loss in found.losses(found.levels(None))}
    # Lane 0 never lost mode 0; lane 1 lost mode 1 at 200, had it back at 300 and lost mode 0 at 400.
    assert losses == {(0, 1): (100, 300), (1, 0): (0, 400)}


def test_a_diverged_seed_is_judged_no_more_and_loses_nothing_by_it() -> None:
    found = Lives(2)
    found.add(0, [[0.5, 0.5], [0.5, 0.5]])
    found.add(100, [[0.5, 0.5], [1.0, 0.0]])
    found.add(200, [[0.5, 0.5], None])
    levels = found.levels(None)
    assert levels[2, 1].tolist() == [UNKNOWN, UNKNOWN]
    assert [(loss.lane, loss.mode, loss.lost) for loss in found.losses(levels)] == [(1, 1, 100)]


def test_the_map_as_json() -> None:
    found = Lives(1)
    assert found.to_json(None) is None
    found.add(0, [[0.5, 0.5]])
    found.add(50, [[1.0, 0.0]])
    assert found.to_json(None) == {
        "updates": [0, 50],
        "modes": 2,
        "levels": [["33", "40"]],
        "lost": [[0, 1, 0, 50]],
        "lost_count": 1,
    }


def test_many_snapshots_are_thinned_out_but_the_first_and_the_newest_stay() -> None:
    found = Lives(1)
    for update in range(1_000):
        found.add(update, [[0.5, 0.5]])
    assert lives.MOST // 2 <= len(found.updates) <= lives.MOST
    assert (found.updates[0], found.updates[-1]) == (0, 999)
    assert found.updates == sorted(found.updates)


def test_large_tables_are_kept_as_long_as_all_of_them_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "MOST_NUMBERS", 40)
    found = Lives(2)
    for update in range(50):
        assert found.add(update, [[0.2] * 5, None])
        assert len(found.updates) * 2 * 5 <= 40
    assert (found.updates[0], found.updates[-1]) == (0, 49)
    assert Lives(2).add(0, [[0.1] * 10, None])
    wide = Lives(2)
    assert wide.add(0, [[0.1] * 11, None])  # a sound line, of which nothing is kept
    assert wide.updates == []


def test_lanes_without_shares_cost_no_more_than_their_place_in_the_table() -> None:
    shares = [[0.001] * 1_000, *[None] * 1_023]
    found = Lives(1_024)
    tracemalloc.start()
    assert found.add(0, shares)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.8 * 4 * 1_000 * 1_024
    assert (found.levels(None)[0, 1:] == UNKNOWN).all()


def test_shares_that_do_not_fit_are_refused() -> None:
    found = Lives(2)
    assert not found.add(0, [[0.5, 0.5]])
    assert not found.add(0, [[0.5, 0.5], [0.5]])
    assert not found.add(0, [[0.5, "x"], [0.5, 0.5]])  # type: ignore[list-item]
    assert not found.add(0, [[[0.5]], [0.5]])  # type: ignore[list-item]
    assert not found.add(0, [[[0.5, 0.5]], [0.5]])  # type: ignore[list-item]
    assert not found.add(0, [[0.5, 0.5], 0.5])  # type: ignore[list-item]
    assert found.add(0, [[0.5, 0.5], [0.5, 0.5]])
    assert not found.add(1, [[0.3, 0.3, 0.4]] * 2)
    assert found.add(2, [None, None])  # all diverged: nothing to see, nothing wrong
    assert found.updates == [0]
