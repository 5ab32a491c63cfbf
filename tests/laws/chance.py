"""How the laws search for what breaks them: seeded, without deadlines, with few examples in every run, many in slow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Which number of examples a law is given: the second only by `make test-slow`.
FEW, MANY = 25, 1_000


def searched(few: int = FEW, many: int = MANY) -> Any:
    """Runs a test with a few `examples`, and with many where slow tests are wanted."""
    return pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])


def search(examples: int) -> settings:
    """The same examples every time; nothing is kept on disk."""
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
