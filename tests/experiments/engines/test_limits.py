"""Limits of a run: what a process has, against the system's own account, and when it is too much."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from uncollapse.experiments.engines.limits import GRACE_SECONDS, Limits, resident


def test_resident_memory_is_what_the_system_says() -> None:
    taken = resident(os.getpid())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 0.2 * most < taken <= 1.05 * most


def test_memory_that_is_taken_shows() -> None:
    code = "import sys; x = bytearray(b'x' * 200_000_000); print('there', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        one.stdout.readline()
        assert 200e6 < resident(one.pid) < 300e6
        assert Limits(run_memory=0.3).too_large(one.pid) == ""
        assert Limits().too_large(one.pid) == ""
        sentence = Limits(run_memory=0.1).too_large(one.pid)
        assert sentence.startswith("The run took 2")
        assert "more than its limit of 0.1 GB (run_memory), and was killed" in sentence
        one.communicate(b"")
    assert resident(one.pid) == 0, "a process that has ended has nothing"


def test_time_is_over_and_then_too_late() -> None:
    limits = Limits(run_minutes=2)
    assert limits.too_long(119.9) == ""
    assert limits.too_long(120.1).startswith("The run reached its limit of 2 minutes (run_minutes)")
    assert not limits.too_late(120 + GRACE_SECONDS - 0.1)
    assert limits.too_late(120 + GRACE_SECONDS + 0.1)
    assert Limits().too_long(1e9) == ""
    assert not Limits().too_late(1e9)


@pytest.mark.parametrize(("limits", "bounded"), [(Limits(), False), (Limits(run_minutes=1), True)])
def test_only_a_limit_needs_a_process_of_its_own(limits: Limits, bounded: bool) -> None:
    assert limits.bounded is bounded
    assert Limits(run_memory=1.0).bounded
    assert not Limits(retries=9).bounded
