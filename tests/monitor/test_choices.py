"""Whole numbers and shares: what passes and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from uncollapse.errors import UserError
from uncollapse.monitor.choices import as_count, check_share


def test_whole_numbers_pass_whatever_their_type() -> None:
    assert as_count(np.int64(3), name="step", least=0) == 3
    assert as_count(0, name="step", least=0) == 0


@pytest.mark.parametrize("wrong", [True, "3", None, -1, 2.0])
def test_what_is_no_whole_number_is_refused(wrong: object) -> None:
    with pytest.raises(UserError, match="step must be a whole number of at least 0, not "):
        as_count(wrong, name="step", least=0)


def test_a_share_lies_strictly_between_its_ends() -> None:
    check_share(0.5, name="alpha", low=0, high=1, example=0.1)


@pytest.mark.parametrize("wrong", [True, 0, 1, 1.5, float("nan"), "half"])
def test_what_is_no_share_is_refused(wrong: object) -> None:
    with pytest.raises(UserError, match=r"alpha must lie between 0 and 1, for example 0\.1, not "):
        check_share(wrong, name="alpha", low=0, high=1, example=0.1)
