"""Which modes live in which seed, and which died when: the shares of the modes in the snapshots of a run.

A mode is alive where its share of the samples is at least a fifth of its fair one. Shares count every sample with its
nearest mode, whatever its quality; the solid modes of the curves count the good ones only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIVE = 0.2  # of the fair share, as for a solid mode
LOW, HIGH = 0.5, 2.0
# Of one run in all; and how many snapshots are kept: the first and the newest always.
MOST_NUMBERS, FEWEST, MOST = 4_000_000, 2, 96
MOST_MODES = 100_000
# What the digits of a map mean; a diverged seed is judged no more.
NONE, THIN, FEW, FAIR, MANY, UNKNOWN = range(6)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A mode that a seed had and lost.

    Attributes:
        lane: Position of the seed.
        mode: Number of the mode, from 0.
        since: First update at which it was alive.
        lost: First update from which on it was not.
    """

    lane: int
    mode: int
    since: int
    lost: int


class Lives:
    """The shares of the modes over training.

    Attributes:
        updates: Of the snapshots that are kept, in order.
        modes: K, 0 while there is no snapshot.
    """

    def __init__(self, lanes: int) -> None:
        """Empty.

        Args:
            lanes: Number of seeds.
        """
        self.updates: list[int] = []
        self.modes = 0
        self._lanes = lanes
        self._tables: list[NDArray[np.float32]] = []  # each (lanes, K)

    def add(self, update: int, shares: Sequence[Sequence[float] | None]) -> bool:
        """Takes the shares of one snapshot, one list (K,) a lane or None; returns whether they could be used."""
        width = max((len(row) for row in shares if isinstance(row, list)), default=0)
        if len(shares) != self._lanes or not 0 < width <= MOST_MODES or (self.modes and width != self.modes):
            return not width and len(shares) == self._lanes  # all lanes diverged: nothing to add, nothing wrong
        room = MOST_NUMBERS // (self._lanes * width)
        if room < FEWEST:
            return True  # too much to keep, and nothing wrong
        table = _table(shares, width)
        if table is None:
            return False
        self.modes = width
        self.updates.append(update)
        self._tables.append(table)
        if len(self.updates) > min(MOST, room):
            # Every second one goes; the first and the newest stay.
            keep = sorted({*range(0, len(self.updates), 2), len(self.updates) - 1})
            self.updates = [self.updates[place] for place in keep]
            self._tables = [self._tables[place] for place in keep]
        return True

    def levels(self, weights: NDArray[np.float64] | None) -> NDArray[np.uint8]:
        """How alive each mode is, (T, lanes, K): `NONE` .. `MANY`, `UNKNOWN` for a diverged seed.

        Args:
            weights: Fair shares (K,) above 0; None = all the same.
        """
        shares = np.stack(self._tables).astype(np.float64)
        fair = np.full(self.modes, 1 / self.modes) if weights is None else weights
        with np.errstate(invalid="ignore"):
            ratio = shares / fair
            steps = np.digitize(ratio, (ALIVE, LOW, HIGH)) + THIN
            steps[ratio == 0] = NONE
        steps[np.isnan(ratio)] = UNKNOWN
        found: NDArray[np.uint8] = steps.astype(np.uint8)
        return found

    def losses(self, levels: NDArray[np.uint8]) -> list[Loss]:
        """The modes that were alive in an earlier snapshot and are not in the newest, by lane and mode."""
        found = []
        for lane in range(self._lanes):
            known = np.flatnonzero(levels[:, lane, 0] != UNKNOWN)
            alive = np.isin(levels[known, lane], (FEW, FAIR, MANY))  # (T, K)
            if not len(known):
                continue
            for mode in np.flatnonzero(alive.any(0) & ~alive[-1]):
                times = np.flatnonzero(alive[:, mode])
                since, lost = known[times[0]], known[times[-1] + 1]
                found.append(
                    Loss(lane=lane, mode=int(mode), since=self.updates[since], lost=self.updates[lost]),
                )
        return found

    def to_json(self, weights: NDArray[np.float64] | None, most: int = 2_000) -> dict[str, Any] | None:
        """The map and the losses, None without a snapshot.

        Returns:
            ``updates`` (T,), ``modes`` K, ``levels``: a list a lane of T texts of K digits; ``lost``: at most `most`
            rows [lane, mode, since, lost], the newest losses first; ``lost_count`` of all.
        """
        if not self.updates:
            return None
        levels = self.levels(weights)
        losses = sorted(self.losses(levels), key=lambda loss: (-loss.lost, loss.lane, loss.mode))
        texts = (levels + ord("0")).astype(np.uint8)
        return {
            "updates": self.updates,
            "modes": self.modes,
            "levels": [
                [texts[time, lane].tobytes().decode("ascii") for time in range(len(self.updates))]
                for lane in range(self._lanes)
            ],
            "lost": [[loss.lane, loss.mode, loss.since, loss.lost] for loss in losses[:most]],
            "lost_count": len(losses),
        }


def _table(shares: Sequence[Sequence[float] | None], width: int) -> NDArray[np.float32] | None:
    """Shares as numbers (lanes, K), NaN for a lane without any; None where a lane holds anything else."""
    table = np.full((len(shares), width), np.nan, np.float32)
    for lane, row in enumerate(shares):
        if row is None:
            continue
        try:
            values = np.array(row, np.float32)
        except (TypeError, ValueError, OverflowError):
            return None
        if values.shape != (width,):
            return None
        table[lane] = values
    table[~np.isfinite(table)] = np.nan
    return table
