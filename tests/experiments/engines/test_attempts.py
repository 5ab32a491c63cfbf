"""Which job is next and what is tried again, by a clock that the test moves."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.experiments.engines.small import Recorder

from uncollapse.experiments.engines import Job, Outcome
from uncollapse.experiments.engines.attempts import BUSY_SECONDS, Attempts
from uncollapse.experiments.engines.limits import Limits


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def one(name: str, updates: int = 10, seeds: int = 1) -> Job:
    return Job(spec={}, directory=Path(name), method=name, task="t", seeds=tuple(range(seeds)), updates=updates)


def failed(job: Job, cause: str) -> Outcome:
    return Outcome(name=job.name, status="failed", error="Why.", cause=cause)  # type: ignore[arg-type]


def begin(*jobs: Job, retries: int = 2, seconds: float = 2.0) -> tuple[Attempts, Recorder, Clock]:
    board, clock = Recorder(), Clock()
    return Attempts(jobs, Limits(retries=retries, retry_seconds=seconds), board, clock), board, clock


def test_the_most_work_comes_first_and_all_is_settled_at_the_end() -> None:
    attempts, board, _ = begin(one("short"), one("wide", seeds=16), one("long", updates=50))
    taken = []
    while (job := attempts.next()) is not None:
        assert not attempts.settled
        taken.append(job.name)
        attempts.ended(job, Outcome(name=job.name, status="finished"))
    assert taken == board.begun == ["wide", "long", "short"]
    assert attempts.settled
    assert [outcome.name for outcome in board.outcomes] == taken


def test_a_killed_run_is_tried_again_after_longer_and_longer_waits_and_then_is_a_row() -> None:
    attempts, board, clock = begin(one("a"))
    for wait in (2.0, 4.0):
        job = attempts.next()
        assert job is not None
        attempts.ended(job, failed(job, "killed"))
        assert attempts.next() is None
        assert attempts.due() == 0
        clock.now += wait - 0.01
        assert attempts.next() is None
        clock.now += 0.02
        assert attempts.due() == 1
    assert board.outcomes == []
    assert [text for _, text in board.notes] == [
        "is tried again in 2 s (1 of 2): Why.", "is tried again in 4 s (2 of 2): Why.",
    ]  # fmt: skip
    job = attempts.next()
    assert job is not None
    attempts.ended(job, failed(job, "killed"))
    assert attempts.outcomes == {"a": Outcome(name="a", status="failed", error="Why. It was tried 3 times.")}


def test_what_is_tried_again_has_the_rank_of_its_work_and_among_equals_the_last_place() -> None:
    attempts, _, clock = begin(one("long", updates=50), one("first"), one("second"), seconds=1.0)
    for _ in range(2):
        job = attempts.next()
        assert job is not None
        attempts.ended(job, failed(job, "killed"))
    assert attempts.due() == 1
    clock.now += 1.0
    assert attempts.due() == 3
    taken = [job.name for _ in range(3) if (job := attempts.next()) is not None]
    assert taken == ["long", "second", "first"]
    assert attempts.next() is None


def test_what_a_run_raises_is_final() -> None:
    attempts, board, _ = begin(one("a"))
    job = attempts.next()
    assert job is not None
    attempts.ended(job, failed(job, ""))
    assert attempts.settled
    assert board.notes == []
    assert attempts.outcomes["a"].error == "Why."


def test_without_retries_a_killed_run_is_a_row_at_once() -> None:
    attempts, board, _ = begin(one("a"), retries=0)
    job = attempts.next()
    assert job is not None
    attempts.ended(job, failed(job, "killed"))
    assert attempts.outcomes["a"].error == "Why."
    assert board.notes == []


def test_a_busy_run_waits_as_long_as_it_takes_and_says_so_once_while_others_go_on() -> None:
    attempts, board, clock = begin(one("a", updates=99), one("b"), retries=0)
    waits = []
    for look in range(8):
        job = attempts.next()
        assert job is not None
        assert job.name == "a"
        attempts.ended(job, failed(job, "busy"))
        if look == 0:
            other = attempts.next()
            assert other is not None
            assert other.name == "b"
            attempts.ended(other, Outcome(name="b", status="finished"))
        start = clock.now
        while attempts.due() == 0:
            clock.now += 0.25
        waits.append(clock.now - start)
    assert waits == [1.0, 2.0, 4.0, 8.0] + [BUSY_SECONDS[1]] * 4
    assert board.notes == [("a", "waits, because Why.")]
    assert list(attempts.outcomes) == ["b"]


@pytest.mark.parametrize("cause", ["killed", "busy"])
def test_stopping_settles_what_waits_and_what_comes_back(cause: str) -> None:
    attempts, _, _ = begin(one("a", updates=99), one("b"))
    job = attempts.next()
    assert job is not None
    attempts.stop()
    assert attempts.outcomes == {"b": Outcome(name="b", status="stopped")}
    attempts.ended(job, failed(job, cause))
    attempts.stop()
    assert attempts.outcomes["a"] == Outcome(name="a", status="stopped")
    assert attempts.settled
