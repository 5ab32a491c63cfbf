"""Numbers of an evaluation as text, for tables, sentences and labels; the rules of the comparison's page.

A share is said in per cent, a ratio with two digits, everything else with about three.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from uncollapse.report.measures import number


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


def places(shares: Iterable[float | None]) -> int:
    """Digits after the point for a column of shares, one number for all of them: so many that its least share shows.

    >>> places([0.11, 0.2, 0.0]), places([0.0108, 0.0092, None]), places([0.11, 0.0002])
    (0, 1, 2)
    """
    least = min((abs(share) for share in shares if share), default=1.0)
    return 0 if least >= 0.0995 else 1 if least >= 0.0005 else 2


def share(value: float | None, digits: int) -> str:
    """A share in per cent with so many digits after the point, as all others of its column.

    >>> share(0.0108, 1), share(0.1, 1), share(0.0, 1), share(0.0001, 1), share(0.9999, 1), share(1.0, 1)
    ('1.1 %', '10.0 %', '0 %', '<0.1 %', '>99.9 %', '100 %')
    """
    if value is None or not math.isfinite(value):
        return "none"
    if value in (0.0, 1.0):
        return f"{100 * value:.0f} %"
    text, least = f"{100 * value:.{digits}f}", 10.0**-digits
    if float(text) == 0:
        text = f"<{least:.{digits}f}"
    elif float(text) == 100 and value < 1:
        text = f">{100 - least:.{digits}f}"
    return f"{text} %"


def between(low: float | None, high: float | None, digits: int | None = None) -> str:
    """The ends of an interval of shares, with so many digits after the point where that is said.

    >>> between(0.0, 0.0076), between(None, 0.5), between(0.0, 0.04, 1)
    ('0 to 0.8 %', 'at most 50 %', '0 to 4.0 %')
    """
    first, last = (number(end, "share") if digits is None else share(end, digits) for end in (low, high))
    if low is None and high is None:
        return "no interval"
    if low is None or high is None:
        return f"at most {last}" if low is None else f"at least {first}"
    return f"{first.removesuffix(' %')} to {last}"


def ratios(low: float | None, high: float | None) -> str:
    """The ends of an interval of ratios: "0.25 to 0.48"."""
    if low is None and high is not None:
        return f"at most {times(high)}"
    if high is None and low is not None:
        return f"at least {times(low)}"
    return "no interval" if low is None else f"{times(low)} to {times(high)}"
