"""Seconds, and their share of the wall time."""

from __future__ import annotations

import pytest

from uncollapse.monitor import cost
from uncollapse.monitor.cost import Cost, Watch


def test_a_share_is_seconds_over_wall_time() -> None:
    found = Cost(seconds=3.0, preparing=1.5, looks=6, wall=200.0)
    assert (found.share, found.per_look) == (0.015, 0.5)
    assert str(found) == "6 looks took 3 s, 500 ms each, 1.5 % of 3 min 20 s; preparing the reference took 1.5 s"


def test_nothing_timed_is_no_share() -> None:
    assert (Watch().cost.share, Watch().cost.per_look) == (0.0, 0.0)


def test_only_what_is_inside_counts_and_the_wall_starts_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now[0])
    watch = Watch()
    now[0] += 50
    for inside, between in ((2.0, 6.0), (1.0, 1.0)):
        with watch.running():
            now[0] += inside
        now[0] += between

    def fails() -> None:
        with watch.running():  # an error inside is timed too
            now[0] += 2.0
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert (watch.cost.seconds, watch.cost.wall) == (5.0, 12.0)


def test_earlier_sittings_count() -> None:
    watch = Watch()
    watch.restore(5.0, 10, 100.0)
    assert watch.cost.share == 0.05
    assert watch.cost.looks == 10
