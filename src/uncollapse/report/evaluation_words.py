"""Numbers of an evaluation as text, for tables, sentences and labels; the rules of the comparison's page.

A share is said in per cent, a ratio with two digits, everything else with about three.
"""

from __future__ import annotations

from uncollapse.report.measures import number, span


def amount(value: float | None) -> str:
    """A number of any size.

    >>> [amount(0.0213), amount(41.3), amount(1874.0), amount(None)]
    ['0.0213', '41.30', '1,874', 'none']
    """
    return number(value)


def signed(value: float | None) -> str:
    """A difference with its sign.

    >>> [signed(0.25), signed(0.0)]
    ['+0.25', '0.00']
    """
    text = amount(value)
    return f"+{text}" if value is not None and value > 0 else text


def times(ratio: float | None) -> str:
    """A ratio with two digits.

    >>> [times(0.0792), times(1.694), times(12.4), times(0.0), times(None)]
    ['0.079', '1.7', '12', '0', 'none']
    """
    if ratio is None:
        return "none"
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:,.0f}"


def between(low: float | None, high: float | None) -> str:
    """The ends of an interval of shares.

    >>> between(0.0, 0.0076), between(None, 0.5)
    ('0 to 0.8 %', 'at most 50 %')
    """
    if low is None and high is not None:
        return f"at most {number(high, 'share')}"
    if high is None and low is not None:
        return f"at least {number(low, 'share')}"
    return span({"low": low, "high": high}, "share")


def ratios(low: float | None, high: float | None) -> str:
    """The ends of an interval of ratios: "0.25 to 0.48"."""
    if low is None and high is not None:
        return f"at most {times(high)}"
    if high is None and low is not None:
        return f"at least {times(low)}"
    return "no interval" if low is None else f"{times(low)} to {times(high)}"
