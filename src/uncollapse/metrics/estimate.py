"""What every metric returns: a number, how sure it is, and what the number is an estimate of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# What is added to the words of a conservative interval.
CAUTION = "; conservative: it may hold more often than its level says"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measured number with its interval.

    Attributes:
        metric: Name of the metric.
        value: The number; None when there is none, and `reason` says why.
        low: Lower end of the interval; None = unbounded below or not known, and `reason` says which.
        high: Upper end; None likewise.
        level: Nominal coverage of the interval, for example .95; None when no interval was asked for.
        n_real: Real rows behind the number; None where the metric looks at no real data.
        n_fake: Fake rows behind the number; None where the metric looks at no fake data.
        estimand: What the interval is for, in words: a population value, or the mean of this very number over
            fresh samples of the same sizes.
        interval: How the ends were found.
        conservative: Whether the interval may hold its estimand more often than `level` says.
        direction: "lower", "higher" or "near": which values are good; "near" its ideal.
        reason: Why the value or an end is missing; None when all are there.
        details: Further numbers of the metric: a p-value, settings that belong to the number, counts.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    level: float | None
    n_real: int | None
    n_fake: int | None
    estimand: str
    interval: str
    direction: str
    conservative: bool = False
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.metric}: {name} is {number}; an estimate holds finite numbers or None.")
        if self.value is None and not self.reason:
            raise ValueError(f"{self.metric}: an estimate without a value needs a reason.")

    def __float__(self) -> float:
        """The value, NaN when there is none."""
        return math.nan if self.value is None else self.value

    def __str__(self) -> str:
        """The number with its interval and sample sizes, for people."""
        sizes = " + ".join(f"{n:,}" for n in (self.n_real, self.n_fake) if n is not None)
        if self.value is None:
            return f"{self.metric}: none, {self.reason}"
        around = f" {self.ends}" if self.level is not None else ""
        level = "" if self.level is None else f"{100 * self.level:g} %, "
        return f"{self.metric} {self.value:.4g}{around} ({level}n = {sizes})"

    @property
    def ends(self) -> str:
        """The interval in brackets; an end that is missing is written as three dots."""
        low, high = ("..." if end is None else f"{end:.4g}" for end in (self.low, self.high))
        return f"[{low}, {high}]"

    def holds(self, truth: float) -> bool:
        """Whether the interval holds a number; a missing end is no limit."""
        return (self.low is None or self.low <= truth) and (self.high is None or truth <= self.high)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        found: dict[str, Any] = _plain(asdict(self) | {"details": self.details})
        return found


def _plain(value: Any) -> Any:
    """A value with plain numbers in place of NumPy's and torch's, which options may be."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
