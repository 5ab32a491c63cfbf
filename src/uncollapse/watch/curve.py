"""One measure of every seed over training in bounded memory: neighbouring records share their lowest and highest.

Whenever the buckets are full, pairs of them are merged, so a curve of any length costs the same and no peak is lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST, MOST = 32, 512  # buckets at the beginning and at most
DIGITS = 4

Array = NDArray[np.float64]
Table = NDArray[np.float32]


class Curve:
    """The envelope of (update, one value a lane) records.

    Attributes:
        count: Buckets in use.
        last: The newest value of each lane (lanes,), NaN where there is none.
    """

    def __init__(self, lanes: int) -> None:
        """Empty.

        Args:
            lanes: Number of seeds.
        """
        self.count = 0
        self.last: Array = np.full(lanes, np.nan)
        self._updates: Array = np.zeros(FIRST)  # the last update of each bucket
        self._low: Table = np.full((FIRST, lanes), np.nan, np.float32)  # (buckets, lanes)
        self._high: Table = self._low.copy()
        self._each = 1  # records in a full bucket
        self._held = 0  # records in the newest bucket

    def add(self, update: int, values: Array) -> None:
        """Takes one record; NaN where a lane has no value."""
        if self.count == 0 or self._held == self._each:
            if self.count == len(self._updates):
                self._make_room()
            self.count += 1
            self._held = 0
        row = self.count - 1
        self._updates[row] = update
        np.fmin(self._low[row], values, out=self._low[row])
        np.fmax(self._high[row], values, out=self._high[row])
        self.last = values
        self._held += 1

    def to_json(self, points: int) -> dict[str, Any]:
        """At most about `points` points a lane.

        Returns:
            ``x`` updates (T,), ``low`` and ``high`` one list (T,) a lane with None where there is no value; ``high`` is
            left out where it is the same.
        """
        each = max(1, -(-self.count // max(points, 1)))
        used = self._updates[: self.count], self._low[: self.count], self._high[: self.count]
        updates, low, high = _merged(*used, each)
        found: dict[str, Any] = {"x": [int(update) for update in updates], "low": _rounded(low)}
        if each > 1 or self._each > 1:
            found["high"] = _rounded(high)
        return found

    def _make_room(self) -> None:
        """Twice as many buckets, or, when there are as many as there may be, half of them used."""
        if self.count < MOST:
            empty = np.full_like(self._low, np.nan)
            self._updates = np.concatenate([self._updates, np.zeros(self.count)])
            self._low, self._high = np.concatenate([self._low, empty]), np.concatenate([self._high, empty])
            return
        updates, low, high = _merged(self._updates, self._low, self._high, 2)
        self.count = len(updates)
        self._updates[: self.count], self._low[: self.count], self._high[: self.count] = updates, low, high
        self._low[self.count :] = self._high[self.count :] = np.nan
        self._each *= 2


def _merged(updates: Array, low: Table, high: Table, each: int) -> tuple[Array, Table, Table]:
    """Every `each` neighbouring buckets as one: updates (T,), low and high (T, lanes)."""
    if each == 1:
        return updates, low, high
    starts = np.arange(0, len(updates), each)
    ends = np.minimum(starts + each, len(updates)) - 1
    return updates[ends], np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)


def _rounded(table: Table) -> list[list[float | None]]:
    """(T, lanes) -> one list a lane, to four digits of the largest value, None for NaN."""
    known = np.isfinite(table.T)
    largest = float(np.abs(table.T[known]).max()) if known.any() else 1.0
    places = int(DIGITS - 1 - np.floor(np.log10(largest))) if largest > 0 else 0
    plain = np.round(table.T.astype(np.float64), places).astype(object)
    plain[~known] = None
    rows: list[list[float | None]] = plain.tolist()
    return rows
