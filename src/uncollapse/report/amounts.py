"""A number as the tables hold it: value, interval, level, what it rests on, and the one rule by which it is rounded.

Pages, Markdown and LaTeX print its texts; JSON and CSV write its plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uncollapse.report.measures import number, p_text, points, seeds_of, seeds_text, signed, span
from uncollapse.text import duration


@dataclass(frozen=True, kw_only=True)
class Amount:
    """A number with its interval.

    Attributes:
        value: The number itself, None where there is none.
        low: Lower end of its interval.
        high: Upper end.
        level: Of the interval, in (0, 1).
        n: How many seeds, draws or rows it rests on.
        kind: "count", "share" (printed in per cent), "number", "whole", "seconds" or "p".
        basis: What it rests on in words, for example "4 seeds".
        said: Printed instead of the number, for example "3 of 4".
        difference: Whether it is one: printed with its sign, shares in points.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    n: int | None = None
    kind: str = "number"
    basis: str = ""
    said: str = ""
    difference: bool = False

    @property
    def text(self) -> str:
        """The value as it is printed; empty where there is none."""
        if self.said or self.value is None:
            return self.said
        if self.kind == "whole":
            return f"{self.value:,.0f}"
        if self.kind == "seconds":
            return duration(self.value)
        if self.kind == "p":
            return p_text(self.value)
        return signed(self.value, self.kind) if self.difference else number(self.value, self.kind)

    @property
    def interval(self) -> str:
        """The interval as it is printed: "2.7 to 5.8", "at most 5.8"; empty where there is none."""
        if self.value is None or (self.low is None and self.high is None):
            return ""
        if self.low is None:
            text = f"at most {number(self.high, self.kind)}"
        elif self.high is None:
            text = f"at least {number(self.low, self.kind)}"
        else:
            text = span({"low": self.low, "high": self.high}, self.kind)
        return points(text) if self.difference else text

    @property
    def texts(self) -> tuple[str, str, str]:
        """Value, interval and what they rest on, as printed."""
        return self.text, self.interval, self.basis

    @property
    def compact(self) -> str:
        """All of it in one line: "4.2 [2.7, 5.8], 4 seeds".

        >>> Amount(value=0.934, low=0.9, high=0.96, kind="share", basis="4 seeds").compact
        '93 % [90, 96], 4 seeds'
        """
        inside = self.interval.removesuffix(" %").removesuffix(" points").replace(" to ", ", ")
        ends = f" [{inside}]" if inside else ""
        return f"{self.text}{ends}{', ' + self.basis if self.basis and self.text else ''}"

    @property
    def numbers(self) -> dict[str, float | int | None]:
        """The plain numbers under fixed keys; what is not finite is None."""
        found = {"value": self.value, "low": self.low, "high": self.high, "level": self.level, "n": self.n}
        return {key: value if value is None or math.isfinite(value) else None for key, value in found.items()}


NOTHING = Amount()


def amount_of(entry: Mapping[str, Any] | None, kind: str, level: float = 0.95) -> Amount:
    """An entry of `measures` as an amount.

    Args:
        entry: {"mean", "low", "high", "level", "per_seed" or "n"}; None gives an amount without a value.
        kind: As `Amount` has it.
        level: Of an interval that does not state its own.
    """
    if entry is None or entry.get("mean") is None:
        return NOTHING
    n = seeds_of(entry) if "per_seed" in entry else int(entry.get("n") or 0)
    known = entry.get("low") is not None and entry.get("high") is not None
    return Amount(
        value=float(entry["mean"]),
        low=float(entry["low"]) if known else None,
        high=float(entry["high"]) if known else None,
        level=float(entry.get("level") or level) if known else None,
        n=n,
        kind=kind,
        basis=seeds_text(n),
    )


def success_of(success: Mapping[str, Any]) -> Amount:
    """A success rate as an amount that prints as "3 of 4"."""
    n = int(success.get("n") or 0)
    if not n:
        return NOTHING
    return Amount(
        value=success["successes"] / n,
        low=success.get("low"),
        high=success.get("high"),
        level=float(success.get("level") or 0.95),
        n=n,
        kind="share",
        basis=seeds_text(n),
        said=f"{success['successes']} of {n}",
    )


def whole(value: object) -> Amount:
    """A count of updates or parameters."""
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return Amount(value=float(value), kind="whole") if fits else NOTHING  # type: ignore[arg-type]
