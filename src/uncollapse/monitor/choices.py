"""Whole numbers and shares that a user gives, checked with one sentence each."""

from __future__ import annotations

import operator

from uncollapse.errors import UserError


def as_count(value: object, *, name: str, least: int) -> int:
    """A whole number.

    Raises:
        UserError: It is none, or too small.
    """
    try:
        found = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        found = -1
    if found < least:
        raise UserError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return found


def check_share(value: object, *, name: str, low: float, high: float, example: float) -> None:
    """Refuses what does not lie strictly between two numbers.

    Raises:
        UserError: It does not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
        raise UserError(f"{name} must lie between {low:g} and {high:g}, for example {example:g}, not {value!r}.")
